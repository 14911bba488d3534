using EquiNorm.Model;
using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>
/// Normalisations by the statistics of the activation itself: y = gain * normal(x) + bias. They take the scale out of x, so its channels are
/// pinned; gain and bias are a diagonal weight and a bias of new channels, and the gain counts in the objective.
/// </summary>
internal static class GainRules
{
    /// <summary>LayerNormalization over the last axis; RMSNormalization and its older name.</summary>
    public static string? LastAxis(NodeContext node)
    {
        long axis = node.Int("axis", -1);
        return axis != -1 && (node.Input(0)?.Shape is not { } shape || axis != shape.Length - 1) ? "it normalises over several axes"
            : Normalise(node, -1);
    }

    /// <summary>InstanceNormalization, and GroupNormalization with one gain per channel; channels are axis 1.</summary>
    public static string? Channels(NodeContext node) =>
        node.Operator == "GroupNormalization" && node.Opset < 21 ? "its gain is one per group before operator set 21"
        : node.Input(0)?.Shape is not { Length: >= 2 } shape ? "the place of its channels is not known"
        : Normalise(node, 1 - shape.Length);

    /// <summary>
    /// Mul by a stored gain of what the nodes before it have normalised: x / sqrt(mean(x^2) + epsilon), with or without the mean taken out.
    /// False if it is not that.
    /// </summary>
    public static bool TryMultiply(NodeContext node)
    {
        if (node.Operator != "Mul" || node.Inputs.Count != 2 || node.Opset < 7)
        {
            return false;
        }

        int input = node.Inputs[0] is ConstantValue ? 0 : 1;
        if (node.Inputs[input] is not ConstantValue { Tensor: { HasBytes: true } t } gain || t.DataType.ElementType() is null
            || node.Inputs[1 - input] is not { } x || (x is ScaledValue scaled && !node.Analysis.Builder.IsPinned(scaled.Axis))
            || NormalizedValues.Axis(node.Analysis, node.Node.Header.Input[1 - input]) is not { } dim)
        {
            return false;
        }

        var dims = gain.Dims;
        int count = -dim <= dims.Length ? (int)Math.Min(dims[^-dim], int.MaxValue) : 0;
        if (count < 1 || t.ElementCount != count || (x.Shape is { } shape && !(shape.Length >= dims.Length && (shape[^-dim].Is(count) || !shape[^-dim].IsKnown))))
        {
            return false;
        }

        Declare(node, gain, input, null, x, count, dim);
        return true;
    }

    private static string? Normalise(NodeContext node, int dim)
    {
        var gain = node.Constant(1);
        if (gain?.Tensor is not { HasBytes: true } t || t.DataType.ElementType() is null || t.Dims.Count != 1 || t.Dims[0] is < 1 or > int.MaxValue)
        {
            return "its gain is not one stored number per channel";
        }

        int count = (int)t.Dims[0];
        var bias = node.Input(2);
        if (node.Input(0) is not { } x || (x.Shape is { } shape && shape[^-dim].IsKnown && !shape[^-dim].Is(count)))
        {
            return "its gain does not fit its channels";
        }

        if (bias is not null && (bias is not ConstantValue { Tensor: { HasBytes: true } b } || b.DataType.ElementType() is null || b.ElementCount != count))
        {
            return "its bias is not one stored number per channel";
        }

        Declare(node, gain, 1, bias as ConstantValue, x, count, dim);
        node.SetPlain(1);
        node.SetPlain(2);
        return null;
    }

    private static void Declare(NodeContext node, ConstantValue gain, int gainInput, ConstantValue? bias, GraphValue x, int count, int dim)
    {
        var (analysis, builder) = (node.Analysis, node.Analysis.Builder);
        if (x is ScaledValue scaled)
        {
            builder.Pin(scaled.Axis, $"{node.Node.DisplayName}: it normalises its channels, which takes their scale out");
        }

        var input = x is ChannelValue { Positions: 1 } c && c.Dim == dim && c.Axis.Length == count ? c.Axis
            : x is PlainValue plain ? analysis.Pinned(plain, count)
            : builder.Pinned($"input of {node.Node.DisplayName}", count, $"read by {node.Node.DisplayName}", (x as ScaledValue)?.Axis);
        string name = analysis.Uses.UniqueName(gain.Name, node.Node);
        var output = builder.Weight(
            new WeightDeclaration(name, gain.Tensor!.DataType.ElementType()!.Value, WeightLayout.Diagonal(count)) { OutputName = node.Node.Header.Output[0] }, input);
        analysis.Uses.Add(new TensorUse(gain.Tensor, node.Node, gainInput, name, UseRole.Declared));
        if (bias is not null)
        {
            Biases.Declare(node, bias, 2, output, WeightLayout.Dense(count, 1));
        }

        node.Set(0, new ChannelValue(output, dim, 1) { Shape = x.Shape });
    }
}
