using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Solve;

/// <summary>Networks with nothing to do, broken elements, frozen groups.</summary>
public sealed class EdgeCaseTests
{
    [Test]
    public void Single_layer_has_nothing_free_and_is_optimal_as_it_is()
    {
        var solved = Solved.Run(RandomNetworks.Chain(1, [4, 3]));

        solved.AssertOptimal(tolerance: 0);
        Assert.That(solved.Result.Objective, Is.EqualTo(solved.Result.ObjectiveBefore));
        Assert.That(solved.Result.Residual, Is.Zero);
        Assert.That(solved.Result.GapBound, Is.Zero);
    }

    [Test]
    public void Network_without_weights_is_optimal()
    {
        var builder = new NetworkBuilder();
        builder.Output(builder.Input("x", 3));
        using var tensors = new NetworkTensors(builder.Build());

        var result = RescalingSolver.Solve(new(tensors.Network), tensors);

        Assert.That(result.Status, Is.EqualTo(RescalingStatus.Converged));
        Assert.That(result.Objective, Is.Zero);
    }

    [Test]
    public void Layers_without_channels_are_solved([Values(0, 1, 2)] int emptyLayer)
    {
        int[] widths = [3, 4, 5, 2];
        widths[emptyLayer] = 0;
        var network = RandomNetworks.Chain(3, widths, new SketchOptions { Strided = 0, OutputScale = 0, Bias = 1 });
        foreach (var options in OptimumTests.Ways())
        {
            using var tensors = network.Bind();
            var result = RescalingSolver.Solve(new(network.Network), tensors, options);
            RescalingSolver.Apply(result.Scalings!, tensors);

            Assert.That(result.Status, Is.EqualTo(RescalingStatus.Converged), $"{options}");
        }
    }

    [Test]
    public void Network_of_zeros_is_frozen_altogether()
    {
        var network = RandomNetworks.Chain(3, [3, 4, 5, 2]);
        foreach (var tensor in network.Tensors)
        {
            for (var e = 0; e < tensor.Length; e++)
            {
                tensor[e] = 0;
            }
        }

        foreach (var options in OptimumTests.Ways())
        {
            using var tensors = network.Bind();
            var result = RescalingSolver.Solve(new(network.Network), tensors, options);

            Assert.That(result.Status, Is.EqualTo(RescalingStatus.Converged), $"{options}");
            Assert.That(result.Objective, Is.Zero);
            Assert.That(result.Frozen.Count, Is.EqualTo(9));
        }
    }

    [Test]
    public void Broken_element_ends_the_solve_and_names_its_tensor(
        [Values(double.NaN, double.PositiveInfinity, double.NegativeInfinity)] double value,
        [Values] ElementType type,
        [Values("layer1", "layer2", "layer3")] string name)
    {
        var options = new SketchOptions { ElementTypes = [type], Strided = 0, OutputScale = 0, Bias = 0 };
        foreach (var width in new[] { 1, 3, 33, 65 })
        {
            var network = RandomNetworks.Chain(5, [7, width, width, 3], options, sigma: 0);
            network[name][new Random(width).Next(network[name].Length)] = value;
            var before = network.Clone();
            using var tensors = network.Bind();

            var result = RescalingSolver.Solve(new(network.Network), tensors);

            Assert.That(result.Status, Is.EqualTo(RescalingStatus.NonFinite), $"width {width}");
            Assert.That(result.Scalings, Is.Null);
            Assert.That(result.Advice, Does.Contain(name));
            Assert.That(network[name].ToArray(), Is.EqualTo(before[name].ToArray()));
        }
    }

    [Test]
    public void Broken_bias_is_named_too()
    {
        var network = RandomNetworks.Chain(5, [7, 4, 3], new SketchOptions { Bias = 1, Strided = 0, OutputScale = 0 });
        var bias = network.Network.Weights.First(w => w.Role == WeightRole.Bias).Name;
        network[bias][2] = double.NaN;
        using var tensors = network.Bind();

        var result = RescalingSolver.Solve(new(network.Network) { BiasNorm = BiasNorm.Included }, tensors);

        Assert.That(result.Status, Is.EqualTo(RescalingStatus.NonFinite));
        Assert.That(result.Advice, Does.Contain(bias));
    }

    [Test]
    public void Gaps_of_a_view_may_hold_anything()
    {
        var builder = new NetworkBuilder();
        var layout = WeightLayout.Dense(4, 3) with { OutputStride = 5, Offset = 2 };
        var hidden = builder.Weight(new("w", ElementType.Float32, layout), builder.Input("x", 3));
        builder.Output(builder.Weight(new("v", ElementType.Float32, WeightLayout.Dense(2, 4)), hidden));
        using var tensors = new NetworkTensors(builder.Build());
        var elements = Enumerable.Range(0, 20).Select(e => e >= 2 && (e - 2) % 5 < 3 ? 1f + e : float.NaN).ToArray();
        tensors.Bind("w", elements.AsMemory()).Bind("v", Enumerable.Range(1, 8).Select(e => (float)e).ToArray().AsMemory());

        Solved.Run(tensors).AssertOptimal();
    }

    [Test]
    public void Unbound_weight_is_named()
    {
        var network = RandomNetworks.Chain(5, [7, 4, 3]).Network;
        using var tensors = new NetworkTensors(network);

        Assert.That(() => RescalingSolver.Solve(new(network), tensors), Throws.InstanceOf<NetworkException>().With.Message.Contains("'layer1'"));
    }

    [Test]
    public void Frozen_weights_keep_every_element_and_the_rest_is_optimal()
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("freeze", 0), [5, 8, 8, 8, 8, 3]);
        var frozen = network.Network.Freeze(["layer3"]);
        using var tensors = new NetworkTensors(frozen);
        foreach (var tensor in network.Tensors)
        {
            tensor.BindTo(tensors);
        }

        var before = network.Clone();
        var solved = Solved.Run(tensors);
        solved.AssertOptimal();
        RescalingSolver.Apply(solved.Result.Scalings!, tensors);

        Assert.That(network["layer3"].ToArray(), Is.EqualTo(before["layer3"].ToArray()));
        Assert.That(network["layer1"].ToArray(), Is.Not.EqualTo(before["layer1"].ToArray()));
        Assert.That(network["layer5"].ToArray(), Is.Not.EqualTo(before["layer5"].ToArray()));
    }

    // A stream of 3 that reads itself: channel 0 is an ordinary one; 1 and 2 feed each other and are cut off on one side or on both.
    [TestCase(0, 0)]
    [TestCase(1, 0)]
    [TestCase(0, 1)]
    public void Channels_that_feed_each_other_but_no_output_are_disconnected(double entry, double exit)
    {
        var builder = new NetworkBuilder();
        var stream = builder.Weight(new("stem", ElementType.Float64, WeightLayout.Dense(3, 1)), builder.Input("input", 1));
        stream = builder.Add(stream, builder.Weight(new("loop", ElementType.Float64, WeightLayout.Dense(3, 3)), stream));
        builder.Output(builder.Weight(new("head", ElementType.Float64, WeightLayout.Dense(1, 3)), stream));
        using var tensors = new NetworkTensors(builder.Build());
        tensors.Bind("stem", new[] { 1, entry, 0 }.AsMemory());
        tensors.Bind("loop", new double[] { 3, 0, 0, 0, 0, 1, 0, 1, 5 }.AsMemory());
        tensors.Bind("head", new[] { 2, exit, 0 }.AsMemory());
        foreach (var options in OptimumTests.Ways())
        {
            var solved = Solved.Run(tensors, options: options);
            solved.AssertOptimal(context: $"{options}");
            Assert.That(solved.Result.Frozen.Select(f => (f.Channel, f.Reason)), Is.EqualTo(new[]
            {
                (1, FrozenReason.Disconnected), (2, FrozenReason.Disconnected),
            }));
        }
    }

    [Test]
    public void Tensors_of_another_network_are_refused()
    {
        using var tensors = RandomNetworks.Chain(5, [7, 4, 3]).Bind();

        Assert.That(() => RescalingSolver.Solve(new(RandomNetworks.Chain(5, [7, 4, 3]).Network), tensors), Throws.ArgumentException);
    }

    [Test]
    public void Elements_that_leave_the_range_of_their_type_are_counted()
    {
        var network = RandomNetworks.Chain(5, [2, 1, 2], new SketchOptions { ElementTypes = [ElementType.Float16], Strided = 0, OutputScale = 0, Bias = 0 }, sigma: 0);
        foreach (var name in new[] { "layer1", "layer2" })
        {
            (network[name][0], network[name][1]) = (1, 0.5);
        }

        using var tensors = network.Bind();
        var report = RescalingSolver.Apply(new Scalings(network.Network, [0, 0, 40, 0, 0]), tensors);

        Assert.That((report.Overflowed, report.Underflowed), Is.EqualTo((2, 2)));
    }

    [Test]
    public void Dead_and_unreachable_channels_are_listed_as_the_oracle_finds_them()
    {
        foreach (var family in RandomNetworks.Families)
        {
            for (var draw = 0; draw < 5; draw++)
            {
                var random = new Random(TestSeeds.Of(family, 300 + draw));
                var network = RandomNetworks.Create(family, TestSeeds.Of(family, 300 + draw), new SketchOptions { Sparsity = random.Pick(0, 0.8) });
                RandomNetworks.Kill(network, random, random.Next(1, 6));
                var solved = Solved.Run(network);
                var message = $"{family}, draw {draw}, {TestSeeds.Repeat}";
                solved.AssertOptimal(context: message);
                var frozen = Enumerable.Range(0, solved.Oracle.Frozen.Length).Where(c => solved.Oracle.Frozen[c] != OracleFreeze.None);
                var listed = solved.Result.Frozen.Select(f => f.Group.FirstChannel + f.Channel).Order();
                Assert.That(listed, Is.EqualTo(frozen), message);
            }
        }
    }
}
