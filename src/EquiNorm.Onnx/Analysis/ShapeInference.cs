using static EquiNorm.Onnx.Analysis.NodeContext;

namespace EquiNorm.Onnx.Analysis;

/// <summary>
/// Extents of a node's first output from those of its inputs, for the operators where it is simple; null elsewhere (then the shape
/// that the exporter recorded is used, if any). Never a guess: an extent that is not certain is a fresh unknown.
/// </summary>
internal static class ShapeInference
{
    // No engine has tensors of a higher rank; without a limit a chain of Gathers would double it again and again.
    private const int MaximumRank = 64;

    private static readonly HashSet<string> SameAsInput = new(StringComparer.Ordinal)
    {
        "Relu", "LeakyRelu", "PRelu", "Abs", "Neg", "Identity", "Dropout", "Cast", "BatchNormalization", "Clip", "Sigmoid", "HardSigmoid",
        "HardSwish", "Tanh", "Softmax", "LogSoftmax", "Elu", "Selu", "Celu", "Gelu", "Erf", "Exp", "Log", "Sqrt", "Softplus", "Softsign", "Mish",
        "Reciprocal", "Sign", "Floor", "Ceil", "Round", "Not", "LRN", "InstanceNormalization", "GroupNormalization", "LayerNormalization",
        "ThresholdedRelu", "LpNormalization", "RMSNormalization", "SimplifiedLayerNormalization", "Sin", "Cos", "MeanVarianceNormalization",
    };

    private static readonly HashSet<string> Broadcasting = new(StringComparer.Ordinal)
    {
        "Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Pow", "Where", "Equal", "Less", "Greater", "And", "Or", "LessOrEqual", "GreaterOrEqual",
    };

    /// <summary>The shape of output 0, or null.</summary>
    public static Extent[]? Infer(NodeContext node, Extents extents)
    {
        var x = node.Input(0)?.Shape;
        string op = node.Operator;
        return SameAsInput.Contains(op) ? x
            : Broadcasting.Contains(op) ? Broadcast(node, extents)
            : op.StartsWith("Reduce", StringComparison.Ordinal) ? Reduce(node, x)
            : op switch
            {
                "Conv" => WindowShapes.Conv(node, x, extents),
                "ConvTranspose" => WindowShapes.ConvTranspose(node, x, extents),
                "MaxPool" or "AveragePool" or "LpPool" => WindowShapes.Pool(node, x, extents),
                "GlobalAveragePool" or "GlobalMaxPool" or "GlobalLpPool" => x is { Length: >= 2 } ? [x[0], x[1], .. Enumerable.Repeat<Extent>(1, x.Length - 2)] : null,
                "Gemm" => Gemm(node, x),
                "MatMul" => MatMul(node, x, extents),
                "Expand" => x is not null && node.Input(1)?.Elements is { } target ? Broadcast(x, target, extents) : null,
                "Tile" => Tile(node, x, extents),
                "Split" => Split(node, 0, extents),
                "Flatten" => Flatten(node, x, extents),
                "Reshape" => Reshape(node, x, extents),
                "Transpose" => Transpose(node, x),
                "Concat" => Concat(node, x, extents),
                "Squeeze" => Squeeze(node, x),
                "Unsqueeze" => Unsqueeze(node, x),
                "Shape" => x is null ? null : [x.Length],
                "Gather" => Gather(node, x),
                "Slice" => PartShapes.Slice(node, x, extents),
                "Pad" => PartShapes.Pad(node, x, extents),
                "Resize" or "Upsample" => PartShapes.Resize(node, x, extents),
                _ => null,
            };
    }

    private static Extent[]? Broadcast(NodeContext node, Extents extents)
    {
        Extent[]? result = null;
        foreach (var input in node.Inputs)
        {
            if (input?.Shape is not { } shape)
            {
                return null;
            }

            result = result is null ? shape : Broadcast(result, shape, extents);
        }

        return result;
    }

    private static Extent[] Broadcast(Extent[] a, Extent[] b, Extents extents)
    {
        var (large, small) = a.Length >= b.Length ? (a, b) : (b, a);
        Extent[] result = [.. large];
        for (int i = 1; i <= small.Length; i++)
        {
            var (p, q) = (large[^i], small[^i]);
            result[^i] = p == q || q.Is(1) ? p : p.Is(1) ? q
                : p.IsKnown && !q.IsKnown ? p : q.IsKnown && !p.IsKnown ? q : extents.Unknown();
        }

        return result;
    }

    private static Extent[]? Reduce(NodeContext node, Extent[]? x)
    {
        var axes = node.IntsOrInput("axes", 1);
        if (x is null || axes is not { Length: > 0 })
        {
            return null;
        }

        var reduced = axes.Select(a => FromBack(a, x)).ToHashSet();
        bool keep = node.Int("keepdims", 1) != 0;
        return [.. x.Select((e, i) => (Extent: e, Gone: reduced.Contains(i - x.Length)))
            .Where(e => keep || !e.Gone).Select(e => e.Gone ? 1 : e.Extent)];
    }

    private static Extent[]? Gemm(NodeContext node, Extent[]? x)
    {
        var b = node.Input(1)?.Shape;
        return x is { Length: 2 } && b is { Length: 2 }
            ? [x[node.Int("transA", 0) == 0 ? 0 : 1], b[node.Int("transB", 0) == 0 ? 1 : 0]] : null;
    }

    private static Extent[]? MatMul(NodeContext node, Extent[]? x, Extents extents)
    {
        var b = node.Input(1)?.Shape;
        return x is { Length: >= 1 } && b is { Length: 2 } ? [.. x[..^1], b[1]]
            : x is { Length: >= 2 } && b is { Length: >= 2 } ? [.. Broadcast(x[..^2], b[..^2], extents), x[^2], b[^1]] : null;
    }

    private static Extent[]? Tile(NodeContext node, Extent[]? x, Extents extents) =>
        x is null ? null : [.. x.Select((e, d) => node.KnownElements(1) is not { } r || r.Length != x.Length ? extents.Unknown()
            : r[d] == 1 ? e : e.IsKnown && e.Value < int.MaxValue && r[d] is > 0 and < int.MaxValue ? e.Value * r[d] : extents.Unknown())];

    /// <summary>The shape of one of the parts of a Split, or null.</summary>
    public static Extent[]? Split(NodeContext node, int part, Extents extents)
    {
        if (node.Input(0)?.Shape is not { } x || FromBack(node.Int("axis", 0), x) is not { } axis)
        {
            return null;
        }

        var extent = x[^-axis];
        var sizes = extent is { IsKnown: true, Value: <= int.MaxValue } ? Operators.RangeRules.Sizes(node, (int)extent.Value, node.Node.Header.Output.Count) : null;
        return [.. x.Select((e, d) => d != x.Length + axis ? e : sizes is null ? extents.Unknown() : sizes[part])];
    }

    private static Extent[]? Flatten(NodeContext node, Extent[]? x, Extents extents)
    {
        if (x is null || node.Int("axis", 1) > x.Length || node.Int("axis", 1) < -x.Length)
        {
            return null;
        }

        int axis = (int)node.Int("axis", 1);
        axis = axis < 0 ? axis + x.Length : axis;
        return [Extents.Product(x.AsSpan(0, axis)) ?? extents.Unknown(), Extents.Product(x.AsSpan(axis)) ?? extents.Unknown()];
    }

    /// <summary>The target of a reshape: 0 copies, -1 is computed where the rest is known.</summary>
    private static Extent[]? Reshape(NodeContext node, Extent[]? x, Extents extents)
    {
        var target = node.Ints("shape") is { } old ? Array.ConvertAll(old, v => (Extent)v) : node.Input(1)?.Elements;
        if (target is null)
        {
            return node.Input(1)?.Shape is [var rank] && rank.IsKnown && rank.Value is >= 0 and <= MaximumRank
                ? [.. Enumerable.Range(0, (int)rank.Value).Select(_ => extents.Unknown())] : null;
        }

        var result = new Extent[target.Length];
        for (int i = 0; i < result.Length; i++)
        {
            result[i] = target[i].Is(0) && node.Int("allowzero", 0) == 0 ? (x is not null && i < x.Length ? x[i] : extents.Unknown())
                : target[i].Is(-1) ? extents.Unknown() : target[i];
        }

        int open = Array.FindIndex(target, e => e.Is(-1));
        if (open >= 0 && x is not null)
        {
            result[open] = Remainder(x, [.. result.Where((_, i) => i != open)]) ?? result[open];
        }

        return result;
    }

    // What is left of a product after dividing by another: unknowns cancel against themselves.
    private static Extent? Remainder(Extent[] total, List<Extent> parts)
    {
        var left = total.ToList();
        long divisor = 1;
        foreach (var part in parts)
        {
            if (part.IsKnown)
            {
                divisor *= part.Value is > 0 and < 1 << 30 ? part.Value : 0;
            }
            else if (!left.Remove(part))
            {
                return null;
            }
        }

        return Extents.Product(left.ToArray()) is { } p && divisor > 0
            ? p.IsKnown ? (p.Value % divisor == 0 ? p.Value / divisor : null) : divisor == 1 ? p : null : null;
    }

    private static Extent[]? Transpose(NodeContext node, Extent[]? x)
    {
        var perm = node.Ints("perm");
        return x is null ? null : perm is null ? [.. x.Reverse()]
            : perm.Length == x.Length && Array.TrueForAll(perm, p => p >= 0 && p < x.Length) ? [.. perm.Select(p => x[p])] : null;
    }

    private static Extent[]? Concat(NodeContext node, Extent[]? x, Extents extents)
    {
        if (x is null || FromBack(node.Int("axis", 1), x) is not { } axis)
        {
            return null;
        }

        Extent[] result = [.. x];
        long sum = 0;
        bool known = true;
        foreach (var input in node.Inputs)
        {
            known &= input?.Shape is { } s && s.Length == x.Length && s[^-axis].IsKnown;
            sum += known ? input!.Shape![^-axis].Value : 0;
        }

        result[^-axis] = known ? sum : extents.Unknown();
        return result;
    }

    private static Extent[]? Squeeze(NodeContext node, Extent[]? x)
    {
        var axes = node.IntsOrInput("axes", 1);
        if (x is null || (axes is null && (node.Input(1) is not null || Array.Exists(x, e => !e.IsKnown))))
        {
            return null;
        }

        var gone = axes is null
            ? Enumerable.Range(0, x.Length).Where(i => x[i].Is(1)).Select(i => (int?)(i - x.Length)).ToHashSet()
            : axes.Select(a => FromBack(a, x)).ToHashSet();
        return [.. x.Where((_, i) => !gone.Contains(i - x.Length))];
    }

    private static Extent[]? Unsqueeze(NodeContext node, Extent[]? x)
    {
        if (x is null || node.IntsOrInput("axes", 1) is not { Length: < 16 } axes)
        {
            return null;
        }

        int rank = x.Length + axes.Length;
        var added = axes.Select(a => a < 0 ? a + rank : a).ToHashSet();
        int next = 0;
        var result = new Extent[rank];
        for (int i = 0; i < rank; i++)
        {
            result[i] = added.Contains(i) || next == x.Length ? 1 : x[next++];
        }

        return result;
    }

    private static Extent[]? Gather(NodeContext node, Extent[]? x)
    {
        if (x is null || node.Input(1)?.Shape is not { } indices || x.Length + indices.Length > MaximumRank
            || FromBack(node.Int("axis", 0), x) is not { } axis)
        {
            return null;
        }

        int front = x.Length + axis;
        return [.. x[..front], .. indices, .. x[(front + 1)..]];
    }
}
