using EquiNorm.Backends.Cpu;
using EquiNorm.Model;

using NUnit.Framework;

namespace EquiNorm.Tests.Backends.Cpu;

public sealed unsafe class PowerLawTests
{
    [Test]
    public void Powers_are_accurate_over_the_whole_range(
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Widths))] int width,
        [Values(0.1, 0.5, 0.7, 1, 1.3, 1.5, 2, 2.7, 3, 8, 20.3, 31.5, 100, 1000.25)] double p)
    {
        var random = new Random(3);
        double reach = Math.Min(1070, 1015 / p);
        var w = new double[4001];
        for (int i = 0; i < w.Length; i++)
        {
            w[i] = Math.ScaleB(1 + random.NextDouble(), (int)(((2 * random.NextDouble()) - 1) * reach));
        }

        double[] energies = Energies(w, new(p), width);
        for (int i = 0; i < w.Length; i++)
        {
            double expected = Math.Max(Math.Pow(w[i], p), 2.2250738585072014e-308);
            KernelCases.AssertClose(energies[i], expected, 1.2e-15 + (4e-16 * Math.Max(0, p - 2)), $"{w[i]:R}^{p}");
        }
    }

    [Test]
    public void Special_values(
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Widths))] int width,
        [Values(0.5, 0.7, 1, 2, 3, 8, 77.7, 1e6)] double p)
    {
        double[] w = [0, -0.0, double.PositiveInfinity, double.NegativeInfinity, double.NaN, 1, -1, double.Epsilon, 1e-310, 0];
        double[] energies = Energies(w, new(p), width);
        Assert.Multiple(() =>
        {
            Assert.That(energies[0], Is.Zero);
            Assert.That(energies[1], Is.Zero);
            Assert.That(energies[2], Is.EqualTo(double.PositiveInfinity));
            Assert.That(energies[3], Is.EqualTo(double.PositiveInfinity));
            Assert.That(energies[4], Is.NaN);
            Assert.That(energies[5], Is.EqualTo(1));
            Assert.That(energies[6], Is.EqualTo(1));
            double tiny = Math.Max(Math.Pow(double.Epsilon, p), 2.2250738585072014e-308);
            Assert.That(energies[7], Is.EqualTo(tiny).Within(2e-15 * tiny));
            Assert.That(energies[8], Is.GreaterThanOrEqualTo(2.2250738585072014e-308));
            Assert.That(energies[9], Is.Zero);
        });
    }

    [Test]
    public void Prescale_keeps_large_and_small_weights_in_range(
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Widths))] int width, [Values(1, 2, 2.2, 3)] double p)
    {
        double[] huge = [1e200, 3e200, -2e199];
        double[] tiny = [1e-200, -3e-250, double.Epsilon];
        for (int i = 0; i < 3; i++)
        {
            KernelCases.AssertClose(
                Energies(huge, new(p, -660), width)[i], Math.Pow(Math.ScaleB(Math.Abs(huge[i]), -660), p), 3e-15, "huge");
            KernelCases.AssertClose(
                Energies(tiny, new(p, 900), width)[i], Math.Pow(Math.ScaleB(Math.Abs(tiny[i]), 900), p), 3e-15, "tiny");
        }
    }

    [Test]
    public void Arguments_are_checked()
    {
        foreach (double p in new[] { 0, -1, double.NaN })
        {
            Assert.Throws<ArgumentOutOfRangeException>(() => _ = new PowerLaw(p));
        }

        Assert.Throws<ArgumentOutOfRangeException>(() => _ = new PowerLaw(2, 1023));
    }

    private static double[] Energies(double[] w, PowerLaw law, int width)
    {
        using GuardedMemory weights = GuardedMemory.Of(w);
        var energies = new double[w.Length];
        fixed (double* destination = energies)
        {
            EnergyKernels.Compute(
                MatrixView.RowMajor(weights.Data, ElementType.Float64, 1, w.Length, 1),
                law, null, null, destination, w.Length, (VectorWidth)width);
        }

        return energies;
    }
}
