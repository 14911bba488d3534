using EquiNorm.Model;
using EquiNorm.Problem;
using NUnit.Framework;

namespace EquiNorm.Tests.Problem;

/// <summary>Factors, their inverses, powers and roundings.</summary>
public sealed class ScalingsTests
{
    private static readonly double Ln2 = Math.Log(2);

    private readonly Network _network = Chain();

    [Test]
    public void Identity_is_all_ones() =>
        Assert.That(Scalings.Identity(_network).FactorsOf(_network.Weight("w").Outputs), Is.EqualTo(new[] { 1.0, 1, 1 }));

    [Test]
    public void Factors_are_read_in_the_order_of_the_axis([Values(1, -1, -2, 0.5)] double exponent)
    {
        var scalings = Free(0.3, -2, 40);

        Assert.That(
            scalings.FactorsOf(_network.Weight("v").Inputs, exponent),
            Is.EqualTo(new[] { Math.Exp(40 * exponent), Math.Exp(0.3 * exponent), Math.Exp(-2 * exponent) }).Within(4).Ulps);
    }

    [Test]
    public void Pinned_channels_have_factor_one() =>
        Assert.That(Free(1, 2, 3).FactorsOf(_network.Weight("w").Inputs), Is.EqualTo(new[] { 1.0, 1 }));

    [Test]
    public void Inverse_negates_and_leaves_no_negative_zero()
    {
        var inverse = Free(0.25, -3, 0).Inverse();

        Assert.That(inverse.LogFactorsOf(_network.Groups[1]).ToArray(), Is.EqualTo(new[] { -0.25, 3, 0 }));
        Assert.That(inverse.LogFactors.ToArray().Any(double.IsNegative), Is.True); // -0.25 only
        Assert.That(double.IsNegative(inverse.LogFactorsOf(_network.Groups[1])[2]), Is.False);
    }

    [Test]
    public void Powers_of_two_are_exact_and_nearest()
    {
        var rounded = Free(0.49 * Ln2, -7.6 * Ln2, 900.2 * Ln2).PowerOfTwo();
        var factors = rounded.FactorsOf(_network.Weight("w").Outputs);
        var inverses = rounded.FactorsOf(_network.Weight("w").Outputs, -1);

        Assert.That(factors, Is.EqualTo(new[] { 1, Math.ScaleB(1, -8), Math.ScaleB(1, 900) }));
        Assert.That(inverses, Is.EqualTo(new[] { 1, Math.ScaleB(1, 8), Math.ScaleB(1, -900) }));
    }

    [Test]
    public void All_powers_of_two_of_float64_are_exact()
    {
        for (var k = -1022; k <= 1023; k++)
        {
            Assert.That(Free(k * Ln2, 0, 0).PowerOfTwo().FactorsOf(_network.Weight("w").Outputs)[0], Is.EqualTo(Math.ScaleB(1, k)));
        }
    }

    [TestCase(double.NaN)]
    [TestCase(double.NegativeInfinity)]
    public void Logarithms_that_are_not_finite_are_refused(double u) => Assert.That(() => Free(0, u, 0), Throws.ArgumentException);

    [Test]
    public void Pinned_channels_cannot_be_moved() =>
        Assert.That(() => new Scalings(_network, [0, 0.5, 0, 0, 0, 0]), Throws.ArgumentException.With.Message.Contains("channel 1"));

    [Test]
    public void Another_number_of_factors_is_refused() => Assert.That(() => new Scalings(_network, [0, 0]), Throws.ArgumentException);

    [Test]
    public void Too_little_room_is_refused() => Assert.That(
        () => Scalings.Identity(_network).CopyFactors(_network.Weight("w").Outputs, 1, new double[2]), Throws.ArgumentException);

    [Test]
    public void Factors_are_a_copy()
    {
        var logs = new double[_network.ChannelCount];
        var scalings = new Scalings(_network, logs);
        logs[2] = 5;

        Assert.That(scalings.LogFactors[2], Is.Zero);
    }

    private Scalings Free(double a, double b, double c) => new(_network, [0, 0, a, b, c, 0]);

    // x (2) -> w -> hidden (3) -> rotated -> v -> y (1)
    private static Network Chain()
    {
        var builder = new NetworkBuilder();
        var hidden = builder.Weight(new("w", ElementType.Float32, WeightLayout.Dense(3, 2)), builder.Input("x", 2));
        builder.Output(builder.Weight(new("v", ElementType.Float32, WeightLayout.Dense(1, 3)), builder.Select(hidden, [2, 0, 1])));
        return builder.Build();
    }
}
