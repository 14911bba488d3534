using EquiNorm.Backends;
using EquiNorm.Embedding;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Testing;

namespace EquiNorm.Gpu.Bench.Check;

/// <summary>Sessions as a framework uses them: companions of every kind, memory of the caller's, a stream at each call, a graph.</summary>
internal static unsafe class SessionChecks
{
    private const double Tolerance = 1e-6;
    private const int Steps = 3;

    /// <summary>Three steps beside those of the CPU.</summary>
    public static void Run(CheckGroup group, CheckDevice device, TestNetwork network, string context)
    {
        var problem = new RescalingProblem(network.Network);
        using var queue = device.Open();
        using var gpu = new GpuBackend(queue, TensorLocation.Device);
        using var session = new RescalingSession(problem, gpu);
        using var onHost = new RescalingSession(problem);
        using var pins = new Pins();
        var tensors = new List<(TestTensor Actual, TestTensor Expected, DeviceMemory Memory)>();
        foreach (var weight in network.Network.Weights.Where(w => w.Layout.Elements > 0))
        {
            Bind(network[weight.Name], Shape(weight), (s, view) => s.Bind(weight.Name, view));
            foreach (var kind in Enum.GetValues<CompanionKind>())
            {
                var companion = new TestTensor("", ElementType.Float32, network[weight.Name].Length);
                for (var e = 0; e < companion.Length; e++)
                {
                    companion[e] = Math.Sin(e + (int)kind);
                }

                Bind(companion, Shape(weight), (s, view) => s.BindCompanion(weight.Name, kind, view));
            }
        }

        // Memory of the caller's: nothing is allocated behind it.
        var bytes = session.MeasureWorkspace();
        var workspace = queue.Allocate(bytes);
        session.UseWorkspace((nint)workspace.Address, bytes);
        session.Prepare(device.Cuda?.Stream ?? 0);
        var before = queue.Counters;
        for (var n = 0; n < Steps; n++)
        {
            session.Step(device.Cuda?.Stream ?? 0);
            onHost.Step();
        }

        var done = queue.Counters - before;
        group.That(done with { Launches = 0 } == default, $"{context}: steps copied, waited or allocated: {done}");
        group.That(session.ReadReport().Outcome == StepOutcome.Applied, $"{context}: {session.ReadReport().Outcome}");
        if (session.ReadReport().FrozenChannels != onHost.ReadReport().FrozenChannels)
        {
            // The device does not look for channels that are cut off without being dead.
            group.Skip();
        }
        else
        {
            foreach (var (actual, expected, memory) in tensors)
            {
                using var pin = actual.Pin();
                queue.Download(memory.Address, new Span<byte>(pin.Pointer, actual.Length * actual.ElementType.ByteSize()));
                var deviation = Deviation(actual, expected);
                group.That(deviation < Steps * (Tolerance + 4 * actual.ElementType.UnitRoundoff()), FormattableString.Invariant($"{context}: elements of '{actual.Name}' differ by {deviation:G3}"));
            }
        }

        if (device.Cuda is { } cuda)
        {
            using var graph = cuda.Capture(() => session.Step(cuda.Stream));
            graph.Launch();
            group.That(session.ReadReport().Outcome == StepOutcome.Applied, $"{context}: a captured step says {session.ReadReport().Outcome}");
        }

        session.UseWorkspace(0, 0);
        queue.Free(workspace);
        foreach (var (_, _, memory) in tensors)
        {
            queue.Free(memory);
        }

        void Bind(TestTensor tensor, long[] shape, Action<RescalingSession, TensorView> bind)
        {
            var twin = tensor.Clone();
            var memory = queue.Allocate(tensor.Length * tensor.ElementType.ByteSize());
            using (var pin = tensor.Pin())
            {
                queue.Upload(new ReadOnlySpan<byte>(pin.Pointer, tensor.Length * tensor.ElementType.ByteSize()), memory.Address);
            }

            bind(session, new TensorView((nint)memory.Address, tensor.ElementType, shape) { Device = gpu.Device });
            bind(onHost, pins.View(twin, shape));
            tensors.Add((tensor, twin, memory));
        }
    }

    // Contiguous, as these networks' layouts are: a transposed one behind a flatten is [inputs * positions, outputs].
    private static long[] Shape(Weight weight)
    {
        var layout = weight.Layout;
        return layout.Order == TensorOrder.OutputInput
            ? [layout.Outputs, layout.InputsPerGroup, layout.Kernel]
            : [(long)layout.Inputs * layout.Kernel, layout.OutputsPerGroup];
    }

    // Elements near the smallest number of their type are rounded to fewer digits: they count beside the largest.
    private static double Deviation(TestTensor actual, TestTensor expected)
    {
        var largest = Enumerable.Range(0, expected.Length).Select(e => Math.Abs(expected[e])).DefaultIfEmpty().Max();
        return Enumerable.Range(0, actual.Length)
            .Select(e => Math.Abs(actual[e] - expected[e]) / Math.Max(1e-3 * largest, Math.Abs(expected[e])))
            .Where(d => !double.IsNaN(d)).DefaultIfEmpty().Max();
    }
}
