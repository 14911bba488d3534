using EquiNorm.Gpu.Tests.Machine;
using EquiNorm.Problem;
using EquiNorm.PtxMachine;
using EquiNorm.Solve;
using EquiNorm.Testing;
using EquiNorm.Testing.Golden;

namespace EquiNorm.Gpu.Tests.Solve;

/// <summary>How far a solve on the device gets, and what it takes.</summary>
public sealed class GoldenTests
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
        Assert.Multiple(() =>
        {
            Assert.That(actual.Residual, Is.LessThanOrEqualTo(1e-5), $"{family}, {TestSeeds.Repeat}");
            Assert.That(Largest(actual.Scalings!, expected.Scalings!), Is.LessThanOrEqualTo(1e-5), $"{family}, {TestSeeds.Repeat}");
        });
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
        Assert.That(actual.Objective, Is.EqualTo(expected.Objective).Within(1e-11 * expected.Objective), TestSeeds.Repeat);
        Assert.That(Largest(actual.Scalings!, expected.Scalings!), Is.LessThanOrEqualTo(1e-5), TestSeeds.Repeat);
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
        var network = RandomNetworks.Chain(TestSeeds.Of("range", digits), [6, 40, 40, 5], new SketchOptions { ElementTypes = [EquiNorm.Model.ElementType.Float64] });
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
    public void Launches_of_a_solve_do_not_grow_with_depth_before_the_certificate()
    {
        var launches = new List<double>();
        foreach (var layers in new[] { 4, 24 })
        {
            var network = RandomNetworks.Chain(TestSeeds.Of("launches", layers), [.. Enumerable.Repeat(9, layers)], new SketchOptions { ElementTypes = [EquiNorm.Model.ElementType.Float32], OutputScale = 0 });
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

    private static double Largest(Scalings actual, Scalings expected)
    {
        double largest = 0;
        for (var c = 0; c < actual.LogFactors.Length; c++)
        {
            largest = Math.Max(largest, Math.Abs(actual.LogFactors[c] - expected.LogFactors[c]));
        }

        return largest;
    }
}
