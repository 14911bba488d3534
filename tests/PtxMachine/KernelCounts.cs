namespace EquiNorm.PtxMachine;

/// <summary>Global traffic of all allocations with one label.</summary>
/// <param name="BytesRead">Bytes that lanes asked for.</param>
/// <param name="BytesWritten">Bytes that lanes wrote.</param>
/// <param name="SectorsRead">32-byte sectors, distinct within each instruction of a warp.</param>
/// <param name="SectorsWritten">32-byte sectors, distinct within each instruction of a warp.</param>
/// <param name="UniqueSectorsRead">32-byte sectors, distinct within each launch.</param>
/// <param name="UniqueSectorsWritten">32-byte sectors, distinct within each launch.</param>
public readonly record struct LabelTraffic(
    long BytesRead, long BytesWritten, long SectorsRead, long SectorsWritten, long UniqueSectorsRead, long UniqueSectorsWritten)
{
    /// <summary>Sum.</summary>
    public static LabelTraffic operator +(LabelTraffic a, LabelTraffic b) => new(
        a.BytesRead + b.BytesRead, a.BytesWritten + b.BytesWritten, a.SectorsRead + b.SectorsRead, a.SectorsWritten + b.SectorsWritten,
        a.UniqueSectorsRead + b.UniqueSectorsRead, a.UniqueSectorsWritten + b.UniqueSectorsWritten);

    /// <summary>Difference.</summary>
    public static LabelTraffic operator -(LabelTraffic a, LabelTraffic b) => new(
        a.BytesRead - b.BytesRead, a.BytesWritten - b.BytesWritten, a.SectorsRead - b.SectorsRead, a.SectorsWritten - b.SectorsWritten,
        a.UniqueSectorsRead - b.UniqueSectorsRead, a.UniqueSectorsWritten - b.UniqueSectorsWritten);
}

/// <summary>Work of one kernel, over all its launches since the counts were reset. Immutable; differences are those of single launches.</summary>
public sealed record KernelCounts
{
    /// <summary>No work.</summary>
    public static KernelCounts None { get; } = new();

    /// <summary>Launches.</summary>
    public long Launches { get; init; }

    /// <summary>Instructions, one for a whole warp.</summary>
    public long Instructions { get; init; }

    /// <summary>Instructions, one for each active lane.</summary>
    public long LaneInstructions { get; init; }

    /// <summary>Bytes of global memory that lanes asked for. Atomics read and write.</summary>
    public long BytesRead { get; init; }

    /// <summary>Bytes of global memory that lanes wrote.</summary>
    public long BytesWritten { get; init; }

    /// <summary>32-byte sectors read: those that each instruction of a warp touches.</summary>
    public long SectorsRead { get; init; }

    /// <summary>32-byte sectors written: those that each instruction of a warp touches.</summary>
    public long SectorsWritten { get; init; }

    /// <summary>Bytes read, each counted once within an instruction of a warp.</summary>
    public long DistinctBytesRead { get; init; }

    /// <summary>Bytes written, each counted once within an instruction of a warp.</summary>
    public long DistinctBytesWritten { get; init; }

    /// <summary>32-byte sectors read, each counted once in a launch.</summary>
    public long UniqueSectorsRead { get; init; }

    /// <summary>32-byte sectors written, each counted once in a launch.</summary>
    public long UniqueSectorsWritten { get; init; }

    /// <summary>Loads and stores of 16 bytes for a lane, from and to global memory, one for a whole warp.</summary>
    public long VectorAccesses { get; init; }

    /// <summary>Loads and stores of global memory, one for a whole warp, atomics excluded.</summary>
    public long GlobalAccesses { get; init; }

    /// <summary>Accesses to shared memory, one for a whole warp.</summary>
    public long SharedAccesses { get; init; }

    /// <summary>Wavefronts of shared memory beyond those that an access of its size needs at least.</summary>
    public long BankConflicts { get; init; }

    /// <summary>Accesses to local memory, one for a whole warp.</summary>
    public long LocalAccesses { get; init; }

    /// <summary>Barriers of a group, one for each warp that waited.</summary>
    public long Barriers { get; init; }

    /// <summary>Shuffles, votes and reductions of a warp.</summary>
    public long Shuffles { get; init; }

    /// <summary>Atomics on global or shared memory, one for each active lane.</summary>
    public long Atomics { get; init; }

    /// <summary>Branches at which the lanes of a warp parted.</summary>
    public long DivergentBranches { get; init; }

    /// <summary>Traffic by the label of the allocation.</summary>
    public IReadOnlyDictionary<string, LabelTraffic> Labels { get; init; } = new Dictionary<string, LabelTraffic>();

    /// <summary>Sectors that would do for the bytes read, if they lay side by side.</summary>
    public double SectorsNeededRead => DistinctBytesRead / 32.0;

    /// <summary>Sectors that would do for the bytes written, if they lay side by side.</summary>
    public double SectorsNeededWritten => DistinctBytesWritten / 32.0;

    /// <summary>The traffic of the allocations with this label.</summary>
    public LabelTraffic Label(string label) => Labels.GetValueOrDefault(label);

    /// <summary>Sum.</summary>
    public static KernelCounts operator +(KernelCounts a, KernelCounts b) => Combine(a, b, 1);

    /// <summary>Difference: what was done after <paramref name="b"/> was taken.</summary>
    public static KernelCounts operator -(KernelCounts a, KernelCounts b) => Combine(a, b, -1);

    private static KernelCounts Combine(KernelCounts a, KernelCounts b, long sign)
    {
        var labels = new Dictionary<string, LabelTraffic>(a.Labels);
        foreach (var (label, traffic) in b.Labels)
        {
            var own = labels.GetValueOrDefault(label);
            labels[label] = sign > 0 ? own + traffic : own - traffic;
        }

        return new()
        {
            Launches = a.Launches + sign * b.Launches,
            Instructions = a.Instructions + sign * b.Instructions,
            LaneInstructions = a.LaneInstructions + sign * b.LaneInstructions,
            BytesRead = a.BytesRead + sign * b.BytesRead,
            BytesWritten = a.BytesWritten + sign * b.BytesWritten,
            SectorsRead = a.SectorsRead + sign * b.SectorsRead,
            SectorsWritten = a.SectorsWritten + sign * b.SectorsWritten,
            DistinctBytesRead = a.DistinctBytesRead + sign * b.DistinctBytesRead,
            DistinctBytesWritten = a.DistinctBytesWritten + sign * b.DistinctBytesWritten,
            UniqueSectorsRead = a.UniqueSectorsRead + sign * b.UniqueSectorsRead,
            UniqueSectorsWritten = a.UniqueSectorsWritten + sign * b.UniqueSectorsWritten,
            VectorAccesses = a.VectorAccesses + sign * b.VectorAccesses,
            GlobalAccesses = a.GlobalAccesses + sign * b.GlobalAccesses,
            SharedAccesses = a.SharedAccesses + sign * b.SharedAccesses,
            BankConflicts = a.BankConflicts + sign * b.BankConflicts,
            LocalAccesses = a.LocalAccesses + sign * b.LocalAccesses,
            Barriers = a.Barriers + sign * b.Barriers,
            Shuffles = a.Shuffles + sign * b.Shuffles,
            Atomics = a.Atomics + sign * b.Atomics,
            DivergentBranches = a.DivergentBranches + sign * b.DivergentBranches,
            Labels = labels,
        };
    }
}

/// <summary>What one worker counts while it runs; nothing here is shared between threads.</summary>
internal sealed class Tally
{
    public long Instructions, LaneInstructions, BytesRead, BytesWritten, SectorsRead, SectorsWritten, DistinctBytesRead, DistinctBytesWritten;
    public long VectorAccesses, GlobalAccesses, SharedAccesses, BankConflicts, LocalAccesses, Barriers, Shuffles, Atomics, DivergentBranches;

    public KernelCounts ToCounts() => new()
    {
        Instructions = Instructions,
        LaneInstructions = LaneInstructions,
        BytesRead = BytesRead,
        BytesWritten = BytesWritten,
        SectorsRead = SectorsRead,
        SectorsWritten = SectorsWritten,
        DistinctBytesRead = DistinctBytesRead,
        DistinctBytesWritten = DistinctBytesWritten,
        VectorAccesses = VectorAccesses,
        GlobalAccesses = GlobalAccesses,
        SharedAccesses = SharedAccesses,
        BankConflicts = BankConflicts,
        LocalAccesses = LocalAccesses,
        Barriers = Barriers,
        Shuffles = Shuffles,
        Atomics = Atomics,
        DivergentBranches = DivergentBranches,
    };
}
