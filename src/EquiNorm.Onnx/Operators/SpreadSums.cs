using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>Sums, extrema and products of activations whose factors depend on several axes: the two halves of a rotary embedding, a scale.</summary>
internal static class SpreadSums
{
    private const string NoLine = "the channels of its operands do not line up";

    /// <summary>Ties all operands, element by element.</summary>
    public static string? Tie(NodeContext node)
    {
        if (node.Inputs.Any(i => i is not ScaledValue))
        {
            return node.Inputs.Count == 2 && node.Inputs.Any(i => i is ConstantValue c && c.Reals(1) is [0]) ? Multiply(node)
                : node.Inputs.OfType<PlainValue>().FirstOrDefault() is { } plain ? $"it adds '{plain.Name}', which is not rescaled ({plain.Reason})"
                : "it adds a constant to channels that a reshape has spread over several axes";
        }

        if (Tables(node) is not { } tables)
        {
            return NoLine;
        }

        var union = Spread.Union(tables);
        var broad = tables.Select(t => Spread.Broaden(node, t, union)).ToArray();
        if (Array.Exists(broad, b => b is null))
        {
            return NoLine;
        }

        var axis = node.Analysis.Builder.Add([.. broad.Select(b => b!.Axis)]);
        return Spread.Set(node, new SplitValue(axis, [.. union.Select(a => a.Dim)], [.. union.Select(a => a.Extent)]) { Shape = tables[0].Shape });
    }

    /// <summary>Mul and Div by what is not rescaled; of two operands with factors one is pinned, the second if both are free.</summary>
    public static string? Multiply(NodeContext node)
    {
        if (node.Inputs.Count != 2 || node.Opset < 7)
        {
            return "it does not have two inputs, or broadcasts by the rules of operator sets before 7";
        }

        int kept = node.Inputs[0] is ScaledValue ? 0 : 1;
        if (node.Inputs[0] is ScaledValue first && node.Inputs[1] is ScaledValue second)
        {
            var builder = node.Analysis.Builder;
            bool canPin = node.Operator == "Mul";
            kept = !builder.IsPinned(second.Axis) && canPin && builder.IsPinned(first.Axis) ? 1 : 0;
            node.Analysis.HasChosen |= canPin;
            var gate = kept == 0 ? second : first;
            if (!builder.IsPinned(gate.Axis))
            {
                if (!canPin)
                {
                    return "it divides by an activation that could be rescaled";
                }

                builder.Pin(gate.Axis, $"{node.Node.DisplayName}: it multiplies two activations, and only one of them can be rescaled");
            }
        }
        else if (kept == 1 && node.Operator == "Div")
        {
            return "it divides by an activation that could be rescaled";
        }

        if (Spread.Of(node, node.Inputs[kept]) is not { } x || Target(node) is not { } to)
        {
            return "the shapes of its operands are not known";
        }

        return Spread.Set(node, SpreadMoves.Aligned(node, x, to));
    }

    private static List<SplitValue>? Tables(NodeContext node)
    {
        var to = Target(node);
        var tables = new List<SplitValue>();
        foreach (var input in node.Inputs)
        {
            if (to is null || Spread.Of(node, input) is not { } table)
            {
                return null;
            }

            tables.Add(SpreadMoves.Aligned(node, table, to));
        }

        return tables;
    }

    // The shape of the result of broadcasting.
    private static Extent[]? Target(NodeContext node)
    {
        int rank = 0;
        foreach (var input in node.Inputs)
        {
            if (input?.Shape is not { } shape)
            {
                return null;
            }

            rank = Math.Max(rank, shape.Length);
        }

        return node.OutputShapes[0] is { } to && to.Length == rank ? to : [.. Enumerable.Range(0, rank).Select(_ => node.Analysis.Extents.Unknown())];
    }
}
