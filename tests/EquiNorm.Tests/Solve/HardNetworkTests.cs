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
    public void A_thousand_layers_need_at_most_twenty_sweeps([Values(4, 8)] int width) =>
        AssertWithin(20, "deep", seed => RandomNetworks.Chain(seed, [5, .. Enumerable.Repeat(width, 1000), 4]));

    [Test]
    public void A_thousand_layers_with_a_steep_penalty_need_at_most_twenty_sweeps() =>
        AssertWithin(20, "steep", seed => RandomNetworks.Chain(seed, [5, .. Enumerable.Repeat(6, 1000), 4]), WeightPenalty.Depth(1.5));

    [Test]
    public void Ten_weakly_tied_clusters_need_at_most_thirty_sweeps([Values(1e-2, 1e-3, 1e-4)] double tie) =>
        AssertWithin(30, "clusters", seed => RandomNetworks.Clustered(seed, layers: 15, clusters: 10, unitsPerCluster: 6, tie));

    [Test]
    public void Three_connections_a_unit_need_at_most_thirty_sweeps() =>
        AssertWithin(30, "sparse", seed => RandomNetworks.Sparse(seed, layers: 15, width: 100));

    [Test]
    public void Fifteen_dense_layers_need_at_most_five_sweeps_certificate_included() =>
        AssertWithin(5, "wide", seed => RandomNetworks.Chain(seed, [300, .. Enumerable.Repeat(120, 15), 10]));

    // p = 8 and a penalty by depth: some channels pass each other nearly all of the flow, and what ties them to the rest is a thousandth, or a
    // million millionth of it. Found by scans over random networks, each with its first cause; decision 0015.
    [TestCase(1610216710, TestName = "Hard_flow(a pair within a stream swings far from the optimum, 1)")]
    [TestCase(1350891101, TestName = "Hard_flow(a pair within a stream swings far from the optimum, 2)")]
    [TestCase(1881221579, TestName = "Hard_flow(a pair within a stream swings where F is flat, 1)")]
    [TestCase(2031780962, TestName = "Hard_flow(a pair within a stream swings where F is flat, 2)")]
    [TestCase(927488981, TestName = "Hard_flow(a pair within a stream swings where F is flat, 3)")]
    [TestCase(2388185, TestName = "Hard_flow(a cluster over three groups moves slowly where F is flat)")]
    [TestCase(1176283452, TestName = "Hard_flow(convergence is slow where F is flat)")]
    [TestCase(1037381800, TestName = "Hard_flow(a group of little flow is out of balance where F is flat, 1)")]
    [TestCase(748255464, TestName = "Hard_flow(a group of little flow is out of balance where F is flat, 2)")]
    [TestCase(1918687484, TestName = "Hard_flow(the residual falls while the bound waits)")]
    [TestCase(926721623, TestName = "Hard_flow(rounding moves groups that hang by a thread, 1)")]
    [TestCase(1876425108, TestName = "Hard_flow(rounding moves groups that hang by a thread, 2)")]
    public void Flow_that_goes_round_among_few_channels_is_balanced(int seed)
    {
        var network = RandomNetworks.Create("mixed", seed);
        var solved = Solved.Run(network, new(network.Network) { Norm = 8, Penalty = WeightPenalty.Depth(1.7) });

        solved.AssertOptimal();
        Assert.That(solved.Result.Sweeps, Is.LessThan(150));
    }

    [Test]
    public void Channels_that_swing_come_to_rest_in_every_order(
        [Values(510923579, 2104077160, 1161288745)] int seed, [Values] SweepOrder order)
    {
        var network = RandomNetworks.Create("self-edge", seed);
        var solved = Solved.Run(network, new(network.Network) { Norm = 8 }, new RescalingOptions { Order = order });

        solved.AssertOptimal(context: $"{order}");
        Assert.That(solved.Result.Sweeps, Is.LessThan(60));
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

    // How many sweeps it takes is known of these three networks, and of no draw for certain; that the end is the optimum holds for every draw.
    private static void AssertWithin(double sweeps, string name, Func<int, TestNetwork> create, WeightPenalty? penalty = null)
    {
        foreach (var (seed, most) in new[] { (1, sweeps), (2, sweeps), (3, sweeps), (TestSeeds.Of(name, 0), double.PositiveInfinity) })
        {
            var network = create(seed);
            var solved = Solved.Run(network, new(network.Network) { Penalty = penalty ?? WeightPenalty.Uniform });
            var message = $"seed {seed}, {solved.Result.Sweeps} sweeps, gap {solved.Gap:e2}, bound {solved.Result.GapBound:e2}, {TestSeeds.Repeat}";
            TestContext.Out.WriteLine(message);
            Assert.That(solved.Result.Status, Is.EqualTo(RescalingStatus.Converged), message);
            Assert.That(solved.Gap, Is.LessThanOrEqualTo(1e-8), message);
            Assert.That(solved.Result.GapBound, Is.Not.Null.And.LessThanOrEqualTo(1e-8).And.GreaterThanOrEqualTo(solved.Gap - 1e-12), message);
            Assert.That(solved.Result.Sweeps, Is.LessThanOrEqualTo(most), message);
        }
    }
}
