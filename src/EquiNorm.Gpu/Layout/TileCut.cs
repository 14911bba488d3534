using EquiNorm.Gpu.Tables;

namespace EquiNorm.Gpu.Layout;

/// <summary>How a panel is cut into tiles, by its shape and the size of the whole network.</summary>
internal readonly struct TileCut
{
    public TileCut(in WeightMatrix matrix, int elementSize, int rows, int columns, int tileBytes)
    {
        var pairBytes = (long)matrix.Kernel * elementSize;
        var stripe = TileShape.StripeColumns(matrix.Kernel, elementSize, TileShape.CanBeStaged(matrix.Kernel, matrix.KernelStride, matrix.ColumnStride, elementSize));
        var wanted = Math.Max(1, KernelPolicy.RowBytes / pairBytes);
        Columns = (int)Math.Min(Math.Max(1, columns), (wanted + stripe - 1) / stripe * stripe);
        var fewest = Math.Max(32, KernelPolicy.ColumnBytes / pairBytes);
        var fitting = tileBytes / (Columns * pairBytes);
        Rows = (int)Math.Min(Math.Max(1, rows), Math.Clamp(Math.Max(fewest, fitting), 1, TileLimits.Rows));
        Bands = (rows + Rows - 1) / Rows;
        Stripes = (columns + Columns - 1) / Columns;
    }

    /// <summary>Rows of a tile.</summary>
    public int Rows { get; }

    /// <summary>Columns of a tile.</summary>
    public int Columns { get; }

    /// <summary>Number of bands.</summary>
    public int Bands { get; }

    /// <summary>Number of stripes.</summary>
    public int Stripes { get; }
}
