namespace EquiNorm.Onnx.Analysis;

/// <summary>
/// Recognises normalisations that exporters write out: a value divided by the root of a mean over one axis, (x - mean) / sqrt(mean(...) + epsilon)
/// or x * rsqrt(...). Only then is a stored factor behind it the gain of a normalisation; that a rescaling of it is exact needs no pattern.
/// </summary>
internal static class NormalizedValues
{
    // Additions of epsilon, casts and the like between the parts.
    private const int Longest = 12;

    /// <summary>The axis that the value was normalised over, from the back; null if it was not, or over several.</summary>
    public static int? Axis(GraphAnalysis analysis, string value)
    {
        var node = Producer(analysis, value, Longest);
        return node?.Header.OpType switch
        {
            "Div" => Root(analysis, node.Header.Input[1], Longest),
            "Mul" => InverseRoot(analysis, node.Header.Input[0]) ?? InverseRoot(analysis, node.Header.Input[1]),
            _ => null,
        };
    }

    private static int? InverseRoot(GraphAnalysis analysis, string value)
    {
        var node = Producer(analysis, value, Longest);
        return node?.Header.OpType switch
        {
            "Reciprocal" => Root(analysis, node.Header.Input[0], Longest),
            "Div" when analysis.Value(node.Header.Input[0]) is ConstantValue => Root(analysis, node.Header.Input[1], Longest),
            "Pow" when Exponent(analysis, node) == -0.5 => Mean(analysis, node.Header.Input[0], Longest),
            _ => null,
        };
    }

    private static int? Root(GraphAnalysis analysis, string value, int steps)
    {
        var node = Producer(analysis, value, steps);
        return node?.Header.OpType switch
        {
            "Sqrt" => Mean(analysis, node.Header.Input[0], steps),
            "Pow" when Exponent(analysis, node) == 0.5 => Mean(analysis, node.Header.Input[0], steps),
            _ => null,
        };
    }

    // A mean over one axis that stays, perhaps with a constant added.
    private static int? Mean(GraphAnalysis analysis, string value, int steps)
    {
        for (; steps > 0; steps--)
        {
            var node = Producer(analysis, value, steps);
            if (node?.Header.OpType == "ReduceMean")
            {
                var probe = new NodeContext(analysis, node, [.. node.Header.Input.Select(n => n.Length == 0 ? null : analysis.Value(n))], []);
                return probe.Int("keepdims", 1) != 0 && probe.IntsOrInput("axes", 1) is [var axis] ? NodeContext.FromBack(axis, probe.Input(0)?.Shape) : null;
            }

            if (node?.Header.OpType is not ("Add" or "Max" or "Clip") || node.Header.Input.Count < 1)
            {
                return null;
            }

            value = node.Header.Input.FirstOrDefault(n => n.Length > 0 && analysis.Value(n) is not ConstantValue, "");
        }

        return null;
    }

    private static double? Exponent(GraphAnalysis analysis, Files.NodeLayout node) =>
        node.Header.Input.Count == 2 && analysis.Value(node.Header.Input[1]) is ConstantValue c && c.Reals(1) is [var e] ? e : null;

    private static Files.NodeLayout? Producer(GraphAnalysis analysis, string value, int steps)
    {
        var node = analysis.Readers.Producer(value);
        for (; steps > 0 && node?.Header.OpType is "Cast" or "Identity"; steps--)
        {
            node = analysis.Readers.Producer(node!.Header.Input[0]);
        }

        return node is null || node.Header.Domain is not ("" or "ai.onnx") || node.Header.Input.Count == 0 || (node.Header.OpType == "Div" && node.Header.Input.Count < 2)
            || (node.Header.OpType == "Mul" && node.Header.Input.Count < 2) ? null : node;
    }
}
