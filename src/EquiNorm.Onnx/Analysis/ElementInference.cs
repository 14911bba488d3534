namespace EquiNorm.Onnx.Analysis;

/// <summary>
/// Follows small integer vectors through the graph: exporters compute the target of a reshape from Shape, Gather, Concat and the like.
/// </summary>
internal static class ElementInference
{
    /// <summary>Longer vectors are data, not shapes.</summary>
    public const int Limit = 64;

    /// <summary>The elements of output 0, or null if they are not known.</summary>
    public static Extent[]? Infer(NodeContext node)
    {
        var e = node.Input(0)?.Elements;
        return node.Operator switch
        {
            "Shape" => Shape(node),
            "Identity" or "Cast" or "Squeeze" or "Unsqueeze" => e,
            "Reshape" or "Flatten" => e is { Length: 1 } ? e : null,
            "Gather" => Gather(node, e),
            "Slice" => Slice(node, e),
            "Concat" => Concat(node),
            "Mul" => Pairwise(node, (a, b) => a.Is(1) ? b : b.Is(1) ? a : Numbers(a, b, Math.BigMul(a.Value, b.Value))),
            "Add" => Pairwise(node, (a, b) => Numbers(a, b, (Int128)a.Value + b.Value)),
            "Sub" => Pairwise(node, (a, b) => Numbers(a, b, (Int128)a.Value - b.Value)),
            "ConstantOfShape" => Filled(node, e),
            "Equal" => Pairwise(node, (a, b) => a == b ? 1 : a.IsKnown && b.IsKnown || a.Value < 0 || b.Value < 0 ? 0 : null), // an unknown extent is not negative
            "Where" => Choose(node, e),
            "Div" => Pairwise(node, (a, b) => b.Is(1) ? a : b.Is(0) ? null : Numbers(a, b, b.IsKnown ? (Int128)a.Value / b.Value : 0)),
            _ => null,
        };
    }

    private static Extent? Numbers(Extent a, Extent b, Int128 value) =>
        a.IsKnown && b.IsKnown && value >= long.MinValue && value <= long.MaxValue ? (long)value : null;

    private static Extent[]? Shape(NodeContext node)
    {
        if (node.Input(0)?.Shape is not { } shape)
        {
            return null;
        }

        long start = Clamp(node.Int("start", 0), shape.Length), end = Clamp(node.Int("end", long.MaxValue), shape.Length);
        return end >= start ? shape[(int)start..(int)end] : [];
    }

    private static Extent[]? Gather(NodeContext node, Extent[]? e)
    {
        if (e is null || node.KnownElements(1) is not { } indices || node.Input(0)!.Shape is not { Length: 1 })
        {
            return null;
        }

        var result = new Extent[indices.Length];
        for (int i = 0; i < result.Length; i++)
        {
            long index = indices[i] < 0 ? indices[i] + e.Length : indices[i];
            if (index < 0 || index >= e.Length)
            {
                return null;
            }

            result[i] = e[index];
        }

        return result;
    }

    private static Extent[]? Slice(NodeContext node, Extent[]? e)
    {
        if (e is null || node.IntsOrInput("starts", 1) is not [var start] || node.IntsOrInput("ends", 2) is not [var end]
            || (node.Input(4) is not null && node.KnownElements(4) is not [1]))
        {
            return null;
        }

        start = Clamp(start, e.Length);
        end = Clamp(end, e.Length);
        return end >= start ? e[(int)start..(int)end] : [];
    }

    private static Extent[]? Concat(NodeContext node)
    {
        var result = new List<Extent>();
        foreach (var input in node.Inputs)
        {
            if (input?.Elements is not { } e || result.Count + e.Length > Limit)
            {
                return null;
            }

            result.AddRange(e);
        }

        return [.. result];
    }

    private static Extent[]? Filled(NodeContext node, Extent[]? e) =>
        e is [{ IsKnown: true, Value: >= 0 and <= Limit } count]
        && (node.Attribute("value") is null ? [0L] : node.Node.Value is { ElementCount: 1 } value ? value.Integers(1) : null) is [var v]
            ? [.. Enumerable.Repeat((Extent)v, (int)count.Value)] : null;

    private static Extent[]? Choose(NodeContext node, Extent[]? condition) =>
        condition is not null && node.Input(1)?.Elements is { } yes && node.Input(2)?.Elements is { } no && yes.Length == condition.Length
        && no.Length == condition.Length && Array.TrueForAll(condition, c => c.IsKnown)
            ? [.. condition.Select((c, i) => c.Is(0) ? no[i] : yes[i])] : null;

    private static Extent[]? Pairwise(NodeContext node, Func<Extent, Extent, Extent?> combine)
    {
        if (node.Input(0)?.Elements is not { } a || node.Input(1)?.Elements is not { } b || (a.Length != b.Length && a.Length != 1 && b.Length != 1))
        {
            return null;
        }

        var result = new Extent[a.Length == 1 ? b.Length : a.Length];
        for (int i = 0; i < result.Length; i++)
        {
            if (combine(a[a.Length == 1 ? 0 : i], b[b.Length == 1 ? 0 : i]) is not { } value)
            {
                return null;
            }

            result[i] = value;
        }

        return result;
    }

    private static long Clamp(long index, int length) => Math.Clamp(index < 0 ? index + length : index, 0, length);
}
