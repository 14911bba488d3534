using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>
/// Factors as a table over some axes of an activation. Every operator that moves, cuts, repeats or joins elements makes a new table by
/// selecting places of the old one: for each axis (or run of axes) a list of offsets into it, whose sums over all axes are the places.
/// </summary>
internal static class Spread
{
    /// <summary>Consecutive axes of a result, and the offset that each of their places adds, in row order.</summary>
    /// <param name="Dims">The axes, from the front.</param>
    /// <param name="Extents">Their extents (see <see cref="SplitValue"/>).</param>
    /// <param name="Offsets">As many as the product of the extents.</param>
    public sealed record Block(int[] Dims, int[] Extents, int[] Offsets);

    /// <summary>An activation with factors as a table; null if its rank, or the extent of its channels, is not known.</summary>
    public static SplitValue? Of(NodeContext node, GraphValue? value)
    {
        if (value is SplitValue split)
        {
            return split;
        }

        if (value is not ChannelValue { Shape: { } shape, FrontDim: { } front } x || x.Axis.Length == 0)
        {
            return null;
        }

        var extent = shape[front];
        long? positions = x.Positions ?? (extent.IsKnown && extent.Value % x.Axis.Length == 0 ? extent.Value / x.Axis.Length : null);
        return RangeRules.Features(node, x with { Positions = positions }) is not { Length: > 0 } axis ? null
            : new SplitValue(axis, [front], [axis.Length]) { Shape = [.. shape.Select((e, d) => d == front ? axis.Length : e)] };
    }

    /// <summary>Offset of one step along each axis of a table.</summary>
    public static int[] Strides(SplitValue x)
    {
        var strides = new int[x.Extents.Length];
        for (int d = strides.Length - 1, s = 1; d >= 0; s *= x.Extents[d--])
        {
            strides[d] = s;
        }

        return strides;
    }

    /// <summary>An axis of a table as it is, at another place in the result.</summary>
    public static Block Keep(SplitValue x, int index, int dim) => Repeat(x, index, dim, x.Extents[index]);

    /// <summary>An axis of a table over more places: the factors repeat.</summary>
    public static Block Repeat(SplitValue x, int index, int dim, int extent)
    {
        int stride = Strides(x)[index];
        return new Block([dim], [extent], [.. Enumerable.Range(0, extent).Select(i => i % x.Extents[index] * stride)]);
    }

    /// <summary>Some places of an axis.</summary>
    public static Block Pick(SplitValue x, int index, int dim, IEnumerable<int> places)
    {
        int stride = Strides(x)[index];
        int[] offsets = [.. places.Select(p => p * stride)];
        return new Block([dim], [offsets.Length], offsets);
    }

    /// <summary>The table that blocks make, in ascending order of axes; null if it would be larger than any weight.</summary>
    public static SplitValue? Make(NodeContext node, SplitValue x, IEnumerable<Block> blocks, Extent[]? shape)
    {
        Block[] ordered = [.. blocks.OrderBy(b => b.Dims[0])];
        if (ordered.Aggregate(1.0, (n, b) => n * b.Offsets.Length) is < 1 or > RangeRules.MaximumFeatures)
        {
            return null;
        }

        int[] places = [0];
        foreach (var block in ordered)
        {
            places = [.. places.SelectMany(_ => block.Offsets, (p, o) => p + o)];
        }

        bool isSame = places.Length == x.Axis.Length && !places.Where((p, n) => p != n).Any();
        return new SplitValue(
            isSame ? x.Axis : node.Analysis.Builder.Select(x.Axis, places), [.. ordered.SelectMany(b => b.Dims)], [.. ordered.SelectMany(b => b.Extents)])
        { Shape = shape };
    }

    /// <summary>The table over these axes, ascending: those it has, repeated where they are longer, and others along which it is constant.</summary>
    public static SplitValue? Broaden(NodeContext node, SplitValue x, IReadOnlyList<(int Dim, int Extent)> axes)
    {
        var blocks = new List<Block>();
        foreach (var (dim, extent) in axes)
        {
            int at = Array.IndexOf(x.Dims, dim);
            if (at >= 0 && extent % x.Extents[at] != 0)
            {
                return null;
            }

            blocks.Add(at >= 0 ? Repeat(x, at, dim, extent) : new Block([dim], [extent], new int[extent]));
        }

        return x.Dims.All(d => axes.Any(a => a.Dim == d)) ? Make(node, x, blocks, x.Shape) : null;
    }

    /// <summary>All axes of several tables, each with the longest of their extents.</summary>
    public static (int Dim, int Extent)[] Union(params IEnumerable<SplitValue> tables) =>
        [.. tables.SelectMany(t => t.Dims.Zip(t.Extents)).GroupBy(a => a.First).Select(g => (g.Key, g.Max(a => a.Second))).OrderBy(a => a.Key)];

    /// <summary>Whether an axis of a table has its whole extent, so that its places can be counted out.</summary>
    public static bool IsWhole(SplitValue x, int index) => x.Shape is { } shape && shape[x.Dims[index]].Is(x.Extents[index]);

    /// <summary>Sets output 0 to a table, as one channel axis where it is one.</summary>
    public static string? Set(NodeContext node, SplitValue? x, int output = 0)
    {
        if (x is null)
        {
            return $"its channels would be spread over more than {RangeRules.MaximumFeatures} places";
        }

        // An axis of one place says nothing.
        int[] kept = [.. Enumerable.Range(0, x.Dims.Length).Where(d => x.Extents[d] > 1)];
        kept = kept.Length == 0 ? [x.Dims.Length - 1] : kept;
        x = new SplitValue(x.Axis, [.. kept.Select(d => x.Dims[d])], [.. kept.Select(d => x.Extents[d])]) { Shape = x.Shape };
        var shape = output < node.OutputShapes.Count && node.OutputShapes[output] is { } known && known.Length == x.Shape?.Length
            ? [.. known.Zip(x.Shape, (k, s) => k.IsKnown ? k : s)] : x.Shape!;
        if (x.Dims is [var dim] && shape[dim].IsKnown && shape[dim].Value % x.Extents[0] == 0
            && Broaden(node, x, [(dim, (int)Math.Min(shape[dim].Value, int.MaxValue))]) is { } whole)
        {
            node.Set(output, new ChannelValue(whole.Axis, dim - shape.Length, 1) { Shape = shape });
            return null;
        }

        node.Set(output, x with { Shape = shape });
        return null;
    }

    /// <summary>
    /// One channel axis, for operators that know no other: everything that shares a place on it gets one factor. Null if the axis is not among
    /// those of the table.
    /// </summary>
    public static ChannelValue? Collapse(NodeContext node, SplitValue x, int dim)
    {
        int at = Array.IndexOf(x.Dims, dim);
        if (at < 0 || !IsWhole(x, at))
        {
            return null;
        }

        int count = x.Extents[at], inner = Strides(x)[at];
        var parts = Enumerable.Range(0, x.Axis.Length).GroupBy(p => (p / (inner * count), p % inner))
            .Select(part => node.Analysis.Builder.Select(x.Axis, part)).ToArray();
        return new ChannelValue(node.Analysis.Builder.Add(parts), dim - x.Shape!.Length, 1) { Shape = x.Shape };
    }
}
