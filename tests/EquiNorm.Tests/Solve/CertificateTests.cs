using EquiNorm.Problem;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Solve;

/// <summary>The certified gap is never below the true one, and close enough to be of use.</summary>
public sealed class CertificateTests
{
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

    // On a chain no draw is far off. On residual streams single draws can be, where a channel hangs on a carrier of next to nothing: there
    // the median is judged (fresh seeds leave too few draws in range for a tail to be stable).
    [TestCase("dense chain", 1e-2, 3)]
    [TestCase("convolution 2-D", 1e-2, 3)]
    [TestCase("grouped", 1e-2, 3)]
    [TestCase("residual", 1e-6, 15)]
    [TestCase("downsample", 1e-6, 15)]
    [TestCase("depthwise pairs", 1e-6, 15)]
    public void Bound_exists_and_is_not_loose(string family, double below, double factor)
    {
        var ratios = new List<double>();
        for (var draw = 0; draw < 20; draw++)
        {
            var network = RandomNetworks.Create(family, TestSeeds.Of(family, 60 + draw));
            for (var sweeps = 2; sweeps <= 5; sweeps++)
            {
                var solved = Solved.Run(network, options: new RescalingOptions { MaxSweeps = sweeps, Tolerance = 1e-15 });
                if (solved.Gap < below && solved.Gap > 1e-11)
                {
                    ratios.Add((solved.Result.GapBound ?? double.PositiveInfinity) / solved.Gap);
                }
            }
        }

        // All of them on chains; the better half on streams.
        ratios.Sort();
        var judged = below > 1e-3 ? ratios : ratios[..((ratios.Count + 1) / 2)];
        TestContext.Out.WriteLine($"{ratios.Count} ratios, median {(ratios.Count > 0 ? ratios[ratios.Count / 2] : 1):f2}, largest {judged.LastOrDefault():f2}");
        Assert.That(judged, Is.All.LessThanOrEqualTo(factor), TestSeeds.Repeat);
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
}
