using System.Runtime.InteropServices;

namespace EquiNorm.Gpu.Tables;

/// <summary>A rectangle of one tensor whose elements are multiplied by a factor of their row and one of their column.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct ScaleTile
{
    /// <summary>Address of the first element to read, divided by the size of an element.</summary>
    public long Source;

    /// <summary>Address of the first element to write, divided by the size of an element.</summary>
    public long Target;

    /// <summary>Elements from row to row.</summary>
    public long RowStride;

    /// <summary>Elements from column to column.</summary>
    public long ColumnStride;

    /// <summary>Elements from kernel position to kernel position.</summary>
    public long KernelStride;

    /// <summary>Number of rows.</summary>
    public int Rows;

    /// <summary>Number of columns.</summary>
    public int Columns;

    /// <summary>Kernel positions of a (row, column) pair.</summary>
    public int Kernel;

    /// <summary>Index of the first row's factor.</summary>
    public int RowFactors;

    /// <summary>Index of the first column's factor.</summary>
    public int ColumnFactors;

    /// <summary>Where the tile counts what left the range.</summary>
    public int Counts;

    /// <summary>How the tile is read; <see cref="TileFlags.Staged"/> stands for contiguous rows.</summary>
    public TileFlags Flags;

    /// <summary>Power of the factors: 1 for parameters, -1 for first moments, -2 for second moments.</summary>
    public int Power;
}

/// <summary>How many elements left the range of their type.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct ScaleCounts
{
    /// <summary>Elements that were finite and are infinite now.</summary>
    public int Overflowed;

    /// <summary>Elements that were not zero and are zero now.</summary>
    public int Underflowed;
}
