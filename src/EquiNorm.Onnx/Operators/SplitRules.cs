using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>
/// Operators that read factors over several axes: attention heads, channel shuffles. What moves, cuts, joins or adds elements is followed
/// exactly; where an operator needs one channel axis, what shares a place on it is tied.
/// </summary>
internal static class SplitRules
{
    // Their rules do not ask where channels are.
    private static readonly HashSet<string> Anywhere = new(StringComparer.Ordinal)
    {
        "Relu", "LeakyRelu", "Abs", "Neg", "Identity", "Cast", "Dropout", "Clip", "MatMul", "LayerNormalization", "RMSNormalization",
        "SimplifiedLayerNormalization", "Expand", "Tile",
    };

    /// <summary>Applies an operator that reads split channels.</summary>
    public static string? Apply(NodeContext node, OperatorRule rule)
    {
        if (node.Inputs.Any(i => i is ScaledValue { Shape: null }))
        {
            return "a reshape has spread channels over several axes, and the rank of an operand is not known";
        }

        return Anywhere.Contains(node.Operator) ? rule(node) : node.Operator switch
        {
            "Transpose" => SpreadMoves.Transpose(node),
            "Reshape" or "Flatten" => SpreadMoves.Reshape(node),
            "Squeeze" or "Unsqueeze" => SpreadMoves.Resqueeze(node),
            "Slice" => SpreadParts.Slice(node),
            "Split" => SpreadParts.Split(node),
            "Gather" => SpreadParts.Gather(node),
            "Concat" => SpreadParts.Concat(node),
            "Add" or "Sub" or "Sum" or "Mean" or "Max" or "Min" => SpreadSums.Tie(node),
            "Mul" or "Div" => SpreadSums.Multiply(node),
            _ when node.Operator.StartsWith("Reduce", StringComparison.Ordinal) => SpreadMoves.Reduce(node),
            _ => OnOneAxis(node, rule, node.Operator == "Gemm" ? -1 : 1),
        };
    }

    /// <summary>The same node with split channels brought to one axis (1, or -1 for the last), and the rule for that.</summary>
    public static string? OnOneAxis(NodeContext node, OperatorRule rule, int axis)
    {
        var values = new GraphValue?[node.Inputs.Count];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = node.Inputs[i] is SplitValue split ? Spread.Collapse(node, split, axis < 0 ? split.Shape!.Length - 1 : axis) : node.Inputs[i];
            if (values[i] is null && node.Inputs[i] is not null)
            {
                return "a reshape has spread its channels over several axes";
            }
        }

        return rule(node.With(values));
    }
}
