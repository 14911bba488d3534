using System.Collections.Frozen;
using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>What a rule does with the channels of a node's inputs; returns null, or the reason why the node blocks.</summary>
internal delegate string? OperatorRule(NodeContext node);

/// <summary>What an operator is to a rescaling.</summary>
internal enum OperatorKind
{
    /// <summary>f(d x) = d f(x), channel by channel.</summary>
    Homogeneous,

    /// <summary>Moves the channel axis, changes no value.</summary>
    Reshaping,

    /// <summary>Its operands share their factors.</summary>
    Tying,

    /// <summary>Makes an activation of ranges of channels.</summary>
    Ranges,

    /// <summary>A weight between two groups of channels.</summary>
    Linear,

    /// <summary>Normalisation by constants: a diagonal weight with a bias.</summary>
    Affine,

    /// <summary>Products: log-factors add.</summary>
    Product,

    /// <summary>Reads shapes, not values.</summary>
    ShapeOnly,
}

/// <summary>A row of the table.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Rule">What it does.</param>
internal sealed record OperatorRow(OperatorKind Kind, OperatorRule Rule);

/// <summary>The operators of the default domain that are understood. All others block: what they touch is pinned.</summary>
internal static class OperatorTable
{
    /// <summary>The rows by operator.</summary>
    public static FrozenDictionary<string, OperatorRow> Rows { get; } = Build().ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>Applies the node's row.</summary>
    public static string? Apply(NodeContext node)
    {
        string domain = node.Node.Header.Domain;
        if (domain is not ("" or "ai.onnx"))
        {
            return $"operators of domain {domain} are not known";
        }

        if (!Rows.TryGetValue(node.Operator, out var row))
        {
            return "not positively homogeneous, or not known";
        }

        bool idle = row.Kind is not (OperatorKind.Linear or OperatorKind.Affine) && !node.Inputs.Any(i => i is ScaledValue);
        if (!idle && row.Kind != OperatorKind.ShapeOnly)
        {
            return node.Inputs.Any(i => i is SplitValue) ? SplitRules.Apply(node, row.Rule) : row.Rule(node);
        }

        // Nothing with a factor comes in, so nothing with a factor goes out.
        string? reason = node.Inputs.OfType<PlainValue>().FirstOrDefault()?.Reason;
        for (int i = 0; i < node.OutputShapes.Count; i++)
        {
            if (node.HasOutput(i))
            {
                node.Set(i, new PlainValue(node.Node.Header.Output[i], reason ?? $"result of {node.Node.DisplayName}")
                {
                    Elements = i == 0 ? ElementInference.Infer(node) : null,
                });
            }
        }

        return null;
    }

    private static IEnumerable<KeyValuePair<string, OperatorRow>> Build() =>
    [
        .. Row(OperatorKind.Homogeneous, HomogeneousRules.Elementwise, "Relu", "LeakyRelu", "Abs", "Neg", "Identity"),
        .. Row(OperatorKind.Homogeneous, HomogeneousRules.ParametricRelu, "PRelu"),
        .. Row(OperatorKind.Homogeneous, HomogeneousRules.Window, "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"),
        .. Row(OperatorKind.Homogeneous, HomogeneousRules.Pad, "Pad"),
        .. Row(OperatorKind.Homogeneous, HomogeneousRules.Resize, "Resize", "Upsample"),
        .. Row(OperatorKind.Homogeneous, HomogeneousRules.Dropout, "Dropout"),
        .. Row(OperatorKind.Homogeneous, HomogeneousRules.Clip, "Clip"),
        .. Row(OperatorKind.Homogeneous, HomogeneousRules.Cast, "Cast"),
        .. Row(OperatorKind.Homogeneous, HomogeneousRules.Reduce, "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2"),
        .. Row(OperatorKind.Reshaping, ReshapingRules.Flatten, "Flatten"),
        .. Row(OperatorKind.Reshaping, ReshapingRules.Reshape, "Reshape"),
        .. Row(OperatorKind.Reshaping, ReshapingRules.Transpose, "Transpose"),
        .. Row(OperatorKind.Reshaping, ReshapingRules.Squeeze, "Squeeze"),
        .. Row(OperatorKind.Reshaping, ReshapingRules.Unsqueeze, "Unsqueeze"),
        .. Row(OperatorKind.Tying, TyingRules.Sum, "Sum", "Mean"),
        .. Row(OperatorKind.Tying, TyingRules.Extremum, "Max", "Min"),
        .. Row(OperatorKind.Tying, TyingRules.Add, "Add", "Sub"),
        .. Row(OperatorKind.Product, ProductRules.Multiply, "Mul"),
        .. Row(OperatorKind.Product, ProductRules.Divide, "Div"),
        .. Row(OperatorKind.Affine, NormalizationRules.BatchNormalization, "BatchNormalization"),
        .. Row(OperatorKind.Ranges, RangeRules.Concat, "Concat"),
        .. Row(OperatorKind.Ranges, RangeRules.Split, "Split"),
        .. Row(OperatorKind.Ranges, RangeRules.Slice, "Slice"),
        .. Row(OperatorKind.Ranges, RangeRules.Gather, "Gather"),
        .. Row(OperatorKind.Ranges, BlockRules.DepthToSpace, "DepthToSpace"),
        .. Row(OperatorKind.Ranges, BlockRules.SpaceToDepth, "SpaceToDepth"),
        .. Row(OperatorKind.Linear, LinearRules.Convolution, "Conv", "ConvTranspose"),
        .. Row(OperatorKind.Linear, LinearRules.Gemm, "Gemm"),
        .. Row(OperatorKind.Linear, LinearRules.MatMul, "MatMul"),
        .. Row(OperatorKind.ShapeOnly, _ => null, "Shape", "Size"),
    ];

    private static IEnumerable<KeyValuePair<string, OperatorRow>> Row(OperatorKind kind, OperatorRule rule, params string[] operators) =>
        operators.Select(o => KeyValuePair.Create(o, new OperatorRow(kind, rule)));
}
