using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>Operators with f(d x) = d f(x), channel by channel. Input 0 is the activation; the result has its channels in the same place.</summary>
internal static class HomogeneousRules
{
    private const string ChannelsUnknown = "the place of its channels is not known";

    /// <summary>Element by element: Relu, LeakyRelu, Abs, Neg, Identity.</summary>
    public static string? Elementwise(NodeContext node)
    {
        if (node.Input(0) is not ScaledValue x)
        {
            return "its channels come in through another input";
        }

        node.Set(0, x);
        return null;
    }

    /// <summary>PRelu: a constant slope has no scale, whatever its shape.</summary>
    public static string? ParametricRelu(NodeContext node) =>
        node.Input(1) is ConstantValue slope && node.Channels(0) is { } x && ProductRules.KeepsChannels(x, slope) ? Elementwise(node) : "its slope is not constant";

    /// <summary>Pooling: windows lie within a channel, axis 1. The indices of MaxPool have no scale.</summary>
    public static string? Window(NodeContext node)
    {
        if (node.Channels(0) is not { Positions: 1 } x
            || (x.FrontDim is { } front ? front != 1 : node.Ints("kernel_shape")?.Length != -x.Dim - 1))
        {
            return "its channels are not axis 1";
        }

        node.SetPlain(1);
        node.Set(0, x with { Shape = null });
        return null;
    }

    /// <summary>Padding with zeros or with the activation's own values, not along the channels.</summary>
    public static string? Pad(NodeContext node)
    {
        if (node.Channels(0) is not { Shape: { } shape } x)
        {
            return ChannelsUnknown;
        }

        bool zero = node.Input(2) is null ? node.Float("value", 0) == 0
            : node.Constant(2)?.Reals(1) is [0];
        if (node.Text("mode", "constant") == "constant" && !zero)
        {
            return "it pads with a constant that is not zero";
        }

        var pads = node.Ints("paddings") ?? node.IntsOrInput("pads", 1);
        var axes = node.Input(3) is null ? [.. Enumerable.Range(0, shape.Length).Select(i => (long)i)] : node.KnownElements(3);
        if (pads is null || axes is null || pads.Length != 2 * axes.Length)
        {
            return "its pads are not constant";
        }

        for (int i = 0; i < axes.Length; i++)
        {
            if ((pads[i] != 0 || pads[i + axes.Length] != 0) && NodeContext.FromBack(axes[i], shape) is var axis && (axis is null || axis == x.Dim))
            {
                return "it pads the channels";
            }
        }

        return Elementwise(node);
    }

    /// <summary>Every interpolation is linear in the activation; the channels must keep their extent.</summary>
    public static string? Resize(NodeContext node)
    {
        if (node.Channels(0) is not { FrontDim: { } front, Positions: 1 } x)
        {
            return ChannelsUnknown;
        }

        if (node.Text("coordinate_transformation_mode", "") == "tf_crop_and_resize")
        {
            return "tf_crop_and_resize fills with a constant";
        }

        bool upsample = node.Operator == "Upsample", old = node.Opset < 11;
        var axes = node.Ints("axes");
        int at = axes is null ? front : Array.FindIndex(axes, a => NodeContext.FromBack(a, x.Shape) == x.Dim);
        var scales = node.Attribute("scales")?.Floats.Select(f => (double)f).ToArray()
            ?? node.Constant(upsample || old ? 1 : 2)?.Reals(16) ?? [];
        var sizes = upsample || old ? null : node.Input(3)?.Elements;
        bool kept = at < 0 || (at < scales.Length && scales[at] == 1)
            || (scales.Length == 0 && sizes is not null && at < sizes.Length && (sizes[at].Is(x.Axis.Length) || sizes[at] == x.Shape![front]));
        return kept ? Elementwise(node) : "it may resize the channels";
    }

    /// <summary>Dropout in inference, or of nothing, is the identity.</summary>
    public static string? Dropout(NodeContext node)
    {
        bool inference = node.Opset >= 12 ? node.Input(2) is null || IsFalse(node.Constant(2)) : node.Opset >= 7 || node.Int("is_test", 0) != 0;
        if (!inference && !(node.Opset >= 12 && node.Constant(1)?.Reals(1) is [0]))
        {
            return "it is in training mode";
        }

        node.SetPlain(1);
        return Elementwise(node);
    }

    /// <summary>Clip to [0, inf) is Relu, to (-inf, inf) the identity; any other bound is not homogeneous (ReLU6).</summary>
    public static string? Clip(NodeContext node)
    {
        double? low = node.Opset < 11 ? node.Float("min", double.NegativeInfinity) : Bound(node, 1, double.NegativeInfinity);
        double? high = node.Opset < 11 ? node.Float("max", double.PositiveInfinity) : Bound(node, 2, double.PositiveInfinity);
        return low is not { } l || high is not { } h ? "its bounds are not constant"
            : (l == 0 || l <= float.MinValue) && h >= float.MaxValue ? Elementwise(node)
            : FormattableString.Invariant($"it clips to [{l}, {h}], which is not positively homogeneous");
    }

    /// <summary>Between floating-point types only rounding changes.</summary>
    public static string? Cast(NodeContext node) =>
        node.Int("to", 0) is 1 or 10 or 11 or 16 ? Elementwise(node) : "it casts to a type that is not floating-point";

    /// <summary>Sums, means, extrema and 1- and 2-norms over axes that are not the channels.</summary>
    public static string? Reduce(NodeContext node)
    {
        if (node.Channels(0) is not { } x || node.IntsOrInput("axes", 1) is not { Length: > 0 } axes)
        {
            return "it reduces over all axes, or over axes that are not constant";
        }

        int behind = 0;
        foreach (long a in axes.DistinctBy(a => NodeContext.FromBack(a, x.Shape)))
        {
            if (NodeContext.FromBack(a, x.Shape) is not { } axis || axis == x.Dim)
            {
                return "it reduces over the channels, or their place is not known";
            }

            behind += axis > x.Dim ? 1 : 0;
        }

        node.Set(0, node.Int("keepdims", 1) != 0 ? x : x with { Dim = x.Dim + behind, Shape = null });
        return null;
    }

    private static double? Bound(NodeContext node, int index, double missing) =>
        node.Input(index) is null ? missing : node.Constant(index)?.Reals(1) is [var value] ? value : null;

    private static bool IsFalse(ConstantValue? value) =>
        value is { Tensor: { DataType: OnnxDataType.Bool, ElementCount: 1, HasBytes: true } t } && t.Span(0, 1)[0] == 0;
}
