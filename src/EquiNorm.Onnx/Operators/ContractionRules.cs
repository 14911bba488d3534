using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>
/// MatMul of two activations, [..., I, K] by [..., K, J]. One with factors along other axes than K hands them on: attention's probabilities by
/// values are linear in the values, head by head. Where both have factors along K they must cancel, and do if one takes the reciprocals of the
/// other: queries by keys.
/// </summary>
internal static class ContractionRules
{
    /// <summary>MatMul with an operand that has factors and no stored matrix on the right.</summary>
    public static string? Apply(NodeContext node)
    {
        var builder = node.Analysis.Builder;
        if (node.Inputs.Any(i => i?.Shape is not { Length: >= 2 }))
        {
            return "the rank of an operand is not known";
        }

        var (left, right) = (Scaled(0), Scaled(1));
        if (left is null && right is null)
        {
            return "it multiplies activations that are not rescaled";
        }

        if (left is not null && right is not null)
        {
            node.Analysis.HasChosen = true;
            return Cancel(node, left, right) ? null : "it multiplies two activations that are both rescaled, and their factors do not cancel";
        }

        var x = (left ?? right)!;
        var shape = x.Shape!;
        int summed = shape.Length - (left is null ? 2 : 1);
        if (x.Dims.Contains(summed))
        {
            return "it sums over the channels of one operand, and the other is neither stored nor rescaled";
        }

        var to = node.OutputShapes[0] ?? [.. Enumerable.Range(0, node.Inputs.Max(i => i!.Shape!.Length)).Select(_ => node.Analysis.Extents.Unknown())];
        var result = SpreadMoves.Aligned(node, x with { Shape = [.. shape.Select((e, d) => d == summed ? 1 : e)] }, to);
        return Spread.Set(node, result with { Axis = Behind(node, result.Axis, left is null ? 0 : 1) });

        SplitValue? Scaled(int input) =>
            Spread.Of(node, node.Input(input)) is { } table && !builder.IsPinned(table.Axis) ? table : null;
    }

    // The other operand stands in front of the result, too.
    private static Model.ChannelAxis Behind(NodeContext node, Model.ChannelAxis axis, int other)
    {
        var flow = node.Input(other) is ScaledValue scaled ? scaled.Axis : (node.Input(other) as PlainValue)?.Flow;
        var builder = node.Analysis.Builder;
        return flow is null ? axis : builder.Concat(axis, builder.Behind(flow));
    }

    private static bool Cancel(NodeContext node, SplitValue left, SplitValue right)
    {
        int rank = Math.Max(left.Shape!.Length, right.Shape!.Length);
        if (Keyed(left, 1, rank) is not { } a || Keyed(right, 2, rank) is not { } b)
        {
            return false;
        }

        var union = Spread.Union(a, b);
        if (Spread.Broaden(node, a, union) is not { } queries || Spread.Broaden(node, b, union) is not { } keys)
        {
            return false;
        }

        node.Analysis.Builder.TieInverse(queries.Axis, keys.Axis, node.Node.DisplayName);
        node.SetPlain(0);
        return true;
    }

    // Batch axes counted as in the longer shape, the axis that is summed over (from the back) as the last one; null if that has no factors, or
    // not its whole extent, or the other matrix axis has some.
    private static SplitValue? Keyed(SplitValue x, int summed, int rank)
    {
        int own = x.Shape!.Length, added = rank - own;
        int at = Array.IndexOf(x.Dims, own - summed);
        return at < 0 || at != x.Dims.Length - 1 || !Spread.IsWhole(x, at) || x.Dims.Contains(own - 3 + summed) ? null
            : new SplitValue(x.Axis, [.. x.Dims.Select((d, n) => n == at ? rank : d + added)], x.Extents) { Shape = x.Shape };
    }
}
