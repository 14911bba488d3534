using EquiNorm.Backends.Cpu;
using EquiNorm.Model;

using NUnit.Framework;

namespace EquiNorm.Tests.Backends.Cpu;

public sealed unsafe class EnergyKernelsTests
{
    private static readonly double[] Exponents = [2, 1, 0.5, 1.5, 3, 8, 0.7, 2.5, double.PositiveInfinity];

    [Test]
    public void Energies_match_scalar_loops(
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Widths))] int width,
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Types))] ElementType type,
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Layouts))] TestLayout layout)
    {
        int turn = 0;
        foreach ((int inner, int kernel) in KernelCases.Shapes)
        {
            double p = Exponents[turn % Exponents.Length];
            Check(width, type, layout, turn++ % 4, inner, kernel, p, stride: inner + (turn % 2 * 3));
        }
    }

    [TestCase(0)]
    [TestCase(1200)]
    public void Unusual_kernel_extents(int kernel)
    {
        foreach (int width in KernelCases.Widths)
        {
            Check(width, ElementType.Float32, TestLayout.RowMajor, 2, 9, kernel, 2, 9);
            Check(width, ElementType.Float32, TestLayout.Planes, 2, 9, kernel, 2, 9);
        }
    }

    [Test]
    public void Long_rows_are_cut_into_chunks([ValueSource(typeof(KernelCases), nameof(KernelCases.Widths))] int width) =>
        Check(width, ElementType.Float32, TestLayout.Planes, 2, 1501, 3, 2, 1600);

    [Test]
    public void Scales_multiply_and_never_kill([ValueSource(typeof(KernelCases), nameof(KernelCases.Widths))] int width)
    {
        using GuardedMemory weights = KernelCases.Weights(
            ElementType.Float32, TestLayout.RowMajor, 3, 17, 9, out MatrixView view);
        double[] outer = KernelCases.Factors(3, 5), inner = KernelCases.Factors(17, 6);
        outer[2] = 1e-300;
        inner[3] = 1e-300;
        inner[4] = 0;
        using GuardedMemory outerScale = GuardedMemory.Of(outer), innerScale = GuardedMemory.Of(inner);
        using var actual = new GuardedMemory(3 * 17 * 8, 8);
        EnergyKernels.Compute(
            view, new(2), outerScale.Doubles, innerScale.Doubles, actual.Doubles, 17, (VectorWidth)width);
        double[,] expected = Oracle.Energies(view, 2);
        for (int o = 0; o < 3; o++)
        {
            for (int i = 0; i < 17; i++)
            {
                double product = expected[o, i] * outer[o] * inner[i];
                product = inner[i] == 0 ? 0 : Math.Max(product, 2.2250738585072014e-308);
                KernelCases.AssertClose(actual.AsDoubles[(o * 17) + i], product, 1e-14, $"[{o}, {i}]");
            }
        }
    }

    private static void Check(
        int width, ElementType type, TestLayout layout, int outer, int inner, int kernel, double p, int stride)
    {
        using GuardedMemory weights = KernelCases.Weights(type, layout, outer, inner, kernel, out MatrixView view);
        using var actual = new GuardedMemory(Math.Max(0, ((outer - 1) * stride) + inner) * 8, 8);
        actual.AsDoubles.Fill(-1);
        EnergyKernels.Compute(view, new(p), null, null, actual.Doubles, stride, (VectorWidth)width);
        actual.AssertBandsIntact();
        weights.AssertBandsIntact();
        double[,] expected = Oracle.Energies(view, p);
        for (int at = 0; at < actual.AsDoubles.Length; at++)
        {
            bool gap = at % stride >= inner;
            double wanted = gap ? -1 : expected[at / stride, at % stride];
            KernelCases.AssertClose(
                actual.AsDoubles[at], wanted, 2e-14, $"{layout} {type} {outer}x{inner}x{kernel} p={p} at {at}");
        }
    }
}
