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
        var companions = new List<(TestTensor Device, TestTensor Host, TensorView View)>();
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
                companions.Add((mine, its, view));
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
            foreach (var weight in network.Network.Weights)
            {
                Assert.That(Deviation(network[weight.Name], twin[weight.Name]), Is.LessThan(1e-6), $"{weight.Name}, {TestSeeds.Repeat}");
            }

            foreach (var (mine, its, _) in companions)
            {
                Assert.That(Deviation(mine, its), Is.LessThan(1e-6), TestSeeds.Repeat);
            }
        });
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

        session.Step();
        onHost.Step();
        Assert.That(
            session.ReadScalings().LogFactors.ToArray(), Is.EqualTo(onHost.ReadScalings().LogFactors.ToArray()).Within(1e-7), TestSeeds.Repeat);
        var result = session.Solve();
        Assert.That(result.Status, Is.EqualTo(RescalingStatus.Converged));
        session.Apply();
        onHost.Solve();
        onHost.Apply();
        device.Download();
        foreach (var weight in network.Network.Weights)
        {
            Assert.That(Deviation(network[weight.Name], twin[weight.Name]), Is.LessThan(1e-4), $"{weight.Name}, {TestSeeds.Repeat}");
        }
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
        .DefaultIfEmpty().Max();
}
