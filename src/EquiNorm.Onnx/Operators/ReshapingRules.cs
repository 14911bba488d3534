using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>Operators that move the channel axis. Where its new place cannot be proved they block: a wrong place would change the function.</summary>
internal static class ReshapingRules
{
    private const string ChannelsUnknown = "the place of its channels is not known";

    /// <summary>[N, C, H, W] to [N, C*H*W]: the channel axis becomes the last, with H*W positions per channel.</summary>
    public static string? Flatten(NodeContext node)
    {
        if (node.Channels(0) is not { Shape: { } shape, FrontDim: { } front } x)
        {
            return ChannelsUnknown;
        }

        long axis = node.Int("axis", 1);
        axis = axis < 0 ? axis + shape.Length : axis;
        if (axis < 0 || axis > front || !Array.TrueForAll(shape[(int)axis..front], e => e.Is(1)))
        {
            return "it merges other axes with the channels";
        }

        node.Set(0, new ChannelValue(x.Axis, -1, Positions(x, shape.AsSpan(front + 1))) { Shape = null });
        return null;
    }

    /// <summary>The axes in another order.</summary>
    public static string? Transpose(NodeContext node)
    {
        var perm = node.Ints("perm");
        if (node.Channels(0) is not { } x || (perm is null && x.Shape is null) || (x.Shape is not null && perm is not null && perm.Length != x.Shape.Length))
        {
            return ChannelsUnknown;
        }

        int rank = perm?.Length ?? x.Shape!.Length;
        int to = perm is null ? -x.Dim - 1 : Array.IndexOf(perm, rank + x.Dim);
        if (to < 0)
        {
            return "its permutation is not valid";
        }

        node.Set(0, x with { Dim = to - rank, Shape = null });
        return null;
    }

    /// <summary>Axes of extent 1 removed, not the channels.</summary>
    public static string? Squeeze(NodeContext node)
    {
        if (node.Channels(0) is not { } x)
        {
            return ChannelsUnknown;
        }

        var axes = node.IntsOrInput("axes", 1);
        if (axes is null && (node.Input(1) is not null || x.Shape is not { } shape || Array.Exists(shape, e => !e.IsKnown)))
        {
            return "the axes that it removes are not known";
        }

        axes ??= [.. Enumerable.Range(0, x.Shape!.Length).Where(i => x.Shape[i].Is(1)).Select(i => (long)i)];
        int behind = 0;
        foreach (long a in axes.DistinctBy(a => NodeContext.FromBack(a, x.Shape)))
        {
            if (NodeContext.FromBack(a, x.Shape) is not { } axis || axis == x.Dim)
            {
                return "it removes the channel axis, or its place is not known";
            }

            behind += axis > x.Dim ? 1 : 0;
        }

        node.Set(0, x with { Dim = x.Dim + behind, Shape = null });
        return null;
    }

    /// <summary>Axes of extent 1 added.</summary>
    public static string? Unsqueeze(NodeContext node)
    {
        if (node.Channels(0) is not { Shape: { } shape, FrontDim: { } front } x || node.IntsOrInput("axes", 1) is not { Length: < 16 } axes)
        {
            return ChannelsUnknown;
        }

        int rank = shape.Length + axes.Length;
        var added = axes.Select(a => a < 0 ? a + rank : a).ToHashSet();
        int seen = 0;
        for (int i = 0; i < rank; i++)
        {
            if (!added.Contains(i) && seen++ == front)
            {
                node.Set(0, x with { Dim = i - rank, Shape = null });
                return null;
            }
        }

        return "its axes are not valid";
    }

    /// <summary>Any reshape that provably keeps the channel axis, or flattens it with what follows it.</summary>
    public static string? Reshape(NodeContext node)
    {
        if (node.Channels(0) is not { Shape: { } from, FrontDim: { } front } x)
        {
            return ChannelsUnknown;
        }

        if (node.OutputShapes[0] is not { } to)
        {
            return "its target shape is not known";
        }

        // Row order: an element's channel is given by the product of the extents behind the channel axis. So the axis is found
        // again where either what stands before it or what stands behind it has the same product, and its own extent fits.
        for (int j = 0; j < to.Length; j++)
        {
            bool sameFront = Extents.SameProduct(from.AsSpan(0, front), to.AsSpan(0, j));
            for (int end = front + 1; end <= from.Length; end++)
            {
                bool sameBack = Extents.SameProduct(from.AsSpan(end), to.AsSpan(j + 1));
                bool sameAxis = Extents.SameProduct(from.AsSpan(front, end - front), to.AsSpan(j, 1));
                bool proved = (sameFront && (sameAxis || sameBack)) || (sameBack && sameAxis);
                if (proved && Fits(x, to[j]))
                {
                    node.Set(0, new ChannelValue(x.Axis, j - to.Length, Positions(x, from.AsSpan(front + 1, end - front - 1))) { Shape = null });
                    return null;
                }
            }
        }

        return SpreadMoves.Reshape(node);
    }

    // An extent must hold whole channels; one channel of extent 1 could be any axis of extent 1, and all are the same then.
    private static bool Fits(ChannelValue x, Extent extent) =>
        !extent.IsKnown || (x.Axis.Length > 0 && extent.Value % x.Axis.Length == 0 && extent.Value > 0);

    private static long? Positions(ChannelValue x, ReadOnlySpan<Extent> behind) =>
        x.Positions is { } p && Extents.Product(behind) is { IsKnown: true } product ? p * product.Value : null;
}
