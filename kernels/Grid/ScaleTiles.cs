using EquiNorm.Gpu.Tables;
using ILGPU;

namespace EquiNorm.Gpu.Kernels;

/// <summary>What scaling reads and writes.</summary>
/// <typeparam name="TScalar">One element.</typeparam>
/// <typeparam name="TQuad">Four elements.</typeparam>
public struct ScaleArguments<TScalar, TQuad>
    where TScalar : unmanaged
    where TQuad : unmanaged
{
    /// <summary>The tiles; one group of threads for each.</summary>
    public ArrayView<ScaleTile> Tiles;

    /// <summary>All memory, by element.</summary>
    public ArrayView<TScalar> Elements;

    /// <summary>All memory, by four elements.</summary>
    public ArrayView<TQuad> Quads;

    /// <summary>The channel of each position, or empty: then factors are those of positions.</summary>
    public ArrayView<int> Channels;

    /// <summary>Factors of output axes: d.</summary>
    public ArrayView<double> OutputFactors;

    /// <summary>Factors of input axes: 1/d.</summary>
    public ArrayView<double> InputFactors;

    /// <summary>Receives what left the range; empty if nobody asks.</summary>
    public ArrayView<ScaleCounts> Counts;

    /// <summary>If not empty: nothing is done unless its words are zero.</summary>
    public ArrayView<int> Status;
}

/// <summary>
/// Multiplies every element by the factors of its row and column, rounded once. Reads and writes each element once; source and target
/// may be the same.
/// </summary>
internal static class ScaleTiles<TElement, TScalar, TQuad>
    where TElement : struct, IElement<TScalar, TQuad>
    where TScalar : unmanaged
    where TQuad : unmanaged
{
    private const int Warps = TileLimits.GroupSize / 32;

    public static void Run(ScaleArguments<TScalar, TQuad> a)
    {
        var warpCounts = SharedMemory.Allocate<int>(2 * Warps);
        if (a.Status.Length > 0 && (a.Status[0] != 0 || a.Status[a.Status.Length - 1] != 0))
        {
            return;
        }

        var tile = a.Tiles[Grid.IdxX];
        int lane = Group.IdxX & 31;
        int warp = Group.IdxX >> 5;
        int warps = Group.DimX >> 5;
        bool rowsAreOutputs = (tile.Flags & TileFlags.RowsAreOutputs) != 0;
        int overflowed = 0;
        int underflowed = 0;
        if ((tile.Flags & TileFlags.Staged) != 0)
        {
            int row = tile.Columns * tile.Kernel;
            float inverse = 1f / tile.Kernel;
            for (int r = warp; r < tile.Rows; r += warps)
            {
                double outer = (tile.Flags & TileFlags.Diagonal) != 0 ? 1.0 : Factor(a, tile, tile.RowFactors + r, rowsAreOutputs);
                if (default(TElement).HasQuads && (tile.Flags & TileFlags.Vector) != 0)
                {
                    ScaleVectors(a, tile, r, outer, row, inverse, lane, ref overflowed, ref underflowed);
                }
                else
                {
                    long offset = r * tile.RowStride;
                    int n = lane;
                    for (; n + 96 < row; n += 128)
                    {
                        var s0 = a.Elements[tile.Source + offset + n];
                        var s1 = a.Elements[tile.Source + offset + n + 32];
                        var s2 = a.Elements[tile.Source + offset + n + 64];
                        var s3 = a.Elements[tile.Source + offset + n + 96];
                        a.Elements[tile.Target + offset + n] = Scale(a, tile, s0, outer, Column(n, inverse), ref overflowed, ref underflowed);
                        a.Elements[tile.Target + offset + n + 32] = Scale(a, tile, s1, outer, Column(n + 32, inverse), ref overflowed, ref underflowed);
                        a.Elements[tile.Target + offset + n + 64] = Scale(a, tile, s2, outer, Column(n + 64, inverse), ref overflowed, ref underflowed);
                        a.Elements[tile.Target + offset + n + 96] = Scale(a, tile, s3, outer, Column(n + 96, inverse), ref overflowed, ref underflowed);
                    }

                    for (; n < row; n += 32)
                    {
                        a.Elements[tile.Target + offset + n] =
                            Scale(a, tile, a.Elements[tile.Source + offset + n], outer, Column(n, inverse), ref overflowed, ref underflowed);
                    }
                }
            }
        }
        else
        {
            // Any strides: neighbouring threads on neighbouring columns.
            for (int r = warp; r < tile.Rows; r += warps)
            {
                double outer = (tile.Flags & TileFlags.Diagonal) != 0 ? 1.0 : Factor(a, tile, tile.RowFactors + r, rowsAreOutputs);
                for (int k = 0; k < tile.Kernel; k++)
                {
                    for (int c = lane; c < tile.Columns; c += 32)
                    {
                        long offset = r * tile.RowStride + c * tile.ColumnStride + k * tile.KernelStride;
                        a.Elements[tile.Target + offset] =
                            Scale(a, tile, a.Elements[tile.Source + offset], outer, c, ref overflowed, ref underflowed);
                    }
                }
            }
        }

        for (int mask = 1; mask < 32; mask <<= 1)
        {
            overflowed += Warp.ShuffleXor(overflowed, mask);
            underflowed += Warp.ShuffleXor(underflowed, mask);
        }

        if (lane == 0)
        {
            warpCounts[warp] = overflowed;
            warpCounts[Warps + warp] = underflowed;
        }

        Group.Barrier();
        if (Group.IdxX == 0 && a.Counts.Length > 0)
        {
            var counts = new ScaleCounts();
            for (int w = 0; w < warps; w++)
            {
                counts.Overflowed += warpCounts[w];
                counts.Underflowed += warpCounts[Warps + w];
            }

            a.Counts[tile.Counts] = counts;
        }
    }

    // A row of a tile has fewer than 2^20 elements: n / Kernel by float32 is exact with half a unit added.
    private static int Column(int n, float inverseKernel) => (int)((n + 0.5f) * inverseKernel);

    private static void ScaleVectors(
        ScaleArguments<TScalar, TQuad> a,
        in ScaleTile tile,
        int r,
        double outer,
        int row,
        float inverse,
        int lane,
        ref int overflowed,
        ref int underflowed)
    {
        long from = (tile.Source + r * tile.RowStride) >> 2;
        long to = (tile.Target + r * tile.RowStride) >> 2;
        int n = lane;
        for (; n + 96 < row >> 2; n += 128)
        {
            var q0 = a.Quads[from + n];
            var q1 = a.Quads[from + n + 32];
            var q2 = a.Quads[from + n + 64];
            var q3 = a.Quads[from + n + 96];
            a.Quads[to + n] = Scale(a, tile, q0, outer, 4 * n, inverse, ref overflowed, ref underflowed);
            a.Quads[to + n + 32] = Scale(a, tile, q1, outer, 4 * (n + 32), inverse, ref overflowed, ref underflowed);
            a.Quads[to + n + 64] = Scale(a, tile, q2, outer, 4 * (n + 64), inverse, ref overflowed, ref underflowed);
            a.Quads[to + n + 96] = Scale(a, tile, q3, outer, 4 * (n + 96), inverse, ref overflowed, ref underflowed);
        }

        for (; n < row >> 2; n += 32)
        {
            a.Quads[to + n] = Scale(a, tile, a.Quads[from + n], outer, 4 * n, inverse, ref overflowed, ref underflowed);
        }
    }

    private static TQuad Scale(
        ScaleArguments<TScalar, TQuad> a,
        in ScaleTile tile,
        TQuad quad,
        double outer,
        int n,
        float inverse,
        ref int overflowed,
        ref int underflowed)
    {
        var values = default(TElement).Unpack(quad);
        var old = values;
        int first = Column(n, inverse);
        int last = Column(n + 3, inverse);
        double inner = Inner(a, tile, first);
        values.A *= outer * inner;
        if (first == last)
        {
            values.B *= outer * inner;
            values.C *= outer * inner;
            values.D *= outer * inner;
        }
        else
        {
            values.B *= outer * Inner(a, tile, Column(n + 1, inverse));
            values.C *= outer * Inner(a, tile, Column(n + 2, inverse));
            values.D *= outer * Inner(a, tile, last);
        }

        var result = default(TElement).Pack(values);
        var stored = default(TElement).Unpack(result);
        Count(old.A, stored.A, ref overflowed, ref underflowed);
        Count(old.B, stored.B, ref overflowed, ref underflowed);
        Count(old.C, stored.C, ref overflowed, ref underflowed);
        Count(old.D, stored.D, ref overflowed, ref underflowed);
        return result;
    }

    private static TScalar Scale(
        ScaleArguments<TScalar, TQuad> a,
        in ScaleTile tile,
        TScalar element,
        double outer,
        int column,
        ref int overflowed,
        ref int underflowed)
    {
        double old = default(TElement).Load(element);
        var result = default(TElement).Store(old * (outer * Inner(a, tile, column)));
        Count(old, default(TElement).Load(result), ref overflowed, ref underflowed);
        return result;
    }

    private static double Inner(ScaleArguments<TScalar, TQuad> a, in ScaleTile tile, int column)
    {
        double inner = Factor(a, tile, tile.ColumnFactors + column, (tile.Flags & TileFlags.RowsAreOutputs) == 0);
        return (tile.Flags & TileFlags.Diagonal) != 0 ? inner * Factor(a, tile, tile.RowFactors + column, true) : inner;
    }

    // The tables hold d for outputs and 1/d for inputs: each is the other's inverse, where both are by channel.
    private static double Factor(ScaleArguments<TScalar, TQuad> a, in ScaleTile tile, int position, bool output)
    {
        int at = a.Channels.Length > 0 ? a.Channels[position] : position;
        double factor = output == (tile.Power > 0) ? a.OutputFactors[at] : a.InputFactors[at];
        return tile.Power == -2 ? factor * factor : factor;
    }

    private static void Count(double old, double stored, ref int overflowed, ref int underflowed)
    {
        overflowed += Math.Abs(stored) > 1.7976931348623157e308 && Math.Abs(old) <= 1.7976931348623157e308 ? 1 : 0;
        underflowed += stored == 0.0 && old != 0.0 ? 1 : 0;
    }
}
