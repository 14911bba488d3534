using EquiNorm.Model;
using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>Sums and extrema of activations: channel c of each operand shares one factor. A constant operand per channel is a bias.</summary>
internal static class TyingRules
{
    /// <summary>Add and Sub: of two activations, or of an activation and a constant.</summary>
    public static string? Add(NodeContext node)
    {
        if (node.Opset < 7 && (node.Int("broadcast", 0) != 0 || node.Attribute("axis") is not null))
        {
            return "it broadcasts by the rules of operator sets before 7";
        }

        if (node.Inputs.Count != 2)
        {
            return "it does not have two inputs";
        }

        int constant = node.Constant(0) is not null ? 0 : 1;
        return node.Constant(constant) is { } c && node.Channels(1 - constant) is { } x ? AddConstant(node, x, c, constant) : Sum(node);
    }

    /// <summary>Sum and Mean of any number of activations.</summary>
    public static string? Sum(NodeContext node)
    {
        if (node.Inputs.Any(i => i is not ChannelValue))
        {
            return node.Inputs.OfType<PlainValue>().FirstOrDefault() is { } plain ? $"it adds '{plain.Name}', which is not rescaled ({plain.Reason})" : "it adds a constant";
        }

        return Tie(node);
    }

    /// <summary>Max and Min; with a constant zero they are Relu-like.</summary>
    public static string? Extremum(NodeContext node)
    {
        if (node.Inputs is [ChannelValue x, ConstantValue c] && ProductRules.KeepsChannels(x, c) && c.Reals(1 << 20) is { } values && Array.TrueForAll(values, v => v == 0))
        {
            node.Set(0, x with { Shape = null });
            return null;
        }

        return node.Inputs.Any(i => i is not ChannelValue) ? "it compares with a value that is not rescaled" : Tie(node);
    }

    /// <summary>Ties all inputs, all of them activations with factors.</summary>
    public static string? Tie(NodeContext node)
    {
        var inputs = node.Inputs.Cast<ChannelValue>().ToList();
        var wide = inputs.MaxBy(i => i.Axis.Length)!;
        var builder = node.Analysis.Builder;
        if (inputs.Exists(i => i.Dim != wide.Dim || (i.Axis.Length != wide.Axis.Length && (i.Axis.Length != 1 || i.Positions != 1))))
        {
            return "the channels of its operands do not line up";
        }

        // One channel that is broadcast over many has the factor of all of them.
        var axes = inputs.Select(i => i.Axis.Length == wide.Axis.Length ? i.Axis : builder.Select(i.Axis, new int[wide.Axis.Length])).ToArray();
        long? positions = inputs.Exists(i => i.Positions is null) ? null : inputs.Max(i => i.Positions);
        node.Set(0, new ChannelValue(builder.Add(axes), wide.Dim, positions) { Shape = null });
        return null;
    }

    private static string? AddConstant(NodeContext node, ChannelValue x, ConstantValue c, int input)
    {
        if (c.Reals(1) is [0] && ProductRules.KeepsChannels(x, c))
        {
            node.Set(0, x with { Shape = null });
            return null;
        }

        if (c.Tensor?.DataType.ElementType() is null || Layout(c.Dims, x) is not { } layout)
        {
            return "the constant that it adds is not one number per channel";
        }

        Biases.Declare(node, c, input, x.Axis, layout);
        node.Set(0, x with { Positions = x.Positions ?? c.Dims[^-x.Dim] / x.Axis.Length, Shape = null });
        return null;
    }

    /// <summary>A constant whose elements belong to channels: [..., C, ...] with further extents on one side only.</summary>
    private static WeightLayout? Layout(long[] dims, ChannelValue x)
    {
        int count = x.Axis.Length;
        if (-x.Dim > dims.Length || count == 0 || Array.Exists(dims, d => d <= 0))
        {
            return null;
        }

        long extent = dims[^-x.Dim], positions = extent / count;
        bool whole = extent % count == 0 && positions == (x.Positions ?? positions) && (count > 1 || x.Positions == 1);
        long front = dims[..^-x.Dim].Aggregate(1L, (a, b) => a * b), back = dims[(dims.Length + x.Dim + 1)..].Aggregate(positions, (a, b) => a * b);
        if (!whole || (front > 1 && back > 1) || front * back > int.MaxValue)
        {
            return null;
        }

        return front == 1
            ? WeightLayout.DenseAfterFlatten(count, 1, (int)back)
            : WeightLayout.DenseAfterFlattenTransposed(count, 1, (int)front);
    }
}
