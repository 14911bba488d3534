using EquiNorm.Gpu.Tables;
using EquiNorm.Model;
using EquiNorm.Plan;

namespace EquiNorm.Gpu.Layout;

/// <summary>Cuts a tensor into tiles that are scaled.</summary>
internal static class ScaleLayout
{
    // Beyond it the kernel's division by float32 is not exact.
    private const long LongestRow = 1 << 20;

    /// <summary>The tiles of one tensor.</summary>
    /// <param name="layout">Its layout.</param>
    /// <param name="type">How the elements are stored.</param>
    /// <param name="source">Address to read from.</param>
    /// <param name="target">Address to write to; may be the same.</param>
    /// <param name="outputFactors">Index of output position 0 among the factors.</param>
    /// <param name="inputFactors">Index of input position 0 among the factors.</param>
    /// <param name="power">1, or -1 and -2 for moments of an optimizer.</param>
    public static ScaleTile[] Tiles(WeightLayout layout, ElementType type, ulong source, ulong target, int outputFactors, int inputFactors, int power)
    {
        var matrix = new WeightMatrix(layout, type);
        var size = type.ByteSize();
        var rowsAreOutputs = matrix.RowAxis == Axis.Output;
        var pairBytes = (long)matrix.Kernel * size;
        var columns = (int)Math.Clamp(KernelPolicy.ScaleTileBytes / 8 / pairBytes / 4 * 4, 4, Math.Max(4, matrix.Columns));
        var rows = (int)Math.Clamp(KernelPolicy.ScaleTileBytes / (Math.Min(columns, matrix.Columns) * pairBytes), 8, int.MaxValue);
        var tiles = new List<ScaleTile>();
        for (var m = 0; m < matrix.Count; m++)
        {
            for (var r = 0; r < matrix.Rows; r += rows)
            {
                for (var c = 0; c < matrix.Columns; c += columns)
                {
                    var offset = matrix.Offset(m, r, c);
                    var row = matrix.IsDiagonal ? c : m * matrix.Rows + r;
                    var column = matrix.IsDiagonal ? c : m * matrix.Columns + c;
                    var tile = new ScaleTile
                    {
                        Source = (long)(source / (ulong)size) + offset,
                        Target = (long)(target / (ulong)size) + offset,
                        RowStride = matrix.RowStride,
                        ColumnStride = matrix.ColumnStride,
                        KernelStride = matrix.KernelStride,
                        Rows = matrix.IsDiagonal ? 1 : Math.Min(rows, matrix.Rows - r),
                        Columns = Math.Min(columns, matrix.Columns - c),
                        Kernel = matrix.Kernel,
                        RowFactors = row + (rowsAreOutputs ? outputFactors : inputFactors),
                        ColumnFactors = column + (rowsAreOutputs ? inputFactors : outputFactors),
                        Counts = tiles.Count,
                        Power = power,
                    };
                    tiles.Add(Shape(tile, size, matrix.HasContiguousRows && (long)tile.Columns * tile.Kernel < LongestRow, rowsAreOutputs, matrix.IsDiagonal));
                }
            }
        }

        return [.. tiles];
    }

    private static ScaleTile Shape(ScaleTile tile, int elementSize, bool contiguous, bool rowsAreOutputs, bool diagonal)
    {
        var vector = contiguous && elementSize <= TileLimits.QuadElementBytes && (long)tile.Columns * tile.Kernel % 4 == 0 && tile.Source % 4 == 0 && tile.Target % 4 == 0
            && (tile.Rows == 1 || tile.RowStride % 4 == 0);
        tile.Flags = (contiguous ? TileFlags.Staged : 0) | (vector ? TileFlags.Vector : 0)
            | (rowsAreOutputs ? TileFlags.RowsAreOutputs : 0) | (diagonal ? TileFlags.Diagonal : 0);
        return tile;
    }
}
