using EquiNorm.Gpu.Tests.Machine;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.PtxMachine;
using EquiNorm.Solve;
using EquiNorm.Testing;
using EquiNorm.Testing.Golden;

namespace EquiNorm.Gpu.Tests.Solve;

/// <summary>What the GPU backend computes, how far a solve gets, and what it takes.</summary>
public sealed class GpuBackendTests
{
    private static readonly RescalingOptions Tight = new() { Tolerance = 1e-13, MaxSweeps = 200 };

    [Test]
    public void Golden_optima_are_reached([Values] bool large)
    {
        using var tensors = large ? GoldenNetworks.Large() : GoldenNetworks.Small();
        using var queue = new MachineQueue();
        using var gpu = new GpuBackend(queue);
        var result = RescalingSolver.Solve(new RescalingProblem(tensors.Network), tensors, Tight, gpu);
        var optimum = large ? GoldenNetworks.LargeOptimum : GoldenNetworks.SmallOptimum;
        Assert.That(result.Objective, Is.EqualTo(optimum).Within(1e-12 * optimum));
    }

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Factors_are_those_of_the_CPU(string family)
    {
        var seed = TestSeeds.Of(family, 1300);
        var network = RandomNetworks.Create(family, seed);
        using var tensors = network.Bind();
        var problem = new RescalingProblem(network.Network);
        var expected = RescalingSolver.Solve(problem, tensors, Tight);
        using var queue = new MachineQueue();
        using var gpu = new GpuBackend(queue);
        var actual = RescalingSolver.Solve(problem, tensors, Tight, gpu);
        SameOptimum.Check(problem, tensors, expected, actual, family);
    }

    [Test]
    public void Every_order_ends_at_the_same_optimum([Values] SweepOrder order, [Values("mixed", "depthwise pairs", "shuffle")] string family)
    {
        var network = RandomNetworks.Create(family, TestSeeds.Of(family, 1350));
        using var tensors = network.Bind();
        var problem = new RescalingProblem(network.Network);
        var expected = RescalingSolver.Solve(problem, tensors, Tight);
        using var queue = new MachineQueue();
        using var gpu = new GpuBackend(queue);
        var actual = RescalingSolver.Solve(problem, tensors, Tight with { Order = order }, gpu);
        SameOptimum.Check(problem, tensors, expected, actual, $"{family}, {order}");
    }

    [Test]
    public void The_same_bits_whatever_the_scheduling([Values("residual", "mixed", "grouped", "concat with add")] string family)
    {
        var seed = TestSeeds.Of(family, 1400);
        var results = new List<double[]>();
        foreach (var options in new PtxDeviceOptions[] { new(), new() { ReverseGroups = true, ReverseWarps = true }, new() { Threads = 2 } })
        {
            var network = RandomNetworks.Create(family, seed);
            using var tensors = network.Bind();
            using var queue = new MachineQueue(options);
            using var gpu = new GpuBackend(queue);
            results.Add(RescalingSolver.Solve(new RescalingProblem(network.Network), tensors, backend: gpu).Scalings!.LogFactors.ToArray());
        }

        Assert.That(results[1], Is.EqualTo(results[0]));
        Assert.That(results[2], Is.EqualTo(results[0]));
    }

    [Test]
    public void Scales_of_the_units_may_span_any_range([Values(1, 3)] int digits)
    {
        // Hidden units from 1e-6^digits to 1e6^digits: energies span the square of that.
        var network = RandomNetworks.Chain(TestSeeds.Of("range", digits), [6, 40, 40, 5], new SketchOptions { ElementTypes = [ElementType.Float64] });
        var u = network.RandomLogFactors(new Random(3), sigma: digits * 7);
        using var tensors = network.Bind();
        var problem = new RescalingProblem(network.Network);
        var expected = RescalingSolver.Solve(problem, tensors);
        network.Rescale(u);
        using var queue = new MachineQueue();
        using var gpu = new GpuBackend(queue);
        var actual = RescalingSolver.Solve(problem, tensors, backend: gpu);
        Assert.That(actual.Status, Is.EqualTo(RescalingStatus.Converged), TestSeeds.Repeat);
        Assert.That(actual.Objective, Is.EqualTo(expected.Objective).Within(2e-8 * expected.Objective), TestSeeds.Repeat);
    }

    [Test]
    public void The_element_that_is_not_finite_is_named([Values] bool transposed)
    {
        var builder = new NetworkBuilder();
        var layout = transposed ? WeightLayout.DenseTransposed(3, 5) : WeightLayout.Dense(3, 5);
        builder.Output(builder.Weight(new("a", ElementType.Float32, layout), builder.Input("x", 5)));
        var elements = Enumerable.Repeat(1f, 15).ToArray();
        elements[transposed ? 4 * 3 + 2 : 2 * 5 + 4] = float.NegativeInfinity;
        using var tensors = new NetworkTensors(builder.Build()).Bind("a", elements);
        using var queue = new MachineQueue();
        using var gpu = new GpuBackend(queue);
        var result = RescalingSolver.Solve(new RescalingProblem(tensors.Network), tensors, backend: gpu);
        Assert.That(result.Status, Is.EqualTo(RescalingStatus.NonFinite));
        Assert.That(result.Advice, Does.Contain("'a'").And.Contain("output 2").And.Contain("input 4"));
    }

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Factors_are_applied_in_one_launch_for_each_storage_type(string family)
    {
        var seed = TestSeeds.Of(family, 1500);
        ElementType[] types = [ElementType.Float32, ElementType.Float64];
        foreach (var location in Enum.GetValues<TensorLocation>())
        {
            var network = RandomNetworks.Create(family, seed, new SketchOptions { ElementTypes = types });
            var twin = network.Clone();
            var scalings = new Scalings(network.Network, network.RandomLogFactors(new Random(seed), 1));
            using var queue = new MachineQueue();
            using var device = new DeviceNetwork(queue, network);
            using var host = network.Bind();
            using var gpu = new GpuBackend(queue, location);
            var launches = queue.Counters.Launches;
            RescalingSolver.Apply(scalings, location == TensorLocation.Device ? device.Tensors : host, gpu);
            Assert.That(
                queue.Counters.Launches - launches,
                Is.EqualTo(network.Network.Weights.Where(w => w.Layout.Elements > 0).Select(w => w.ElementType).Distinct().Count()));
            if (location == TensorLocation.Device)
            {
                device.Download();
            }

            using var reference = twin.Bind();
            RescalingSolver.Apply(scalings, reference);
            foreach (var tensor in network.Tensors)
            {
                Assert.That(tensor.ToArray(), Is.EqualTo(twin[tensor.Name].ToArray()).Within(2).Ulps, $"{location}, {tensor.Name}, {TestSeeds.Repeat}");
            }
        }
    }

    // Zero, subnormal numbers and the largest ones, in tensors that need a prescale and in one that needs none.
    [Test]
    public void Energies_of_extreme_elements([Values(1, 1.5, 2, 6)] double norm, [Values(1e-310, 1e-160, 1, 1e160, 1e300)] double size)
    {
        var builder = new NetworkBuilder();
        builder.Output(builder.Weight(new("a", ElementType.Float64, WeightLayout.Dense(2, 3)), builder.Input("x", 3)));
        double[] elements = [size, 0, -size / 3, size * 1.7, 5e-324, -0.0];
        using var tensors = new NetworkTensors(builder.Build()).Bind("a", elements);
        var problem = new RescalingProblem(tensors.Network) { Norm = norm };
        var plan = EquiNorm.Plan.RescalingPlan.Create(problem);
        using var queue = new MachineQueue();
        using var gpu = new GpuBackend(queue);
        using var state = gpu.CreateState(plan, tensors);
        using var cpu = new EquiNorm.Backends.Cpu.CpuBackend(1);
        using var expected = cpu.CreateState(plan, tensors);
        Assert.That(state.Load(new double[5], EquiNorm.Backends.EnergyUse.Keep), Is.EqualTo(-1));
        expected.Load(new double[5], EquiNorm.Backends.EnergyUse.Keep);
        Assert.That(state.LogScale(0), Is.EqualTo(expected.LogScale(0)));
        foreach (var axis in Enum.GetValues<EquiNorm.Plan.Axis>())
        {
            var sum = new EquiNorm.Plan.SumRef(0, axis, 0);
            Assert.That(state.Sums(sum).ToArray(), Is.EqualTo(expected.Sums(sum).ToArray()).Within(1e-11).Percent, $"{axis}");
        }
    }

    [Test]
    public void A_steep_penalty_does_not_lose_channels()
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("depth", 0), [.. Enumerable.Repeat(5, 60)], new SketchOptions { OutputScale = 0 });
        RandomNetworks.Kill(network, new Random(2), channels: 1);
        using var tensors = network.Bind();
        var problem = new RescalingProblem(network.Network) { Penalty = WeightPenalty.Depth(2) };
        var expected = RescalingSolver.Solve(problem, tensors);
        using var queue = new MachineQueue();
        using var gpu = new GpuBackend(queue);
        var actual = RescalingSolver.Solve(problem, tensors, backend: gpu);
        Assert.That(actual.Status, Is.EqualTo(RescalingStatus.Converged), TestSeeds.Repeat);
        Assert.That(Math.Log(actual.Objective / expected.Objective), Is.EqualTo(0).Within(1e-7), TestSeeds.Repeat);
    }

    [Test]
    public void Launches_of_a_solve_do_not_grow_with_depth_before_the_certificate()
    {
        var launches = new List<double>();
        foreach (var layers in new[] { 4, 24 })
        {
            var network = RandomNetworks.Chain(TestSeeds.Of("launches", layers), [.. Enumerable.Repeat(9, layers)], new SketchOptions { ElementTypes = [ElementType.Float32], OutputScale = 0 });
            using var tensors = network.Bind();
            using var queue = new MachineQueue();
            using var gpu = new GpuBackend(queue);
            var plan = EquiNorm.Plan.RescalingPlan.Create(new RescalingProblem(network.Network));
            using var state = gpu.CreateState(plan, tensors);
            state.Load(new double[network.Network.ChannelCount], EquiNorm.Backends.EnergyUse.Keep);
            var before = queue.Counters;
            state.Refresh(plan.Singles.Span);
            state.Update(plan.Singles.Span);
            state.Refresh(plan.Singles.Span);
            launches.Add((queue.Counters - before).Launches);
        }

        Assert.That(launches, Is.EqualTo([2.0, 2.0]), "one update, one pass");
    }
}
