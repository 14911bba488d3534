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

/// <summary>Operators that one rule handles.</summary>
/// <param name="Kind">What they are.</param>
/// <param name="Rule">What it does.</param>
/// <param name="Meaning">The same in words, for docs/operators.md.</param>
/// <param name="Operators">Their names.</param>
internal sealed record OperatorFamily(OperatorKind Kind, OperatorRule Rule, string Meaning, string[] Operators);

/// <summary>The operators of the default domain that are understood. All others block: what they touch is pinned.</summary>
internal static class OperatorTable
{
    /// <summary>All rows, in the order of the documentation.</summary>
    public static IReadOnlyList<OperatorFamily> All { get; } = Families();

    /// <summary>The rows by operator.</summary>
    public static FrozenDictionary<string, OperatorFamily> Rows { get; } = All
        .SelectMany(f => f.Operators.Select(o => KeyValuePair.Create(o, f))).ToFrozenDictionary(StringComparer.Ordinal);

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

        if (GainRules.TryMultiply(node) || TryTranspose(node))
        {
            return null;
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

    // A stored matrix that only one operator reads, through this Transpose, may be its weight.
    private static bool TryTranspose(NodeContext node)
    {
        if (node.Operator != "Transpose" || node.Input(0) is not ConstantValue { Tensor: { HasBytes: true, Dims.Count: 2 } } matrix
            || node.Ints("perm") is not (null or [1, 0]) || node.Analysis.Readers.OnlyReader(node.Node.Header.Output[0]) is null)
        {
            return false;
        }

        node.Analysis.Uses.Replace(node.Node, 0); // its reader says whether the matrix is rescaled
        node.Set(0, new PlainValue(node.Node.Header.Output[0], $"result of {node.Node.DisplayName}") { Transposed = new TransposedMatrix(matrix, node.Node) });
        return true;
    }

    private static List<OperatorFamily> Families() =>
    [
        new(OperatorKind.Homogeneous, HomogeneousRules.Elementwise, "Each channel keeps its factor.", ["Relu", "LeakyRelu", "Abs", "Neg", "Identity"]),
        new(OperatorKind.Homogeneous, HomogeneousRules.ParametricRelu, "As Relu, if the slope is stored.", ["PRelu"]),
        new(OperatorKind.Homogeneous, HomogeneousRules.Window, "Over any number of axes; channels are axis 1.", ["MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"]),
        new(OperatorKind.Homogeneous, HomogeneousRules.Pad, "With zeros, or with the activation (reflect, edge), not along the channels.", ["Pad"]),
        new(OperatorKind.Homogeneous, HomogeneousRules.Resize, "Any interpolation, if the channels keep their number; not tf_crop_and_resize.", ["Resize", "Upsample"]),
        new(OperatorKind.Homogeneous, HomogeneousRules.Dropout, "In inference, or with a ratio of 0.", ["Dropout"]),
        new(OperatorKind.Homogeneous, HomogeneousRules.Clip, "From 0 to infinity, or without bounds; ReLU6 blocks.", ["Clip"]),
        new(OperatorKind.Homogeneous, HomogeneousRules.Cast, "Between floating-point types.", ["Cast"]),
        new(OperatorKind.Homogeneous, HomogeneousRules.Reduce, "Over axes that are known and are not the channels.", ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2"]),
        new(OperatorKind.Reshaping, ReshapingRules.Flatten, "The channels and what follows them become the last axis.", ["Flatten"]),
        new(OperatorKind.Reshaping, ReshapingRules.Reshape, "Where the channel axis is provably kept, flattened with what follows it, or spread over several axes and joined again (attention heads, channel shuffle, features as an image).", ["Reshape"]),
        new(OperatorKind.Reshaping, ReshapingRules.Transpose, "Any constant order.", ["Transpose"]),
        new(OperatorKind.Reshaping, SpreadMoves.Expand, "To a known shape; heads that are repeated share a factor.", ["Expand"]),
        new(OperatorKind.Reshaping, SpreadMoves.Tile, "As often as a constant says.", ["Tile"]),
        new(OperatorKind.Reshaping, ReshapingRules.Squeeze, "Not the channel axis.", ["Squeeze"]),
        new(OperatorKind.Reshaping, ReshapingRules.Unsqueeze, "Any axes.", ["Unsqueeze"]),
        new(OperatorKind.Tying, TyingRules.Sum, "Channel c of each operand gets one factor; an operand that is not rescaled blocks.", ["Sum", "Mean"]),
        new(OperatorKind.Tying, TyingRules.Extremum, "As Sum; with a stored zero as Relu.", ["Max", "Min"]),
        new(OperatorKind.Tying, TyingRules.Add, "As Sum; a stored operand with numbers per channel is a bias, any other blocks.", ["Add", "Sub"]),
        new(OperatorKind.Product, ProductRules.Multiply, "By a constant, a gate or pinned channels: the factors of the other operand. Of two operands with factors one is pinned: the one with fewer channels, else the second.", ["Mul"]),
        new(OperatorKind.Product, ProductRules.Divide, "The factors of the numerator; a denominator with factors blocks.", ["Div"]),
        new(OperatorKind.Affine, NormalizationRules.BatchNormalization, "In inference: folded into the operator in front, else a weight of one number per channel.", ["BatchNormalization"]),
        new(OperatorKind.Affine, GainRules.LastAxis, "Over the last axis: what it reads is pinned, the gain is a weight of one number per channel. Also where it is written out: x / sqrt(mean + epsilon), times a stored gain.", ["LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"]),
        new(OperatorKind.Affine, GainRules.Channels, "As layer normalisation, with the gains of axis 1; GroupNormalization from operator set 21 on.", ["InstanceNormalization", "GroupNormalization"]),
        new(OperatorKind.Ranges, RangeRules.Concat, "Along the channels side by side; along another axis as Sum.", ["Concat"]),
        new(OperatorKind.Ranges, RangeRules.Split, "At constant places.", ["Split"]),
        new(OperatorKind.Ranges, RangeRules.Slice, "With constant bounds, or along other axes.", ["Slice"]),
        new(OperatorKind.Ranges, RangeRules.Gather, "A constant list of channels, or along another axis.", ["Gather"]),
        new(OperatorKind.Ranges, BlockRules.DepthToSpace, "The channels that become one share a factor.", ["DepthToSpace"]),
        new(OperatorKind.Ranges, BlockRules.SpaceToDepth, "The channels that were one share a factor.", ["SpaceToDepth"]),
        new(OperatorKind.Linear, LinearRules.Convolution, "Over any number of axes, with groups; the weight is stored.", ["Conv", "ConvTranspose"]),
        new(OperatorKind.Linear, LinearRules.Gemm, "The weight is the second operand and stored; transA blocks.", ["Gemm"]),
        new(OperatorKind.Linear, LinearRules.MatMul, "By a stored matrix on the right, also behind a Transpose. Of activations: along other axes than the one it sums over channels pass (probabilities by values); where both have channels on that axis one takes the reciprocal factors of the other (queries by keys).", ["MatMul"]),
        new(OperatorKind.ShapeOnly, _ => null, "Reads no value.", ["Shape", "Size"]),
    ];
}
