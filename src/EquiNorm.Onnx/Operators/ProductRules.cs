using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>
/// Products: log-factors add, x with d times y with e has d e. Every product is written with one side at e = 1, so that the result has the
/// factors of the other: an operand that is not rescaled (a constant, a gate behind a sigmoid, pinned channels) costs nothing; of two
/// operands with factors one is pinned, the one with fewer channels, else the second. (Sums of log factors have no place in the model.)
/// </summary>
internal static class ProductRules
{
    /// <summary>Mul.</summary>
    public static string? Multiply(NodeContext node)
    {
        if (node.Inputs.Count != 2)
        {
            return "it does not have two inputs";
        }

        if (GainRules.TryMultiply(node))
        {
            return null;
        }

        if (node.Channels(0) is not { } first || node.Channels(1) is not { } second)
        {
            return Keep(node, node.Channels(0) is not null ? 0 : 1);
        }

        node.Analysis.HasChosen = true;
        var builder = node.Analysis.Builder;
        int kept = builder.IsPinned(second.Axis) ? 0 : builder.IsPinned(first.Axis) || first.Axis.Length < second.Axis.Length ? 1 : 0;
        kept = KeepsChannels(kept == 0 ? first : second, node.Input(1 - kept)) ? kept : 1 - kept;
        if (Keep(node, kept) is { } reason)
        {
            return reason;
        }

        var gate = kept == 0 ? second : first;
        if (!builder.IsPinned(gate.Axis))
        {
            builder.Pin(gate.Axis, $"{node.Node.DisplayName}: it multiplies two activations, and only one of them can be rescaled");
        }

        return null;
    }

    /// <summary>Div: only the numerator may carry factors.</summary>
    public static string? Divide(NodeContext node) =>
        node.Inputs.Count == 2 && node.Channels(0) is not null && (node.Channels(1) is not { } d || node.Analysis.Builder.IsPinned(d.Axis))
            ? Keep(node, 0) : "it divides by an activation that could be rescaled";

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
