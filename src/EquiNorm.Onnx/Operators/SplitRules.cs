using EquiNorm.Model;
using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>
/// Channels that a reshape spreads over several axes, [N, C, ...] to [N, g, C / g, ...]. Reshapes and transpositions move them exactly, which
/// makes a channel shuffle a permutation; where an operator needs one channel axis, what shares a place on it is tied.
/// </summary>
internal static class SplitRules
{
    private static readonly HashSet<string> Elementwise = new(StringComparer.Ordinal) { "Relu", "LeakyRelu", "Abs", "Neg", "Identity" };

    /// <summary>Splits the channel axis if that is what a reshape to <paramref name="to"/> does; false if it is not proved.</summary>
    public static bool Split(NodeContext node, ChannelValue x, Extent[] to)
    {
        int front = x.FrontDim!.Value;
        var extent = x.Shape![front];
        long? positions = x.Positions ?? (extent.IsKnown && x.Axis.Length > 0 && extent.Value % x.Axis.Length == 0 ? extent.Value / x.Axis.Length : null);
        return RangeRules.Features(node, x with { Positions = positions }) is { Length: > 0 } axis && Place(node, axis, x.Shape, front, front + 1, to);
    }

    /// <summary>Applies an operator that reads split channels.</summary>
    public static string? Apply(NodeContext node, OperatorRule rule)
    {
        if (node.Inputs is [SplitValue x, ..])
        {
            if (node.Operator == "Transpose")
            {
                return Transpose(node, x);
            }

            if (node.Operator == "Reshape" && node.OutputShapes[0] is { } to && Merge(node, x, to))
            {
                return null;
            }

            if (Elementwise.Contains(node.Operator))
            {
                node.Set(0, x with { Shape = null });
                return null;
            }
        }

        var values = new GraphValue?[node.Inputs.Count];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = node.Inputs[i] is SplitValue split ? Collapse(node, split) : node.Inputs[i];
            if (values[i] is null && node.Inputs[i] is not null)
            {
                return "a reshape has spread its channels over several axes";
            }
        }

        return rule(node.With(values));
    }

    private static string? Transpose(NodeContext node, SplitValue x)
    {
        int rank = x.Shape!.Length;
        long[] perm = node.Ints("perm") ?? [.. Enumerable.Range(0, rank).Select(a => (long)(rank - 1 - a))];
        int[] dims = [.. x.Dims.Select(d => Array.IndexOf(perm, (long)d))];
        if (perm.Length != rank || perm.Distinct().Count() != rank || perm.Any(p => p < 0 || p >= rank) || dims.Contains(-1))
        {
            return "its permutation is not valid";
        }

        node.Set(0, x with { Dims = dims, Shape = [.. perm.Select(p => x.Shape[p])] });
        return null;
    }

    private static bool Merge(NodeContext node, SplitValue x, Extent[] to)
    {
        int[] order = [.. Enumerable.Range(0, x.Dims.Length).OrderBy(d => x.Dims[d])];
        int first = x.Dims[order[0]];
        if (order.Where((d, n) => x.Dims[d] != first + n).Any())
        {
            return false;
        }

        // The channels in row order of the axes as they now stand.
        var strides = new int[x.Dims.Length];
        for (int d = strides.Length - 1, s = 1; d >= 0; s *= x.Extents[d--])
        {
            strides[d] = s;
        }

        int[] places = [0];
        foreach (int d in order)
        {
            places = [.. places.SelectMany(p => Enumerable.Range(0, x.Extents[d]).Select(c => p + c * strides[d]))];
        }

        return Place(node, node.Analysis.Builder.Select(x.Axis, places), x.Shape!, first, first + order.Length, to);
    }

    // Channels on the axes [first, end) of a shape, found again in another one: equal products before and behind them fix the place.
    private static bool Place(NodeContext node, ChannelAxis axis, Extent[] from, int first, int end, Extent[] to)
    {
        for (int length = 1; length <= to.Length; length++)
        {
            for (int start = 0; start + length <= to.Length; start++)
            {
                if (!Extents.SameProduct(from.AsSpan(0, first), to.AsSpan(0, start)) || !Extents.SameProduct(from.AsSpan(end), to.AsSpan(start + length))
                    || Extents.Product(to.AsSpan(start, length)) is not { } product || !product.Is(axis.Length))
                {
                    continue;
                }

                node.Set(0, length == 1
                    ? new ChannelValue(axis, start - to.Length, 1) { Shape = to }
                    : new SplitValue(axis, [.. Enumerable.Range(start, length)], [.. to[start..(start + length)].Select(e => (int)e.Value)]) { Shape = to });
                return true;
            }
        }

        return false;
    }

    // One channel axis, where operators expect it; all that shares a place on it gets one factor. Null if it is not among the axes.
    private static ChannelValue? Collapse(NodeContext node, SplitValue x)
    {
        int at = Array.IndexOf(x.Dims, 1);
        if (at < 0)
        {
            return null;
        }

        int count = x.Extents[at], inner = x.Extents[(at + 1)..].Aggregate(1, (a, b) => a * b);
        var parts = Enumerable.Range(0, x.Axis.Length).GroupBy(p => (p / (inner * count), p % inner))
            .Select(part => node.Analysis.Builder.Select(x.Axis, part)).ToArray();
        return new ChannelValue(node.Analysis.Builder.Add(parts), 1 - x.Shape!.Length, 1) { Shape = x.Shape };
    }
}
