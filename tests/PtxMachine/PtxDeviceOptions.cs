namespace EquiNorm.PtxMachine;

/// <summary>How a <see cref="PtxDevice"/> runs and what it looks at.</summary>
public sealed record PtxDeviceOptions
{
    /// <summary>Runs the groups of a grid from the last to the first.</summary>
    public bool ReverseGroups { get; init; }

    /// <summary>Runs the warps of a group from the last to the first.</summary>
    public bool ReverseWarps { get; init; }

    /// <summary>Threads that share the groups of a grid. Kernels with atomics on global memory always run on one.</summary>
    public int Threads { get; init; } = 1;

    /// <summary>Instructions that one warp of a group may execute in one launch; more is a fault.</summary>
    public long InstructionLimit { get; init; } = 1L << 26;

    /// <summary>Counts the work.</summary>
    public bool Counting { get; init; } = true;

    /// <summary>
    /// Looks for uninitialised reads and races. Bounds, alignment, barriers, shuffles and branches are always checked.
    /// </summary>
    public bool Checking { get; init; } = true;

    /// <summary>
    /// A barrier that some threads of the group will never reach because they have returned is a fault. Hardware since sm_70 waits for
    /// the threads that have not returned, so it is none by default.
    /// </summary>
    public bool StrictBarriers { get; init; }

    /// <summary>Bytes of dynamic shared memory that each launch gets.</summary>
    public int DynamicSharedBytes { get; init; }
}
