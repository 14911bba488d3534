using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>Operators that move or repeat the axes of an activation whose factors depend on several of them.</summary>
internal static class SpreadMoves
{
    private const string Unknown = "the place of its channels is not known";

    /// <summary>The axes in another order.</summary>
    public static string? Transpose(NodeContext node)
    {
        if (Spread.Of(node, node.Input(0)) is not { } x)
        {
            return Unknown;
        }

        int rank = x.Shape!.Length;
        long[] perm = node.Ints("perm") ?? [.. Enumerable.Range(0, rank).Select(a => (long)(rank - 1 - a))];
        if (perm.Length != rank || perm.Distinct().Count() != rank || Array.Exists(perm, p => p < 0 || p >= rank))
        {
            return "its permutation is not valid";
        }

        var blocks = x.Dims.Select((d, n) => Spread.Keep(x, n, Array.IndexOf(perm, (long)d)));
        return Spread.Set(node, Spread.Make(node, x, blocks, [.. perm.Select(p => x.Shape[p])]));
    }

    /// <summary>Reshape and Flatten.</summary>
    public static string? Reshape(NodeContext node) =>
        node.OutputShapes[0] is not { } to ? "its target shape is not known"
        : Spread.Of(node, node.Input(0)) is { } x && SpreadReshape.Apply(node, x, to) is { } result ? Spread.Set(node, result)
        : "it is not proved that the channels stay together";

    /// <summary>Squeeze and Unsqueeze: axes of extent 1 go and come.</summary>
    public static string? Resqueeze(NodeContext node) =>
        Spread.Of(node, node.Input(0)) is { } x && ShapeInference.Infer(node, node.Analysis.Extents) is { } to && SpreadReshape.Apply(node, x, to) is { } result
            ? Spread.Set(node, result) : "the axes that it adds or removes are not known, or hold channels";

    /// <summary>Expand: axes of extent 1 are repeated, axes are added in front; what has factors keeps them.</summary>
    public static string? Expand(NodeContext node) =>
        Spread.Of(node, node.Input(0)) is { } x && node.OutputShapes[0] is { } to && to.Length >= x.Shape!.Length
            ? Spread.Set(node, Aligned(node, x, to)) : "the shape that it repeats to is not known";

    /// <summary>Tile: along each axis the factors repeat with the elements.</summary>
    public static string? Tile(NodeContext node)
    {
        if (Spread.Of(node, node.Input(0)) is not { } x || node.KnownElements(1) is not { } repeats || repeats.Length != x.Shape!.Length
            || Array.Exists(repeats, r => r is < 1 or > RangeRules.MaximumFeatures))
        {
            return "how often it repeats is not known";
        }

        // Repeating an axis whose factors come to an end in its middle would shift them.
        if (x.Dims.Where((d, n) => repeats[d] > 1 && !Spread.IsWhole(x, n)).Any())
        {
            return "it repeats an axis whose extent is not known";
        }

        Extent[] shape = [.. x.Shape.Select((e, d) => repeats[d] == 1 ? e : e.IsKnown && e.Value <= int.MaxValue ? e.Value * repeats[d] : node.Analysis.Extents.Unknown())];
        return Spread.Set(node, x with { Shape = shape });
    }

    /// <summary>Sums, means, extrema and norms over axes without factors.</summary>
    public static string? Reduce(NodeContext node)
    {
        if (Spread.Of(node, node.Input(0)) is not { } x || node.IntsOrInput("axes", 1) is not { Length: > 0 } axes
            || node.Operator is not ("ReduceMean" or "ReduceSum" or "ReduceMax" or "ReduceMin" or "ReduceL1" or "ReduceL2"))
        {
            return "it reduces over all axes, or over axes that are not constant";
        }

        int rank = x.Shape!.Length;
        int[] gone = [.. axes.Select(a => (int)(a < 0 ? a + rank : a)).Distinct()];
        if (gone.Any(a => a < 0 || a >= rank || x.Dims.Contains(a)))
        {
            return "it reduces over the channels";
        }

        bool keep = node.Int("keepdims", 1) != 0;
        Extent[] shape = [.. x.Shape.Select((e, d) => gone.Contains(d) ? 1 : e).Where((_, d) => keep || !gone.Contains(d))];
        int[] dims = keep ? x.Dims : [.. x.Dims.Select(d => d - gone.Count(g => g < d))];
        return Spread.Set(node, new SplitValue(x.Axis, dims, x.Extents) { Shape = shape });
    }

    /// <summary>A table as an operand that is broadcast to a shape of at least its rank.</summary>
    public static SplitValue Aligned(NodeContext node, SplitValue x, Extent[] to)
    {
        int added = to.Length - x.Shape!.Length;
        Extent[] shape = [.. to.Select((e, d) => e.IsKnown ? e : d < added ? e : x.Shape[d - added] is { IsKnown: true } own && !own.Is(1) ? own : e)];
        return new SplitValue(x.Axis, [.. x.Dims.Select(d => d + added)], x.Extents) { Shape = shape };
    }
}
