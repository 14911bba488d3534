using EquiNorm.Backends.Cpu;
using EquiNorm.Problem;
using EquiNorm.Solve;

namespace EquiNorm.Gpu.Bench.Measure;

/// <summary>The CPU backend with all cores on the same networks.</summary>
internal static class CpuMeasurements
{
    // Tiered compilation is behind by then; large networks spend their time in loops that are optimised from the start.
    private const int WarmUps = 30;
    private const int WarmUpsOfLargeNetworks = 2;
    private const long LargeNetwork = 100_000_000;

    /// <summary>Solve, then step, as on the device.</summary>
    public static BenchCpu Network(BenchNetwork network, IElementSource elements, bool isQuick)
    {
        using var weights = new HostWeights(network.Network, elements);
        using var backend = new CpuBackend();
        var problem = new RescalingProblem(network.Network);
        var samples = isQuick ? new Samples(5, 1) : new Samples(15, 6);
        var warmUps = network.Bytes >= LargeNetwork ? WarmUpsOfLargeNetworks : isQuick ? WarmUps / 3 : WarmUps;
        var sweeps = 0.0;
        for (var n = 0; n < warmUps; n++)
        {
            sweeps = RescalingSolver.Solve(problem, weights.Tensors, backend: backend).Sweeps;
        }

        var solve = samples.MedianTime(() => RescalingSolver.Solve(problem, weights.Tensors, backend: backend));
        using var stepper = new RescalingStepper(problem, weights.Tensors, backend);
        for (var n = 0; n < warmUps; n++)
        {
            stepper.Step();
        }

        return new BenchCpu(samples.MedianTime(() => stepper.Step()), solve, sweeps);
    }

    /// <summary>Why a network cannot be measured on this host; null if it can.</summary>
    public static string? WhyNot(BenchNetwork network)
    {
        var room = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        return network.Bytes > room * 0.6
            ? FormattableString.Invariant($"its {network.Bytes / 1e9:F1} GB are too much for the {room / 1e9:F1} GB of this host")
            : null;
    }
}
