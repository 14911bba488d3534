using System.Diagnostics;
using EquiNorm.Backends;
using EquiNorm.Gpu.Cuda;
using EquiNorm.Gpu.Step;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;

namespace EquiNorm.Gpu.Bench.Measure;

/// <summary>Everything that is timed on the device.</summary>
/// <param name="queue">The device.</param>
/// <param name="isQuick">Fewer repetitions.</param>
internal sealed class GpuMeasurements(CudaQueue queue, bool isQuick)
{
    private const double BatchSeconds = 0.02;
    private const int MostSteps = 2000;
    private const int WarmUpSteps = 5;

    /// <summary>Most bytes of the buffer that is copied: far beyond any cache.</summary>
    public long LargestCopy { get; init; } = 2L << 30;

    private Samples Samples => isQuick ? new Samples(5, 1) : new Samples(15, 4);

    /// <summary>Bytes that are read and written per second by the driver's copy within the device, the most that any kernel of ours can hope for.</summary>
    public (long Bytes, double BytesPerSecond) Copy()
    {
        var bytes = Math.Min(LargestCopy, queue.Device.TotalBytes / 8) & ~0xFFFL;
        var (source, target) = (queue.Allocate(bytes), queue.Allocate(bytes));
        try
        {
            queue.Clear(source.Address, bytes);
            queue.Copy(source.Address, target.Address, bytes);
            var seconds = PerRepetition(() => queue.Copy(source.Address, target.Address, bytes));
            return (bytes, 2 * bytes / seconds);
        }
        finally
        {
            queue.Free(source);
            queue.Free(target);
            queue.Synchronize();
        }
    }

    /// <summary>
    /// Solve and step of a network. The solves come first: they write nothing, and a network that has been stepped is balanced already.
    /// </summary>
    /// <exception cref="CudaException">It does not fit, or the device failed.</exception>
    public (BenchSolve Solve, BenchStep Step) Network(BenchNetwork network, IElementSource elements)
    {
        var problem = new RescalingProblem(network.Network);
        using var tensors = Upload(network.Network, elements);
        var solve = Solve(problem, tensors.Tensors);
        var step = Step(problem, tensors.Tensors);
        return (solve, step);
    }

    /// <summary>The way from nothing to a step, once, on a queue that has done nothing yet.</summary>
    public BenchColdStart ColdStart(BenchNetwork network, IElementSource elements, double queueSeconds)
    {
        var clock = Stopwatch.StartNew();
        using var tensors = Upload(network.Network, elements);
        queue.Synchronize();
        var upload = Lap(clock);
        using var stepper = new GpuStepper(new RescalingProblem(network.Network), tensors.Tensors, queue);
        stepper.Prepare();
        queue.Synchronize();
        var prepare = Lap(clock);
        stepper.Step();
        queue.Synchronize();
        var first = Lap(clock);
        stepper.Step();
        queue.Synchronize();
        return new BenchColdStart(
            network.Name, queueSeconds, upload, prepare, first, Lap(clock), Environment.GetEnvironmentVariable("CUDA_CACHE_DISABLE"));
    }

    /// <summary>Solves, on tensors of the device.</summary>
    public BenchSolve Solve(RescalingProblem problem, NetworkTensors tensors)
    {
        using var backend = new GpuBackend(queue, TensorLocation.Device);
        _ = RescalingSolver.Solve(problem, tensors, backend: backend);
        var before = queue.Counters;
        var result = RescalingSolver.Solve(problem, tensors, backend: backend);
        var work = queue.Counters - before;
        var time = Samples.MedianTime(() => RescalingSolver.Solve(problem, tensors, backend: backend));
        return new BenchSolve(time, result.Status.ToString(), result.Sweeps, result.GapBound, work.Launches, work.Synchronizations);
    }

    /// <summary>Steps, on tensors of the device.</summary>
    public BenchStep Step(RescalingProblem problem, NetworkTensors tensors)
    {
        using var stepper = new GpuStepper(problem, tensors, queue);
        stepper.Prepare();
        var plain = PerRepetition(stepper.Step);
        if (stepper.ReadReport().Outcome != StepOutcome.Applied)
        {
            throw new InvalidOperationException("A step met weights that are not finite; its time means nothing.");
        }

        using var graph = queue.Capture(stepper.Step);
        return new BenchStep(plain, PerRepetition(graph.Launch), stepper.LaunchesPerStep);
    }

    // The device's time for one repetition: events around batches that are long beside the resolution of events (half a microsecond).
    private double PerRepetition(Action action)
    {
        for (var n = 0; n < WarmUpSteps; n++)
        {
            action();
        }

        var count = (int)Math.Clamp(BatchSeconds / Math.Max(1e-7, Batch(action, 1)), 1, isQuick ? MostSteps / 10 : MostSteps);
        return Samples.Median(() => Batch(action, count) / count);
    }

    private double Batch(Action action, int count)
    {
        using var start = queue.Record();
        for (var n = 0; n < count; n++)
        {
            action();
        }

        using var end = queue.Record();
        return queue.Elapsed(start, end).TotalSeconds;
    }

    private DeviceTensors Upload(Network network, IElementSource elements)
    {
        var tensors = new DeviceTensors(network, queue, [.. network.Weights.Select(w => w.Layout.Elements)]);
        try
        {
            foreach (var weight in network.Weights)
            {
                var address = (ulong)tensors.Tensors[weight.Index].Address;
                ElementCopy.Fill(weight, elements, (offset, part) => queue.Upload(part, address + (ulong)offset));
            }

            return tensors;
        }
        catch
        {
            tensors.Dispose();
            throw;
        }
    }

    private static double Lap(Stopwatch clock)
    {
        var seconds = clock.Elapsed.TotalSeconds;
        clock.Restart();
        return seconds;
    }
}
