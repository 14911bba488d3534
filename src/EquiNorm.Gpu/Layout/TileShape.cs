using System.Numerics;
using EquiNorm.Gpu.Tables;

namespace EquiNorm.Gpu.Layout;

/// <summary>How the threads of a warp are spread over a tile.</summary>
internal static class TileShape
{
    /// <summary>Whether rows can go through shared memory: contiguous, with several kernel positions, four pairs at a time.</summary>
    public static bool CanBeStaged(int kernel, long kernelStride, long columnStride, int elementSize) =>
        kernel > 1 && kernelStride == 1 && columnStride == kernel && 4L * kernel * elementSize <= TileLimits.StageBytes;

    /// <summary>Columns that a warp sums at a time: a multiple of four.</summary>
    public static int StripeColumns(int kernel, int elementSize, bool staged) => staged
        ? Math.Min(TileLimits.StripeColumns, TileLimits.StageBytes / (kernel * elementSize) & ~3)
        : TileLimits.StripeColumns;

    /// <summary>Fills in what depends on the address of the elements.</summary>
    /// <param name="tile">The tile, with its elements as an absolute index (address / size).</param>
    /// <param name="elementSize">Bytes of an element.</param>
    public static SumTile Shape(SumTile tile, int elementSize)
    {
        var staged = CanBeStaged(tile.Kernel, tile.KernelStride, tile.ColumnStride, elementSize);
        var aligned = elementSize <= TileLimits.QuadElementBytes && tile.Elements % 4 == 0 && (tile.Rows == 1 || tile.RowStride % 4 == 0);
        var vector = staged
            ? aligned && (long)tile.Columns * tile.Kernel % 4 == 0
            : aligned && tile.Columns % 4 == 0 && (tile.Columns == 1 || tile.ColumnStride == 1) && (tile.Kernel == 1 || tile.KernelStride % 4 == 0);
        var stripe = Math.Min(StripeColumns(tile.Kernel, elementSize, staged), tile.Columns);
        tile.LanesPerRow = staged ? 32 : (int)BitOperations.RoundUpToPowerOf2((uint)((stripe + 3) / 4));
        tile.StripeColumns = staged ? StripeColumns(tile.Kernel, elementSize, true) : 4 * tile.LanesPerRow;
        tile.Flags = tile.Flags & ~(TileFlags.Staged | TileFlags.Vector)
            | (staged ? TileFlags.Staged : 0) | (vector ? TileFlags.Vector : 0);
        return tile;
    }
}
