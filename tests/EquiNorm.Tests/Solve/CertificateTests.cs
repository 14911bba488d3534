using EquiNorm.Problem;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Solve;

/// <summary>The certified gap is never below the true one, and close enough to be of use.</summary>
public sealed class CertificateTests
{
    // Residual streams, depthwise chains, tied weights: some group feeds itself, so a flow is balanced by one carrier where there are several
    // elsewhere, and by none in some draws.
    private static readonly string[] FamiliesWithCycles =
        ["residual", "downsample", "depthwise pairs", "tied", "tied neighbours", "self-edge", "folded channels", "mixed"];

    /// <summary>Whether some channel group of a family's networks feeds itself.</summary>
    public enum Cycles
    {
        None,
        Some,
    }

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Bound_holds_after_any_number_of_sweeps(string family)
    {
        for (var draw = 0; draw < 5; draw++)
        {
            var network = RandomNetworks.Create(family, TestSeeds.Of(family, 50 + draw));
            foreach (var norm in new[] { 1.0, 2 })
            {
                for (var sweeps = 1; sweeps <= 4; sweeps++)
                {
                    foreach (var order in Enum.GetValues<SweepOrder>())
                    {
                        var solved = Solved.Run(
                            network,
                            new RescalingProblem(network.Network) { Norm = norm },
                            new RescalingOptions { MaxSweeps = sweeps, Tolerance = 1e-15, Order = order });
                        solved.AssertHonest($"p = {norm}, {sweeps} sweeps, {order}");
                    }
                }
            }
        }
    }

    // Certified over true gap, at the first point whose true gap is below 1e-2. Measured on 5460 networks of two seeds (4681 in range, no
    // bound below the true gap):
    //                     median   75 %   90 %   95 %   no bound   share <= 3   share <= 10
    //     without cycles    1.93   1.99    2.1    2.3    0.0 %       98.5 %       99.9 %
    //     with cycles       3.9    7.7      22     -     7.3 %       37 %         80.9 %
    // The limits below are five and more standard deviations of a pool of this size away from that, so that a fresh seed does not fail by
    // chance.
    [TestCase(Cycles.None, 2.2, 3, 0.92, 0.02)]
    [TestCase(Cycles.Some, 7.5, 10, 0.65, 0.2)]
    public void Bound_exists_and_is_not_loose(Cycles cycles, double median, double limit, double share, double unbounded)
    {
        var ratios = new List<double>();
        foreach (var family in RandomNetworks.Families.Where(f => FamiliesWithCycles.Contains(f) == (cycles == Cycles.Some)))
        {
            for (var draw = 0; draw < 30; draw++)
            {
                if (Ratio(RandomNetworks.Create(family, TestSeeds.Of(family, 60 + draw)), $"{family}, draw {draw}, {TestSeeds.Repeat}") is { } ratio)
                {
                    ratios.Add(ratio);
                }
            }
        }

        ratios.Sort();
        double within = ratios.Count(r => r <= limit);
        double without = ratios.Count(double.IsInfinity);
        var message = $"{ratios.Count} ratios, median {ratios[ratios.Count / 2]:f2}, {within} within {limit}, {without} without a bound, {TestSeeds.Repeat}";
        TestContext.Out.WriteLine(message);
        Assert.That(ratios, Has.Count.GreaterThan(100), message);
        Assert.That(ratios[ratios.Count / 2], Is.LessThanOrEqualTo(median), message);
        Assert.That(within / ratios.Count, Is.GreaterThanOrEqualTo(share), message);
        Assert.That(without / ratios.Count, Is.LessThanOrEqualTo(unbounded), message);
    }

    [Test]
    public void Tolerance_is_a_promise_about_the_true_gap([Values(1e-2, 1e-4, 1e-6, 1e-10)] double tolerance)
    {
        foreach (var family in RandomNetworks.Families)
        {
            var network = RandomNetworks.Create(family, TestSeeds.Of(family, 90));
            var solved = Solved.Run(network, options: new RescalingOptions { Tolerance = tolerance });
            solved.AssertOptimal(tolerance, family);
            if (solved.Result.GapBound is { } bound)
            {
                Assert.That(bound, Is.LessThanOrEqualTo(tolerance), $"{family}, {TestSeeds.Repeat}");
            }
        }
    }

    // Infinite without a bound; null if no point is in range: closer than that, rounding is part of the gap.
    private static double? Ratio(TestNetwork network, string message)
    {
        for (var sweeps = 1; sweeps <= 5; sweeps++)
        {
            var solved = Solved.Run(network, options: new RescalingOptions { MaxSweeps = sweeps, Tolerance = 1e-14 });
            var bound = solved.Result.GapBound ?? double.PositiveInfinity;
            Assert.That(bound, Is.GreaterThanOrEqualTo(solved.Gap - 1e-12), message);
            if (solved.Gap is < 1e-2 and > 1e-10)
            {
                return bound / solved.Gap;
            }
        }

        return null;
    }
}
