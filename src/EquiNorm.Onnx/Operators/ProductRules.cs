using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>
/// Products. A factor that is not rescaled (a constant, a gate behind a sigmoid) leaves the other operand's factors as they are:
/// x g with x scaled by d is scaled by d. Where both operands carry factors, both are pinned.
/// </summary>
internal static class ProductRules
{
    /// <summary>Mul.</summary>
    public static string? Multiply(NodeContext node)
    {
        if (node.Inputs.Count != 2 || node.Inputs.All(i => i is ChannelValue))
        {
            return "it multiplies two activations that both could be rescaled";
        }

        return node.Channels(0) is not null ? Keep(node, 0) : Keep(node, 1);
    }

    /// <summary>Div: only the numerator may carry factors.</summary>
    public static string? Divide(NodeContext node) =>
        node.Inputs.Count == 2 && node.Channels(1) is null ? Keep(node, 0) : "it divides by an activation that could be rescaled";

    /// <summary>Whether broadcasting with <paramref name="other"/> keeps the number of channels.</summary>
    public static bool KeepsChannels(ChannelValue x, GraphValue? other) =>
        x.Axis.Length > 1 || (other?.Shape is { } shape && (shape.Length < -x.Dim || shape[^-x.Dim].Is(1)));

    private static string? Keep(NodeContext node, int activation)
    {
        if (node.Opset < 7 && (node.Int("broadcast", 0) != 0 || node.Attribute("axis") is not null))
        {
            return "it broadcasts by the rules of operator sets before 7";
        }

        var x = node.Channels(activation)!;
        if (!KeepsChannels(x, node.Input(1 - activation)))
        {
            return "it may broadcast one channel to many";
        }

        node.Set(0, x with { Shape = null });
        return null;
    }
}
