using EquiNorm.Backends;
using EquiNorm.Embedding;
using EquiNorm.Gpu.Tests.Machine;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;

namespace EquiNorm.Gpu.Tests.Step;

/// <summary>Sessions on tensors of a device: the same API as on the CPU, the same results.</summary>
public class SessionTests
{
    private static readonly SketchOptions Plain = new() { ElementTypes = [ElementType.Float32], OutputScale = 0, Strided = 0 };

    [Test]
    public void A_step_is_the_cpus_companions_too([Values("residual", "grouped", "convolution 2-D", "depthwise pairs")] string family)
    {
        var seed = TestSeeds.Of(family, 1300);
        var network = RandomNetworks.Create(family, seed, Plain);
        var twin = network.Clone();
        var problem = new RescalingProblem(network.Network);
        using var queue = new MachineQueue();
        using var gpu = new GpuBackend(queue, TensorLocation.Device);
        using var session = new RescalingSession(problem, gpu);
        using var device = new DeviceTensorSet(queue);
        using var onHost = new RescalingSession(problem);
        using var pins = new Pins();
        using var tensors = network.Bind();
        var law = new StepLaw(OptimumDistance.OracleOf(problem, tensors));
        var before = network.Clone();
        var companions = new List<Moved>();
        foreach (var weight in network.Network.Weights)
        {
            var shape = Shape(weight);
            session.Bind(weight.Name, device.View(network[weight.Name], shape));
            onHost.Bind(weight.Name, pins.View(twin[weight.Name], shape));
            foreach (var kind in Enum.GetValues<CompanionKind>())
            {
                // Other strides and another type than the weight's: rows apart by twice as much.
                var strides = Gapped(shape);
                var mine = new TestTensor("", ElementType.Float64, (int)(shape[0] * strides[0]));
                for (var e = 0; e < mine.Length; e++)
                {
                    mine[e] = Math.Sin(e + (int)kind);
                }

                var its = mine.Clone();
                var view = device.View(mine, shape) with { Strides = strides };
                session.BindCompanion(weight.Name, kind, view);
                onHost.BindCompanion(weight.Name, kind, pins.View(its, shape) with { Strides = strides });
                companions.Add(new(weight, kind, mine.Clone(), mine, its));
            }
        }

        session.Step();
        onHost.Step();
        var (actual, expected) = (session.ReadReport(), onHost.ReadReport());
        device.Download();
        Assert.Multiple(() =>
        {
            Assert.That(actual.Outcome, Is.EqualTo(StepOutcome.Applied));
            Assert.That(actual.ObjectiveBefore, Is.EqualTo(expected.ObjectiveBefore).Within(1e-12 * expected.ObjectiveBefore), TestSeeds.Repeat);
            Assert.That(actual.FrozenChannels, Is.EqualTo(expected.FrozenChannels));
            Check(session, network, c => c.Device, "device");
            Check(onHost, twin, c => c.Host, "host");
        });

        // Factors as close as they are determined, elements by the factors that are reported; what no companion covers stays as it is.
        void Check(RescalingSession made, TestNetwork after, Func<Moved, TestTensor> which, string where)
        {
            var u = made.ReadScalings().LogFactors.ToArray();
            Assert.That(law.Excess(u), Is.LessThanOrEqualTo(1), $"{where}, {TestSeeds.Repeat}");
            foreach (var weight in network.Network.Weights)
            {
                var wanted = Rescaled(network.Network, weight, before[weight.Name], u, s => s, gap: 1);
                Assert.That(Deviation(after[weight.Name], wanted), Is.LessThan(2e-7), $"{where}, {weight.Name}, {TestSeeds.Repeat}");
            }

            foreach (var companion in companions)
            {
                Func<double, double> factor = companion.Kind switch { CompanionKind.Copy => s => s, CompanionKind.FirstMoment => s => 1 / s, _ => s => 1 / (s * s) };
                var wanted = Rescaled(network.Network, companion.Weight, companion.Before, u, factor, gap: 2);
                Assert.That(Deviation(which(companion), wanted), Is.LessThan(1e-12), $"{where}, {companion.Kind} of {companion.Weight.Name}, {TestSeeds.Repeat}");
            }
        }
    }

    // Rows of the first axis lie apart by `gap` of their own lengths.
    private static TestTensor Rescaled(Network network, Weight weight, TestTensor before, double[] u, Func<double, double> factor, int gap)
    {
        var after = before.Clone();
        var (outputs, inputs) = (weight.Outputs.ToChannels(network.Groups), weight.Inputs.ToChannels(network.Groups));
        var row = Shape(weight)[1..].Aggregate(1L, (a, b) => a * b);
        foreach (var (o, i, at) in TestNetwork.Elements(weight.Layout))
        {
            after[at / row * gap * row + at % row] *= factor(Math.Exp(u[outputs[o]] - u[inputs[i]]));
        }

        return after;
    }

    [Test]
    public void Tensors_may_move_and_only_then_tables_are_copied()
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("moving", 0), [7, 40, 33, 5], Plain);
        using var queue = new MachineQueue();
        using var gpu = new GpuBackend(queue, TensorLocation.Device);
        using var session = new RescalingSession(new RescalingProblem(network.Network), gpu);
        using var device = new DeviceTensorSet(queue);
        var moving = network.Network.Weights[1].Name;
        foreach (var weight in network.Network.Weights)
        {
            session.Bind(weight.Name, device.View(network[weight.Name], Shape(weight)));
        }

        session.Step();
        var before = queue.Counters;
        session.Step();
        session.Bind(moving, device.ViewOf(network[moving]));
        session.Step();
        Assert.That(queue.Counters - before, Is.EqualTo(new QueueCounters(12, 0, 0, 0)), "two steps of 6 launches, a bind that changes nothing");
        device.Download();

        // The same elements in another place: the step goes on from there, and the old place stays as it is.
        var moved = network.Clone();
        var old = network[moving].ToArray();
        session.Bind(moving, device.View(moved[moving], Shape(network.Network.Weight(moving))));
        session.Step();
        var third = session.ReadReport();
        device.Download();
        Assert.That(third.Outcome, Is.EqualTo(StepOutcome.Applied));
        Assert.That(network[moving].ToArray(), Is.EqualTo(old));
        Assert.That(moved[moving].ToArray(), Is.Not.EqualTo(old));
    }

    [Test]
    public void A_given_workspace_is_enough_and_nothing_else_is_allocated()
    {
        var network = RandomNetworks.Create("mixed", TestSeeds.Of("space", 0), Plain);
        using var queue = new MachineQueue();
        using var gpu = new GpuBackend(queue, TensorLocation.Device);
        using var session = new RescalingSession(new RescalingProblem(network.Network), gpu);
        using var device = new DeviceTensorSet(queue);
        foreach (var weight in network.Network.Weights)
        {
            session.Bind(weight.Name, device.View(network[weight.Name], Shape(weight)));
        }

        var bytes = session.MeasureWorkspace();
        var workspace = queue.Allocate(bytes);
        var before = queue.Counters;
        session.UseWorkspace((nint)workspace.Address, bytes);
        session.Step();
        Assert.That((queue.Counters - before).Allocations, Is.Zero);
        Assert.That(session.ReadReport().Outcome, Is.EqualTo(StepOutcome.Applied));

        // Bound anew, the memory of the old tables is used again.
        for (var n = 0; n < 5; n++)
        {
            var name = network.Network.Weights[0].Name;
            session.Bind(name, device.View(network[name], Shape(network.Network.Weights[0])));
            before = queue.Counters;
            session.Step();
            Assert.That((queue.Counters - before).Allocations, Is.Zero, $"{n}");
        }

        session.UseWorkspace(0, 0);
        queue.Free(workspace);
        session.Step();
        Assert.That(session.ReadReport().Outcome, Is.EqualTo(StepOutcome.Applied));
    }

    [Test]
    public void Several_sweeps_and_solves_are_driven_by_the_host()
    {
        var network = RandomNetworks.Create("residual", TestSeeds.Of("host", 0), Plain);
        var twin = network.Clone();
        var problem = new RescalingProblem(network.Network);
        var options = new SessionOptions { Step = new StepOptions { Sweeps = 3 } };
        using var queue = new MachineQueue();
        using var gpu = new GpuBackend(queue, TensorLocation.Device);
        using var session = new RescalingSession(problem, gpu, options);
        using var onHost = new RescalingSession(problem, options: options);
        using var device = new DeviceTensorSet(queue);
        using var pins = new Pins();
        foreach (var weight in network.Network.Weights)
        {
            session.Bind(weight.Name, device.View(network[weight.Name], Shape(weight)));
            onHost.Bind(weight.Name, pins.View(twin[weight.Name], Shape(weight)));
        }

        using var tensors = network.Bind();
        var oracle = OptimumDistance.OracleOf(problem, tensors);
        session.Step();
        onHost.Step();

        // Each sweep may differ by what its correction leaves, which the next ones even out: a hundred times that, where F determines it.
        Assert.That(
            oracle.Separation(session.ReadScalings().LogFactors, onHost.ReadScalings().LogFactors), Is.LessThanOrEqualTo(100 * StepLaw.CoarseGap), TestSeeds.Repeat);
        device.Download();
        var stepped = network.Clone();
        var tight = new RescalingOptions { Tolerance = 1e-13 };
        var (actual, expected) = (session.Solve(tight), onHost.Solve(tight));
        Assert.That(actual.Status, Is.EqualTo(RescalingStatus.Converged), TestSeeds.Repeat);
        Assert.That(actual.GapBound + expected.GapBound, Is.InRange(0, 1e-12), TestSeeds.Repeat);
        session.Apply();
        onHost.Apply();
        device.Download();

        // At p = 2 two optima are |W - V|^2 <= (g + h) F apart (OptimumDistance). The steps' roundings, and those of applying, move each
        // element by a few units in the last place, and the optimum by no more than that.
        var squares = 0.0;
        foreach (var weight in network.Network.Weights)
        {
            var (mine, its) = (network[weight.Name], twin[weight.Name]);
            squares += weight.Role == WeightRole.Weight ? Enumerable.Range(0, mine.Length).Sum(e => (mine[e] - its[e]) * (mine[e] - its[e])) : 0;
            var wanted = Rescaled(network.Network, weight, stepped[weight.Name], actual.Scalings!.LogFactors.ToArray(), s => s, gap: 1);
            Assert.That(Deviation(mine, wanted), Is.LessThan(2e-7), $"{weight.Name}, {TestSeeds.Repeat}");
        }

        var distance = Math.Sqrt(squares / actual.Objective);
        var allowed = Math.Sqrt(actual.GapBound!.Value + expected.GapBound!.Value) + 8 * ElementType.Float32.UnitRoundoff();
        Assert.That(distance, Is.InRange(0, allowed), TestSeeds.Repeat);
    }

    [Test]
    public void Interleaved_tensors_of_the_host_do_not_undo_each_other([Values(0, 1)] int misaligned)
    {
        // The two halves of each row are weights of their own, and every other number is nobody's.
        var half = new WeightLayout { Groups = 1, OutputsPerGroup = 3, InputsPerGroup = 2, Kernel = 1, GroupStride = 0, OutputStride = 8, InputStride = 2, KernelStride = 1 };
        var builder = new NetworkBuilder();
        var input = builder.Input("x", 2);
        var parts = builder.Concat(builder.Weight(new("left", ElementType.Float32, half), input), builder.Weight(new("right", ElementType.Float32, half with { Offset = 4 }), input));
        builder.Output(builder.Weight(new("last", ElementType.Float32, WeightLayout.Dense(2, 6)), parts));
        var network = builder.Build();
        var results = new List<byte[]>();
        foreach (var onGpu in (bool[])[false, true])
        {
            using var memory = new AlignedBytes(4 * 64);
            var bytes = new byte[4 * 64];
            new Random(TestSeeds.Of("interleaved", 0)).NextBytes(bytes);
            for (var n = 3; n < bytes.Length; n += 4)
            {
                bytes[n] = 0x3F;
            }

            System.Runtime.InteropServices.Marshal.Copy(bytes, 0, memory.Address + misaligned, bytes.Length - misaligned);
            var start = memory.Address + misaligned;
            using var tensors = new NetworkTensors(network)
                .Bind("left", new TensorMemory(start, 24, ElementType.Float32))
                .Bind("right", new TensorMemory(start, 24, ElementType.Float32))
                .Bind("last", new TensorMemory(start + 4 * 24, 12, ElementType.Float32));
            using var queue = new MachineQueue();
            using var gpu = new GpuBackend(queue);
            if (onGpu && misaligned != 0)
            {
                // Copies keep what lies between them where it is, and with it the alignment.
                Assert.That(() => RescalingSolver.Apply(Random(network), tensors, gpu), Throws.TypeOf<TensorException>());
                return;
            }

            RescalingSolver.Apply(Random(network), tensors, onGpu ? gpu : null);
            System.Runtime.InteropServices.Marshal.Copy(memory.Address, bytes, 0, bytes.Length);
            results.Add(bytes);
        }

        Assert.That(results[1], Is.EqualTo(results[0]), TestSeeds.Repeat);
    }

    private static Scalings Random(Network network)
    {
        var random = new Random(TestSeeds.Of("factors", 0));
        var factors = new double[network.ChannelCount];
        foreach (var group in network.Groups.Where(g => !g.IsPinned))
        {
            for (var c = 0; c < group.Count; c++)
            {
                // Powers of two: no rounding tells the two devices apart.
                factors[group.FirstChannel + c] = random.Next(-3, 4) * Math.Log(2);
            }
        }

        return new Scalings(network, factors);
    }

    [Test]
    public void Tensors_of_the_host_are_refused()
    {
        var network = RandomNetworks.Chain(1, [3, 4, 2], Plain);
        using var queue = new MachineQueue();
        using var gpu = new GpuBackend(queue, TensorLocation.Device);
        using var session = new RescalingSession(new RescalingProblem(network.Network), gpu);
        var weight = network.Network.Weights[0];
        Assert.That(
            () => session.Bind(weight.Name, new TensorView(0x1000, ElementType.Float32, Shape(weight))),
            Throws.TypeOf<TensorException>().With.Property(nameof(TensorException.Error)).EqualTo(TensorError.WrongDevice));
    }

    // Contiguous, as the layouts of these networks are: a transposed one behind a flatten is [inputs * positions, outputs].
    private static long[] Shape(Weight weight)
    {
        var layout = weight.Layout;
        return layout.Order == TensorOrder.OutputInput ? [layout.Outputs, layout.InputsPerGroup, layout.Kernel]
            : [(long)layout.Inputs * layout.Kernel, layout.OutputsPerGroup];
    }

    private static long[] Gapped(long[] shape) => shape.Length == 2 ? [2 * shape[1], 1] : [2 * shape[1] * shape[2], shape[2], 1];

    private static double Deviation(TestTensor actual, TestTensor expected) => Enumerable.Range(0, actual.Length)
        .Select(e => Math.Abs(actual[e] - expected[e]) / Math.Max(1e-30, Math.Abs(expected[e])))
        .Select(d => double.IsNaN(d) ? double.PositiveInfinity : d) // which comparisons would let pass
        .DefaultIfEmpty().Max();

    private sealed record Moved(Weight Weight, CompanionKind Kind, TestTensor Before, TestTensor Device, TestTensor Host);
}
