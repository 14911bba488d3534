using System.Text.Json.Serialization;

namespace EquiNorm.Gpu.Bench.Measure;

// What a run of gpubench has measured. Times are in seconds, medians; what was not measured is null, and LeftOut says why.

/// <summary>All of it.</summary>
internal sealed record BenchReport
{
    /// <summary>Where and when.</summary>
    public required BenchMachine Machine { get; init; }

    /// <summary>The ceiling: a copy within the device, bytes read and written, measured before and after the networks.</summary>
    public required BenchCopy Copy { get; init; }

    /// <summary>From nothing to the first step.</summary>
    public BenchColdStart? ColdStart { get; init; }

    /// <summary>One for each network that was measured.</summary>
    public required IReadOnlyList<BenchRow> Networks { get; init; }

    /// <summary>What was not measured, and why.</summary>
    public required IReadOnlyList<BenchOmission> LeftOut { get; init; }

    /// <summary>The reference implementation; null without --peer.</summary>
    public BenchPeer? Peer { get; init; }

    /// <summary>How long the whole run took.</summary>
    public double Seconds { get; init; }
}

/// <summary>The machine and the build.</summary>
internal sealed record BenchMachine
{
    public required string Device { get; init; }

    public required string ComputeCapability { get; init; }

    public int Multiprocessors { get; init; }

    public long MemoryBytes { get; init; }

    /// <summary>The CUDA version that the driver supports.</summary>
    public required string Cuda { get; init; }

    /// <summary>NVIDIA's number of the driver, where the machine tells.</summary>
    public string? Driver { get; init; }

    public required string Processor { get; init; }

    public int Threads { get; init; }

    public required string Runtime { get; init; }

    public required string System { get; init; }

    public required string Commit { get; init; }

    public DateTime Date { get; init; }
}

/// <summary>Copies within the device.</summary>
/// <param name="Bytes">Size of the copied buffer.</param>
/// <param name="Before">Bytes read and written per second, before the networks.</param>
/// <param name="After">The same after them; null if the time was up.</param>
internal sealed record BenchCopy(long Bytes, double Before, double? After)
{
    /// <summary>What everything is compared with: the faster of the two.</summary>
    public double BytesPerSecond => Math.Max(Before, After ?? 0);
}

/// <summary>From nothing to the first step.</summary>
/// <param name="Network">Of which network.</param>
/// <param name="Queue">Driver, context, stream.</param>
/// <param name="Upload">Allocating and copying the weights.</param>
/// <param name="Prepare">Planning, tables, workspace.</param>
/// <param name="FirstStep">Loading (and, unless the driver has it in its cache, compiling) the kernels, and one step, waited for.</param>
/// <param name="SecondStep">A step, waited for.</param>
/// <param name="CacheDisabled">CUDA_CACHE_DISABLE: if not "1", the driver may have had compiled kernels from an earlier run.</param>
internal sealed record BenchColdStart(
    string Network, double Queue, double Upload, double Prepare, double FirstStep, double SecondStep, string? CacheDisabled)
{
    /// <summary>Without the upload, which depends on where the weights are.</summary>
    public double Total => Queue + Prepare + FirstStep;
}

/// <summary>One network.</summary>
/// <param name="Network">Its name.</param>
/// <param name="Bytes">Bytes of its weights.</param>
internal sealed record BenchRow(string Network, long Bytes)
{
    public BenchStep? Step { get; init; }

    public BenchSolve? Solve { get; init; }

    public BenchCpu? Cpu { get; init; }

    /// <summary>A step of the reference implementation.</summary>
    public double? PeerStep { get; init; }

    /// <summary>3 |W|: one read for the sums, one read and write to apply.</summary>
    [JsonIgnore]
    public double StepBytes => 3.0 * Bytes;
}

/// <summary>Steps on tensors of the device.</summary>
/// <param name="Plain">A step as launches.</param>
/// <param name="Graph">A step as one launch of a CUDA graph.</param>
/// <param name="Launches">Kernels of a step.</param>
internal sealed record BenchStep(double Plain, double Graph, int Launches)
{
    /// <summary>The faster of the two.</summary>
    public double Best => Math.Min(Plain, Graph);
}

/// <summary>A solve of tensors of the device, on a queue that has solved before.</summary>
/// <param name="Time">Wall time, planning and certificate included.</param>
/// <param name="Status">How it ended.</param>
/// <param name="Sweeps">Reads of all energies divided by two.</param>
/// <param name="GapBound">The certified gap.</param>
/// <param name="Launches">Kernels.</param>
/// <param name="Synchronizations">Times that the host waited.</param>
internal sealed record BenchSolve(double Time, string Status, double Sweeps, double? GapBound, long Launches, long Synchronizations);

/// <summary>The CPU backend on the same machine, with all its cores.</summary>
/// <param name="Step">A step.</param>
/// <param name="Solve">A solve.</param>
/// <param name="Sweeps">Of the solve.</param>
internal sealed record BenchCpu(double Step, double Solve, double Sweeps);

/// <summary>Something that was not measured.</summary>
/// <param name="What">A network, or a part of one.</param>
/// <param name="Why">Why not.</param>
internal sealed record BenchOmission(string What, string Why);

/// <summary>The reference implementation.</summary>
/// <param name="File">Its file's name.</param>
/// <param name="Torch">The version of torch.</param>
/// <param name="Device">The device that torch names.</param>
internal sealed record BenchPeer(string File, string Torch, string Device);

/// <summary>Serialisers made at compile time: the packed program is trimmed.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(BenchReport))]
[JsonSerializable(typeof(PeerRequest))]
internal sealed partial class BenchDocuments : JsonSerializerContext;
