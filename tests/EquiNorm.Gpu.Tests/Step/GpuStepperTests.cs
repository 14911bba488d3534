using EquiNorm.Backends;
using EquiNorm.Backends.Cpu;
using EquiNorm.Gpu.Step;
using EquiNorm.Gpu.Tests.Machine;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.PtxMachine;
using EquiNorm.Solve;
using EquiNorm.Testing;

namespace EquiNorm.Gpu.Tests.Step;

/// <summary>A step on the device does what a step on the CPU does.</summary>
public sealed class GpuStepperTests
{
    private static readonly ElementType[] Types = [ElementType.Float32, ElementType.Float64, ElementType.Float16, ElementType.BFloat16];

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void A_step_applies_the_factors_of_the_CPU(string family)
    {
        for (var draw = 0; draw < 3; draw++)
        {
            var seed = TestSeeds.Of(family, 900 + draw);
            var random = new Random(seed);
            var network = RandomNetworks.Create(family, seed, new SketchOptions { ElementTypes = Types, OutputScale = 0 });
            if (draw == 2)
            {
                RandomNetworks.Kill(network, random, channels: 3);
            }

            var context = $"{family}, draw {draw}, {TestSeeds.Repeat}";
            var problem = new RescalingProblem(network.Network) { Norm = random.Pick(2.0, 2.0, 1.0, 1.5, 6.0) };
            var (twin, scaled) = (network.Clone(), network.Clone());
            using var tensors = twin.Bind();
            using var scaledTensors = scaled.Bind();
            var law = new StepLaw(OptimumDistance.OracleOf(problem, tensors));
            using var queue = new MachineQueue();
            using var device = new DeviceNetwork(queue, network);
            using var stepper = new GpuStepper(problem, device.Tensors, queue);
            stepper.Step();
            var report = stepper.ReadReport();
            var scalings = stepper.ReadScalings();

            using var cpu = new CpuBackend(1);
            using var reference = new RescalingStepper(problem, tensors, cpu);
            var expected = reference.Step();
            if (expected.FrozenChannels != report.FrozenChannels)
            {
                // A step on the device does not look for channels that are cut off without being dead.
                Assert.That(report.FrozenChannels, Is.LessThan(expected.FrozenChannels), context);
                continue;
            }

            // Factors as close as they are determined; elements, rounded once, by the factors that the device says that it applied.
            device.Download();
            var applied = RescalingSolver.Apply(scalings, scaledTensors, cpu);
            Assert.Multiple(() =>
            {
                Assert.That(report.Outcome, Is.EqualTo(StepOutcome.Applied), context);
                Assert.That(report.ObjectiveBefore, Is.EqualTo(expected.ObjectiveBefore).Within(1e-12 * expected.ObjectiveBefore), context);
                Assert.That(report.Residual, Is.InRange(law.LeastResidual, law.LargestResidual), context);
                Assert.That(expected.Residual, Is.InRange(law.LeastResidual, law.LargestResidual), $"{context}, on the CPU");
                Assert.That(law.Excess(scalings.LogFactors), Is.LessThanOrEqualTo(1), context);
                Assert.That(law.Excess(reference.ReadScalings().LogFactors), Is.LessThanOrEqualTo(1), $"{context}, on the CPU");
                Assert.That(report.Applied, Is.EqualTo(applied), context);
                foreach (var tensor in network.Tensors)
                {
                    Assert.That(Wrong(tensor, scaled[tensor.Name]), Is.Empty, $"{context}, {tensor.Name}");
                }
            });
        }
    }

    [Test]
    public void No_step_raises_the_objective([Values("dense chain", "residual", "mixed")] string family) =>
        Descend(family, TestSeeds.Of(family, 950), steps: 12);

    // How many steps it takes differs from network to network: these are fixed.
    [Test]
    public void Steps_end_at_the_optimum([Values("dense chain", "residual", "mixed")] string family, [Values(950, 951)] int seed)
    {
        var (last, optimum) = Descend(family, seed, steps: 60);
        Assert.That(last, Is.EqualTo(optimum).Within(1e-4 * optimum));
    }

    private static (double Last, double Optimum) Descend(string family, int seed, int steps)
    {
        var network = RandomNetworks.Create(family, seed, new SketchOptions { OutputScale = 0 });
        var problem = new RescalingProblem(network.Network);
        using var queue = new MachineQueue();
        using var tensors = network.Bind();
        var optimum = RescalingSolver.Solve(problem, tensors, new RescalingOptions { Tolerance = 1e-10 }).Objective;
        using var device = new DeviceNetwork(queue, network);
        using var stepper = new GpuStepper(problem, device.Tensors, queue);
        double last = double.PositiveInfinity;
        for (var n = 0; n < steps; n++)
        {
            stepper.Step();
            var report = stepper.ReadReport();
            Assert.That(report.ObjectiveBefore, Is.InRange(optimum * (1 - 1e-9), last * (1 + 1e-12)), $"{family}, step {n}, {TestSeeds.Repeat}");
            last = report.ObjectiveBefore;
        }

        return (last, optimum);
    }

    [Test]
    public void A_step_is_launches_only_however_deep_the_network_is([Values(3, 40)] int layers)
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("deep", layers), [.. Enumerable.Repeat(8, layers)], new SketchOptions { ElementTypes = [ElementType.Float32], OutputScale = 0 });
        using var queue = new MachineQueue();
        using var device = new DeviceNetwork(queue, network);
        using var stepper = new GpuStepper(new RescalingProblem(network.Network), device.Tensors, queue);
        stepper.Step();
        var before = queue.Counters;
        stepper.Step();

        Assert.That(queue.Counters - before, Is.EqualTo(new QueueCounters(Launches: 6, Copies: 0, Synchronizations: 0, Allocations: 0)));
        Assert.That(stepper.LaunchesPerStep, Is.EqualTo(6));
    }

    [Test]
    public void More_groups_than_the_device_corrects_are_updated_without_a_correction()
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("long", 0), [.. Enumerable.Repeat(2, 260)], new SketchOptions { OutputScale = 0, Bias = 0 }, sigma: 0.1);
        var problem = new RescalingProblem(network.Network);
        using var queue = new MachineQueue();
        using var device = new DeviceNetwork(queue, network);
        using var stepper = new GpuStepper(problem, device.Tensors, queue);
        Assert.That(stepper.CorrectsGroups, Is.False);

        // One Jacobi update of the solver, from the same weights.
        using var tensors = network.Bind();
        var plan = EquiNorm.Plan.RescalingPlan.Create(problem);
        using var cpu = new CpuBackend(1);
        using var state = cpu.CreateState(plan, tensors);
        state.Load(new double[network.Network.ChannelCount], EquiNorm.Backends.EnergyUse.Keep);
        state.Update(plan.Singles.Span);
        var expected = new double[network.Network.ChannelCount];
        state.ReadLogFactors(expected);

        stepper.Step();
        Assert.That(Difference(stepper.ReadScalings().LogFactors.ToArray(), expected), Is.LessThan(1e-12), TestSeeds.Repeat);
    }

    [Test]
    public void Tensors_may_begin_at_any_element([ValueSource(nameof(Types))] ElementType type, [Values(1, 3)] int elements)
    {
        var seed = TestSeeds.Of("misaligned", elements);
        foreach (var offset in new[] { 0, elements * type.ByteSize() })
        {
            var network = RandomNetworks.Create("convolution 2-D", seed, new SketchOptions { ElementTypes = [type], OutputScale = 0, Strided = 0 });
            var problem = new RescalingProblem(network.Network);
            using var tensors = network.Bind();
            var law = new StepLaw(OptimumDistance.OracleOf(problem, tensors));
            using var queue = new MachineQueue();
            using var device = new DeviceNetwork(queue, network, offset);
            using var stepper = new GpuStepper(problem, device.Tensors, queue);
            stepper.Step();
            Assert.That(law.Excess(stepper.ReadScalings().LogFactors), Is.LessThanOrEqualTo(1), $"{offset} bytes off, {TestSeeds.Repeat}");
        }
    }

    [Test]
    public void Half_an_element_is_refused()
    {
        var network = RandomNetworks.Chain(1, [3, 4, 2], new SketchOptions { ElementTypes = [ElementType.Float32], OutputScale = 0, Strided = 0 });
        using var queue = new MachineQueue();
        using var device = new DeviceNetwork(queue, network, offset: 2);
        Assert.That(
            () => new GpuStepper(new RescalingProblem(network.Network), device.Tensors, queue).Prepare(),
            Throws.InstanceOf<NetworkException>().With.Message.Contains("not a multiple of the 4 bytes"));
    }

    [Test]
    public void Nothing_is_written_where_a_weight_is_not_finite([Values(double.NaN, double.PositiveInfinity)] double value)
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("nan", 0), [5, 40, 7], new SketchOptions { ElementTypes = [ElementType.Float32], OutputScale = 0, Strided = 0 });
        network.Tensors[0][17] = value;
        var before = network.Tensors.Select(t => t.ToArray()).ToArray();
        using var queue = new MachineQueue();
        using var device = new DeviceNetwork(queue, network);
        using var stepper = new GpuStepper(new RescalingProblem(network.Network), device.Tensors, queue);
        stepper.Step();
        Assert.That(stepper.ReadReport().Outcome, Is.EqualTo(StepOutcome.NonFinite));
        Assert.That(stepper.ReadReport().NonFinite, Is.SameAs(network.Network.Weight(network.Tensors[0].Name)));
        device.Download();
        Assert.That(network.Tensors.Select(t => t.ToArray()).ToArray(), Is.EqualTo(before));

        // The next step sees what is there then.
        network.Tensors[0][17] = 0.5;
        device.Upload();
        stepper.Step();
        Assert.That(stepper.ReadReport().Outcome, Is.EqualTo(StepOutcome.Applied));
    }

    [Test]
    public void Steep_factors_are_refused_and_nothing_is_written()
    {
        // A penalty that grows with depth asks for factors beyond float64.
        var network = RandomNetworks.Chain(TestSeeds.Of("steep", 0), [.. Enumerable.Repeat(4, 100)], new SketchOptions { ElementTypes = [ElementType.Float32], OutputScale = 0 });
        var before = network.Tensors.Select(t => t.ToArray()).ToArray();
        using var queue = new MachineQueue();
        using var device = new DeviceNetwork(queue, network);
        using var stepper = new GpuStepper(new RescalingProblem(network.Network) { Penalty = WeightPenalty.Depth(1e6) }, device.Tensors, queue);
        stepper.Step();
        var report = stepper.ReadReport();
        Assert.That(report.Outcome, Is.EqualTo(StepOutcome.OutOfRange));
        Assert.That(stepper.ReadScalings().LogFactors.ToArray(), Is.All.Zero);
        device.Download();
        Assert.That(network.Tensors.Select(t => t.ToArray()).ToArray(), Is.EqualTo(before));
    }

    [Test]
    public void Sources_of_one_group_may_have_penalties_far_apart()
    {
        var sketch = new NetworkSketch(new Random(5), new SketchOptions { OutputScale = 0, Bias = 0, Strided = 0 });
        var input = sketch.Input(3);
        var parts = sketch.Concat(sketch.Dense(input, 4, "strong"), sketch.Dense(input, 4, "weak"));
        sketch.Output(sketch.Dense(sketch.Activate(parts), 2, "last"));
        var network = sketch.Build();
        var problem = new RescalingProblem(network.Network)
        {
            Penalty = WeightPenalty.ByName(new Dictionary<string, double> { ["strong"] = 1e120, ["weak"] = 1e-120, ["last"] = 1 }),
        };
        using var queue = new MachineQueue();
        using var device = new DeviceNetwork(queue, network);
        using var stepper = new GpuStepper(problem, device.Tensors, queue);
        stepper.Step();
        var report = stepper.ReadReport();
        Assert.That((report.FrozenChannels, report.Outcome), Is.EqualTo((0, StepOutcome.Applied)));

        using var tensors = network.Bind();
        using var gpu = new GpuBackend(queue);
        var actual = RescalingSolver.Solve(problem, tensors, backend: gpu);
        var expected = RescalingSolver.Solve(problem, tensors);
        Assert.That(actual.Status, Is.EqualTo(expected.Status));
        Assert.That(actual.Objective, Is.EqualTo(expected.Objective).Within(1e-7 * expected.Objective));
    }

    [Test]
    public void The_same_bits_whatever_the_scheduling([Values("residual", "mixed", "grouped")] string family)
    {
        var seed = TestSeeds.Of(family, 960);
        var results = new List<double[]>();
        foreach (var options in new PtxDeviceOptions[] { new(), new() { ReverseGroups = true, ReverseWarps = true }, new() { Threads = 2 } })
        {
            var network = RandomNetworks.Create(family, seed, new SketchOptions { ElementTypes = Types, OutputScale = 0 });
            using var queue = new MachineQueue(options);
            using var device = new DeviceNetwork(queue, network);
            using var stepper = new GpuStepper(new RescalingProblem(network.Network), device.Tensors, queue);
            stepper.Step();
            stepper.Step();
            device.Download();
            results.Add([.. stepper.ReadScalings().LogFactors, .. network.Tensors.SelectMany(t => t.ToArray())]);
        }

        Assert.That(results[1], Is.EqualTo(results[0]));
        Assert.That(results[2], Is.EqualTo(results[0]));
    }

    [Test]
    public void Companions_move_with_their_weight()
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("companions", 0), [6, 33, 9], new SketchOptions { ElementTypes = [ElementType.Float32], OutputScale = 0 });
        var weight = network.Network.Weights[0];
        var elements = weight.Layout.RequiredElements;
        using var queue = new MachineQueue();
        using var device = new DeviceNetwork(queue, network);
        var old = network.Tensors.Single(t => t.Name == weight.Name).ToArray();
        var kinds = Enum.GetValues<CompanionKind>();
        var memory = kinds.Select(_ => queue.Allocate(elements * sizeof(double))).ToArray();
        var ones = Enumerable.Repeat(1.0, (int)elements).ToArray();
        foreach (var part in memory)
        {
            queue.Device.Write<double>(part.Address, ones);
        }

        for (var n = 0; n < kinds.Length; n++)
        {
            device.Tensors.BindCompanion(weight.Name, kinds[n], new TensorMemory((nint)memory[n].Address, elements, ElementType.Float64));
        }

        using var stepper = new GpuStepper(new RescalingProblem(network.Network), device.Tensors, queue);
        stepper.Step();
        var u = stepper.ReadScalings().LogFactors.ToArray();
        var outputs = weight.Outputs.ToChannels(network.Network.Groups);
        var inputs = weight.Inputs.ToChannels(network.Network.Groups);
        foreach (var (o, i, at) in TestNetwork.Elements(weight.Layout))
        {
            var s = Math.Exp(u[outputs[o]] - u[inputs[i]]);
            for (var n = 0; n < kinds.Length; n++)
            {
                var expected = kinds[n] switch { CompanionKind.Copy => s, CompanionKind.FirstMoment => 1 / s, _ => 1 / (s * s) };
                var actual = queue.Device.Read<double>(memory[n].Address + (ulong)(8 * at), 1)[0];
                Assert.That(actual, Is.EqualTo(expected).Within(1e-12 * expected), $"{kinds[n]}, [{o}, {i}], {TestSeeds.Repeat}");
            }
        }
    }

    // The first few elements that differ by more than rounding.
    private static IEnumerable<string> Wrong(TestTensor actual, TestTensor wanted)
    {
        // A factor comes as a logarithm: there and back it loses some units in the last place of float64, and an element a place of its type.
        var relative = 2 * actual.ElementType.UnitRoundoff() + 1e-14;
        var smallest = actual.ElementType switch
        {
            ElementType.Float64 => double.Epsilon,
            ElementType.Float32 => float.Epsilon,
            ElementType.Float16 => (double)Half.Epsilon,
            _ => Math.ScaleB(1, -133),
        };
        return Enumerable.Range(0, actual.Length)
            .Where(i => actual[i] != wanted[i] && !(Math.Abs(actual[i] - wanted[i]) <= relative * Math.Abs(wanted[i]) + smallest))
            .Select(i => $"[{i}] {actual[i]} instead of {wanted[i]}")
            .Take(3);
    }

    private static double Difference(double[] actual, ReadOnlySpan<double> expected)
    {
        double largest = 0;
        for (var c = 0; c < actual.Length; c++)
        {
            var difference = Math.Abs(actual[c] - expected[c]);
            largest = double.IsNaN(difference) ? double.PositiveInfinity : Math.Max(largest, difference);
        }

        return largest;
    }
}
