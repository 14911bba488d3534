using System.Runtime.InteropServices;

namespace EquiNorm.Gpu.Tables;

/// <summary>
/// A rectangle of one weight (or of its stored energies), the work of one group of threads: rows and columns are channels, and each
/// (row, column) pair has <see cref="Kernel"/> elements.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
public struct SumTile
{
    /// <summary>Address of the first element, divided by the size of an element.</summary>
    public long Elements;

    /// <summary>Elements from row to row.</summary>
    public long RowStride;

    /// <summary>Elements from column to column.</summary>
    public long ColumnStride;

    /// <summary>Elements from kernel position to kernel position.</summary>
    public long KernelStride;

    /// <summary>Where the energy of the first pair is stored, or -1.</summary>
    public long Energies;

    /// <summary>What float64 elements, and elements raised to a general power, are multiplied by first: a power of two.</summary>
    public double Prescale;

    /// <summary>Stored energies from row to row.</summary>
    public int EnergyStride;

    /// <summary>Number of rows, at most <see cref="TileLimits.Rows"/>.</summary>
    public int Rows;

    /// <summary>Number of columns.</summary>
    public int Columns;

    /// <summary>Kernel positions of a pair.</summary>
    public int Kernel;

    /// <summary>Threads of a warp that share a row: a power of two; 32 if elements are staged.</summary>
    public int LanesPerRow;

    /// <summary>Columns that a warp sums at a time: at most four for each of the threads of a row.</summary>
    public int StripeColumns;

    /// <summary>Index of the first row's channel in the table of channels.</summary>
    public int RowChannels;

    /// <summary>Index of the first column's channel in the table of channels.</summary>
    public int ColumnChannels;

    /// <summary>Index of the first row's (or column's) output scale to the power p, or -1: outputs lie on one axis only.</summary>
    public int Scales;

    /// <summary>Where the sums of the rows go; for diagonal tiles the sums on the output axis.</summary>
    public int RowSums;

    /// <summary>Where the sums of the columns go; for diagonal tiles the sums on the input axis.</summary>
    public int ColumnSums;

    /// <summary>Where the norm of the tile goes.</summary>
    public int Norm;

    /// <summary>How the tile is read.</summary>
    public TileFlags Flags;

    /// <summary>Index of the weight in the plan.</summary>
    public int Weight;
}

/// <summary>How a tile is read.</summary>
[Flags]
public enum TileFlags
{
    /// <summary>Element by element.</summary>
    None = 0,

    /// <summary>Rows are outputs, columns inputs; otherwise the other way round.</summary>
    RowsAreOutputs = 1,

    /// <summary>Four consecutive elements at a time: everything is aligned, and the columns are a multiple of four.</summary>
    Vector = 2,

    /// <summary>A row of the tile is one contiguous run of elements that goes through shared memory.</summary>
    Staged = 4,

    /// <summary>One element per channel pair (c, c): a single row, whose columns are summed on neither axis.</summary>
    Diagonal = 8,

    /// <summary>Energies between a channel and itself are left out of all sums.</summary>
    SelfEdges = 16,
}

/// <summary>Sizes that host and kernels agree on.</summary>
public static class TileLimits
{
    /// <summary>Most threads of a group.</summary>
    public const int GroupSize = 256;

    /// <summary>Most rows of a tile.</summary>
    public const int Rows = 256;

    /// <summary>Most columns that a warp sums at a time.</summary>
    public const int StripeColumns = 128;

    /// <summary>Largest element in bytes that is read four at a time: 16 bytes for each thread.</summary>
    public const int QuadElementBytes = 4;

    /// <summary>Bytes of shared memory in which a warp stages one row of a stripe.</summary>
    public const int StageBytes = 4352;
}
