using EquiNorm.Backends;
using EquiNorm.Backends.Cpu;
using EquiNorm.Gpu.Step;
using EquiNorm.Gpu.Tests.Machine;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.PtxMachine;
using EquiNorm.Solve;
using EquiNorm.Testing;

namespace EquiNorm.Gpu.Tests.Solve;

/// <summary>Largest magnitudes and limits on factors: the GPU backend, on the PTX machine, against the CPU backend.</summary>
public sealed class GpuLimitTests
{
    private static readonly ElementType[] Types = [ElementType.Float32, ElementType.Float64, ElementType.Float16, ElementType.BFloat16];

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Largest_magnitudes_end_where_they_end_on_the_CPU(string family)
    {
        for (var draw = 0; draw < 2; draw++)
        {
            var seed = TestSeeds.Of(family, 1600 + draw);
            var random = new Random(seed);
            var network = RandomNetworks.Create(family, seed, new SketchOptions { ElementTypes = Types });
            if (draw == 1)
            {
                RandomNetworks.Kill(network, random, channels: 3);
            }

            using var tensors = network.Bind();
            var problem = new RescalingProblem(network.Network)
            {
                Norm = double.PositiveInfinity,
                Penalty = random.Pick(WeightPenalty.Uniform, WeightPenalty.Depth(1.3)),
            };
            double? gain = draw == 0 ? null : 2;
            var options = new RescalingOptions { Tolerance = 1e-9, MaxSweeps = 100_000, MaxGain = gain };
            AssertSame(problem, tensors, options, $"{family}, draw {draw}");
        }
    }

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Limited_factors_end_where_they_end_on_the_CPU(string family)
    {
        for (var draw = 0; draw < 2; draw++)
        {
            var seed = TestSeeds.Of(family, 1620 + draw);
            var random = new Random(seed);
            var network = RandomNetworks.Create(family, seed, new SketchOptions { ElementTypes = Types });
            using var tensors = network.Bind();
            var problem = new RescalingProblem(network.Network) { Norm = random.Pick(2.0, 1.0, 1.5) };
            var options = new RescalingOptions { Tolerance = 1e-13, MaxSweeps = 300, MaxGain = random.Pick(1.2, 2, 5) };
            AssertSame(problem, tensors, options, $"{family}, draw {draw}, p = {problem.Norm}, G = {options.MaxGain}");
        }
    }

    [Test]
    public void Every_order_keeps_the_limit(
        [Values] SweepOrder order, [Values("mixed", "depthwise pairs", "self-edge")] string family, [Values(2, double.PositiveInfinity)] double norm)
    {
        var network = RandomNetworks.Create(family, TestSeeds.Of(family, 1640));
        using var tensors = network.Bind();
        var problem = new RescalingProblem(network.Network) { Norm = norm };
        var tolerance = norm == 2 ? 1e-12 : 1e-9;
        var options = new RescalingOptions { Order = order, Tolerance = tolerance, MaxSweeps = 10_000, MaxGain = 1.5 };
        using var queue = new MachineQueue();
        using var gpu = new GpuBackend(queue);
        var result = RescalingSolver.Solve(problem, tensors, options, gpu);
        var limit = Math.Log(1.5);
        var oracle = new OracleProblem(tensors, norm);
        Assert.That(result.Status, Is.EqualTo(RescalingStatus.Converged), TestSeeds.Repeat);
        Assert.That(result.Scalings!.LogFactors.ToArray().Select(Math.Abs).Max(), Is.LessThanOrEqualTo(limit), TestSeeds.Repeat);
        if (norm == 2)
        {
            var optimum = OracleSolver.ProjectedDescent(oracle, limit);
            Assert.That(result.Objective / optimum.Objective - 1, Is.LessThan(1.1e-9), TestSeeds.Repeat);

            // How far a channel is from its balance depends on its share of F; what it could still gain does not.
            Assert.That(
                oracle.LargestGain(result.Scalings.LogFactors, limit), Is.LessThanOrEqualTo(oracle.GapOf(result, limit) + OptimumDistance.Rounding), TestSeeds.Repeat);
        }
        else
        {
            Assert.That(oracle.Residual(result.Scalings.LogFactors, limit), Is.LessThan(1.1e-9), TestSeeds.Repeat);
        }
    }

    [TestCase(float.NaN)]
    [TestCase(float.PositiveInfinity)]
    public void What_is_not_finite_is_found(float bad)
    {
        foreach (var family in new[] { "dense chain", "convolution 2-D", "depthwise pairs", "self-edge", "concat with add" })
        {
            var network = RandomNetworks.Create(family, TestSeeds.Of(family, 1650), new SketchOptions { Strided = 0 });
            var random = new Random(TestSeeds.Of(family, 1651));
            var weight = random.Pick([.. network.Network.Weights.Where(w => w.Role == WeightRole.Weight)]);
            network[weight.Name][random.Pick(TestNetwork.Elements(weight.Layout).ToArray()).Address] = bad;
            using var tensors = network.Bind();
            using var queue = new MachineQueue();
            using var gpu = new GpuBackend(queue);
            var result = RescalingSolver.Solve(new RescalingProblem(network.Network) { Norm = double.PositiveInfinity }, tensors, backend: gpu);
            Assert.That(result.NonFinite?.Weight.Name, Is.EqualTo(weight.Name), $"{family}, {TestSeeds.Repeat}");
        }
    }

    [Test]
    public void Shapes_around_a_warp_and_a_tile_agree([Values(1, 31, 32, 33, 257)] int width, [Values] ElementType type)
    {
        var options = new SketchOptions { ElementTypes = [type], Strided = 0, OutputScale = 0 };
        var network = RandomNetworks.Chain(TestSeeds.Of("widths", width), [3, width, 300, width, 2], options);
        using var tensors = network.Bind();
        var problem = new RescalingProblem(network.Network) { Norm = double.PositiveInfinity };
        AssertSame(problem, tensors, new RescalingOptions { Tolerance = 1e-9, MaxSweeps = 10_000 }, $"{width}, {type}");
    }

    [Test]
    public void The_same_bits_whatever_the_scheduling([Values("residual", "mixed")] string family)
    {
        var results = new List<double[]>();
        foreach (var options in new PtxDeviceOptions[] { new(), new() { ReverseGroups = true, ReverseWarps = true }, new() { Threads = 2 } })
        {
            var network = RandomNetworks.Create(family, TestSeeds.Of(family, 1660));
            using var tensors = network.Bind();
            using var queue = new MachineQueue(options);
            using var gpu = new GpuBackend(queue);
            var problem = new RescalingProblem(network.Network) { Norm = double.PositiveInfinity };
            results.Add(RescalingSolver.Solve(problem, tensors, new RescalingOptions { MaxGain = 3 }, gpu).Scalings!.LogFactors.ToArray());
        }

        Assert.That(results[1], Is.EqualTo(results[0]));
        Assert.That(results[2], Is.EqualTo(results[0]));
    }

    [Test]
    public void Steps_refuse_largest_magnitudes()
    {
        var network = RandomNetworks.Create("dense chain", 3, new SketchOptions { OutputScale = 0 });
        using var tensors = network.Bind();
        using var queue = new MachineQueue();
        Assert.That(
            () => new GpuStepper(new RescalingProblem(network.Network) { Norm = double.PositiveInfinity }, tensors, queue),
            Throws.InstanceOf<UnsupportedProblemException>());
    }

    private static void AssertSame(RescalingProblem problem, NetworkTensors tensors, RescalingOptions options, string context)
    {
        var repeat = $"{context}, {TestSeeds.Repeat}";
        using var cpu = new CpuBackend(1);
        var expected = RescalingSolver.Solve(problem, tensors, options, cpu);
        using var queue = new MachineQueue();
        using var gpu = new GpuBackend(queue);
        var actual = RescalingSolver.Solve(problem, tensors, options, gpu);
        Assert.Multiple(() =>
        {
            Assert.That(actual.ObjectiveBefore, Is.EqualTo(expected.ObjectiveBefore).Within(1e-9).Percent, repeat);
            Assert.That(actual.Frozen.Select(f => (f.Group.Index, f.Channel)), Is.EqualTo(expected.Frozen.Select(f => (f.Group.Index, f.Channel))), repeat);
        });
        if (problem.TakesLargest)
        {
            AssertBalanced(problem, tensors, options, expected, actual, repeat);
        }
        else
        {
            SameOptimum.Check(problem, tensors, expected, actual, context, options.MaxGain);
        }
    }

    // At p = infinity every point in balance will do. It is unique where no stream feeds itself; where one does it depends on which of two
    // equal magnitudes is met first, and with it on rounding.
    private static void AssertBalanced(
        RescalingProblem problem, NetworkTensors tensors, RescalingOptions options, RescalingResult expected, RescalingResult actual, string context)
    {
        var limit = options.MaxGain is { } gain ? Math.Log(gain) : double.PositiveInfinity;
        var (u, v) = (expected.Scalings!.LogFactors.ToArray(), actual.Scalings!.LogFactors.ToArray());
        Assert.Multiple(() =>
        {
            Assert.That(actual.Status, Is.EqualTo(expected.Status), context);
            Assert.That(actual.GapBound, Is.Null, context);
            Assert.That(
                OptimumDistance.OracleOf(problem, tensors).Residual(v, limit), Is.InRange(0, Math.Max(1.1 * options.Tolerance!.Value, 10 * expected.Residual)), context);
            if (!EquiNorm.Plan.RescalingPlan.Create(problem).HasCycles)
            {
                Assert.That(v, Is.EqualTo(u).Within(1e-7), context);
                Assert.That(actual.Objective, Is.EqualTo(expected.Objective).Within(1e-6).Percent, context);
            }
        });
    }
}
