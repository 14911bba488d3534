using EquiNorm.Model;
using EquiNorm.Problem;
using NUnit.Framework;

namespace EquiNorm.Tests.Problem;

/// <summary>Penalties as logarithms, and the checks of options.</summary>
public sealed class WeightPenaltyTests
{
    [Test]
    public void Uniform_is_one() =>
        Assert.That(WeightPenalty.Uniform.LogPenalties(Network(), 2), Is.All.Zero);

    [Test]
    public void Size_is_one_over_fan_in_times_fan_out() => Assert.That(
        WeightPenalty.Size.LogPenalties(Network(), 2),
        Is.EqualTo(new[] { -Math.Log(3 * 9.0 * 8 * 9), -Math.Log(4 * 9.0 * 2 * 9), -Math.Log(9.0 * 9), -Math.Log(4 * 10.0) }).Within(1e-14));

    [Test]
    public void Depth_is_c_to_the_power_p_times_height([Values(1, 2, 0.5)] double norm) => Assert.That(
        WeightPenalty.Depth(1.5).LogPenalties(Network(), norm),
        Is.EqualTo(new[] { 3, 2, 1, 0 }.Select(h => norm * h * Math.Log(1.5))).Within(1e-14));

    [Test]
    public void Depth_of_a_thousand_layers_stays_finite()
    {
        var builder = new NetworkBuilder();
        var x = builder.Input("x", 1);
        for (var k = 0; k < 1000; k++)
        {
            x = builder.Weight(new($"w{k}", ElementType.Float32, WeightLayout.Dense(1, 1)), x);
        }

        Assert.That(WeightPenalty.Depth(10).LogPenalties(builder.Build(), 3)[0], Is.EqualTo(3 * 999 * Math.Log(10)).Within(1e-9));
    }

    [Test]
    public void Named_penalties_leave_the_others_at_one() => Assert.That(
        WeightPenalty.ByName(new Dictionary<string, double> { ["grouped"] = 3 }).LogPenalties(Network(), 2),
        Is.EqualTo(new[] { 0, Math.Log(3), 0, 0 }));

    [Test]
    public void Unknown_name_is_refused() => Assert.That(
        () => WeightPenalty.ByName(new Dictionary<string, double> { ["nope"] = 3 }).LogPenalties(Network(), 2),
        Throws.TypeOf<NetworkException>().With.Message.Contains("'nope'"));

    [TestCase(0)]
    [TestCase(-1)]
    [TestCase(double.NaN)]
    [TestCase(double.PositiveInfinity)]
    public void Values_that_are_not_positive_and_finite_are_refused(double value)
    {
        Assert.That(() => WeightPenalty.Depth(value), Throws.InstanceOf<ArgumentOutOfRangeException>());
        Assert.That(
            () => WeightPenalty.ByName(new Dictionary<string, double> { ["grouped"] = value }),
            Throws.InstanceOf<ArgumentOutOfRangeException>().With.Message.Contains("grouped"));
        Assert.That(() => new RescalingOptions { Tolerance = value }, Throws.InstanceOf<ArgumentOutOfRangeException>());
        Assert.That(() => new RescalingOptions { MaxGain = value }, Throws.InstanceOf<ArgumentOutOfRangeException>());
        if (!double.IsPositiveInfinity(value))
        {
            Assert.That(() => new RescalingProblem(Network()) { Norm = value }, Throws.InstanceOf<ArgumentOutOfRangeException>());
        }
    }

    [TestCase(1)]
    [TestCase(0.5)]
    public void A_largest_gain_that_leaves_no_room_is_refused(double value) =>
        Assert.That(() => new RescalingOptions { MaxGain = value }, Throws.InstanceOf<ArgumentOutOfRangeException>());

    [Test]
    public void Tolerance_has_a_default_for_largest_magnitudes() => Assert.Multiple(() =>
    {
        Assert.That(RescalingOptions.Default.ToleranceFor(2), Is.EqualTo(1e-8));
        Assert.That(RescalingOptions.Default.ToleranceFor(double.PositiveInfinity), Is.EqualTo(1e-4));
        Assert.That(new RescalingOptions { Tolerance = 1e-3 }.ToleranceFor(double.PositiveInfinity), Is.EqualTo(1e-3));
    });

    [Test]
    public void A_penalty_by_depth_of_largest_magnitudes_has_no_exponent() =>
        Assert.That(
            WeightPenalty.Depth(1.7).LogPenalties(Network(), double.PositiveInfinity), Is.EqualTo(WeightPenalty.Depth(1.7).LogPenalties(Network(), 1)));

    [Test]
    public void Fewer_than_one_sweep_is_refused() =>
        Assert.That(() => new RescalingOptions { MaxSweeps = 0 }, Throws.InstanceOf<ArgumentOutOfRangeException>());

    [Test]
    public void Biases_count_by_option_only()
    {
        var builder = new NetworkBuilder();
        builder.Bias("b", ElementType.Float32, builder.Input("x", 1));
        var bias = builder.Build().Weight("b");

        Assert.That(new RescalingProblem(builder.Build()).IsInNorm(bias), Is.False);
        Assert.That(new RescalingProblem(builder.Build()) { BiasNorm = BiasNorm.Included }.IsInNorm(bias), Is.True);
        Assert.That(new RescalingProblem(Network()).IsInNorm(Network().Weights[0]), Is.True);
    }

    private static Network Network()
    {
        var builder = new NetworkBuilder();
        var x = builder.Weight(new("convolution", ElementType.Float32, WeightLayout.Convolution(8, 3, 9)), builder.Input("x", 3));
        x = builder.Weight(new("grouped", ElementType.Float32, WeightLayout.Convolution(4, 8, 9, groups: 2)), x);
        x = builder.Weight(new("depthwise", ElementType.Float32, WeightLayout.Depthwise(4, 9)), x);
        builder.Output(builder.Weight(new("dense", ElementType.Float32, WeightLayout.Dense(10, 4)), x));
        return builder.Build();
    }
}
