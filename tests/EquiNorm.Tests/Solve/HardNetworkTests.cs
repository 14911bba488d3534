using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Solve;

/// <summary>Deep, clustered, sparse, wide-ranged networks: sweeps must not grow.</summary>
public sealed class HardNetworkTests
{
    [Test]
    public void A_thousand_layers_need_at_most_twenty_sweeps([Values(4, 8)] int width)
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("deep", width), [5, .. Enumerable.Repeat(width, 1000), 4]);
        AssertWithin(network, new(network.Network), sweeps: 20);
    }

    [Test]
    public void A_thousand_layers_with_a_steep_penalty_need_at_most_twenty_sweeps()
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("steep", 0), [5, .. Enumerable.Repeat(6, 1000), 4]);
        AssertWithin(network, new(network.Network) { Penalty = WeightPenalty.Depth(1.5) }, sweeps: 20);
    }

    [Test]
    public void Ten_weakly_tied_clusters_need_at_most_thirty_sweeps([Values(1e-2, 1e-3, 1e-4)] double tie)
    {
        var network = RandomNetworks.Clustered(TestSeeds.Of("clusters", 0), layers: 15, clusters: 10, unitsPerCluster: 6, tie);
        AssertWithin(network, new(network.Network), sweeps: 30);
    }

    [Test]
    public void Three_connections_a_unit_need_at_most_thirty_sweeps()
    {
        var network = RandomNetworks.Sparse(TestSeeds.Of("sparse", 0), layers: 15, width: 100);
        AssertWithin(network, new(network.Network), sweeps: 30);
    }

    [Test]
    public void Fifteen_dense_layers_need_at_most_five_sweeps_certificate_included()
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("wide", 0), [300, .. Enumerable.Repeat(120, 15), 10]);
        AssertWithin(network, new(network.Network), sweeps: 5);
    }

    [Test]
    public void Extreme_ranges_are_solved(
        [Values("dense chain", "residual", "depthwise pairs", "mixed")] string family,
        [Values(ElementType.Float32, ElementType.Float64, ElementType.BFloat16)] ElementType type,
        [Values(1, 2, 8)] double norm)
    {
        for (var draw = 0; draw < 3; draw++)
        {
            var network = RandomNetworks.Create(family, TestSeeds.Of(family, 200 + draw), new SketchOptions { ElementTypes = [type] }, sigma: 0);
            var random = new Random(TestSeeds.Of(family, draw));
            network.Rescale(network.RandomLogFactors(random, 1).Select(u => u == 0 ? 0 : (2 * random.NextDouble() - 1) * 12 * Math.Log(10)).ToArray());

            Solved.Run(network, new RescalingProblem(network.Network) { Norm = norm }).AssertOptimal(context: $"{family}, {type}, draw {draw}");
        }
    }

    [Test]
    public void Weights_whose_squares_overflow_or_vanish_are_solved([Values(3e-30f, 1e-23f, 1e22f, 2e30f)] float scale)
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("scale", 0), [5, 8, 8, 3], new SketchOptions { ElementTypes = [ElementType.Float32], Strided = 0, OutputScale = 0 });
        foreach (var name in new[] { "layer1", "layer2" })
        {
            for (var e = 0; e < network[name].Length; e++)
            {
                network[name][e] *= scale;
            }
        }

        foreach (var norm in new[] { 1.0, 2, 8 })
        {
            var solved = Solved.Run(network, new RescalingProblem(network.Network) { Norm = norm });
            Assert.That(solved.Result.Status, Is.EqualTo(RescalingStatus.Converged), $"p = {norm}");
            Assert.That(solved.Gap, Is.LessThan(1e-8), $"p = {norm}");
            Assert.That(solved.Result.Frozen, Is.Empty, $"p = {norm}");
        }
    }

    [Test]
    public void Smallest_and_largest_float64_are_solved([Values(1e-300, 1e300)] double scale)
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("scale", 1), [3, 4, 2]);
        foreach (var (name, factor) in new[] { ("layer1", scale), ("layer2", 1 / scale) })
        {
            for (var e = 0; e < network[name].Length; e++)
            {
                network[name][e] *= factor;
            }
        }

        var solved = Solved.Run(network);

        Assert.That(solved.Result.Status, Is.EqualTo(RescalingStatus.Converged));
        Assert.That(solved.Gap, Is.LessThan(1e-8));
    }

    private static void AssertWithin(TestNetwork network, RescalingProblem problem, double sweeps)
    {
        var solved = Solved.Run(network, problem);
        TestContext.Out.WriteLine($"{solved.Result.Sweeps} sweeps, gap {solved.Gap:e2}, bound {solved.Result.GapBound:e2}, {TestSeeds.Repeat}");
        Assert.That(solved.Result.Status, Is.EqualTo(RescalingStatus.Converged), TestSeeds.Repeat);
        Assert.That(solved.Gap, Is.LessThanOrEqualTo(1e-8), TestSeeds.Repeat);
        Assert.That(solved.Result.GapBound, Is.Not.Null.And.LessThanOrEqualTo(1e-8).And.GreaterThanOrEqualTo(solved.Gap - 1e-12), TestSeeds.Repeat);
        Assert.That(solved.Result.Sweeps, Is.LessThanOrEqualTo(sweeps), TestSeeds.Repeat);
    }
}
