using EquiNorm.Model;
using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>Concatenations and parts. Along the channels they make axes of ranges of channels; along other axes they tie, or pass on.</summary>
internal static class RangeRules
{
    // More positions than this in a flattened axis would make a map of single features larger than any weight behind it.
    internal const int MaximumFeatures = 1 << 22;

    /// <summary>Concat.</summary>
    public static string? Concat(NodeContext node)
    {
        var first = node.Inputs.OfType<ChannelValue>().First();
        if (NodeContext.FromBack(node.Int("axis", 1), node.Inputs.FirstOrDefault(i => i?.Shape is not null)?.Shape) is not { } axis
            || node.Inputs.Any(i => i is ChannelValue c && c.Dim != first.Dim))
        {
            return "the channels of its operands do not line up, or their place is not known";
        }

        if (axis != first.Dim)
        {
            return node.Inputs.All(i => i is ChannelValue) ? TyingRules.Tie(node) : "it joins an activation with a value that is not rescaled";
        }

        long total = 0;
        foreach (var input in node.Inputs)
        {
            if (Count(input, axis) is not { } count)
            {
                return "the extent of an operand is not known";
            }

            total += count;
            if (total > MaximumFeatures)
            {
                return $"it joins more than {MaximumFeatures} channels";
            }
        }

        var parts = new List<ChannelAxis>();
        foreach (var input in node.Inputs)
        {
            if (Part(node, input, axis) is not { } part)
            {
                return "the extent of an operand is not known";
            }

            parts.Add(part);
        }

        node.Set(0, new ChannelValue(node.Analysis.Builder.Concat([.. parts]), axis, 1) { Shape = null });
        return null;
    }

    /// <summary>Split.</summary>
    public static string? Split(NodeContext node)
    {
        if (node.Channels(0) is not { } x || NodeContext.FromBack(node.Int("axis", 0), x.Shape) is not { } axis)
        {
            return "the place of its channels is not known";
        }

        int outputs = node.Node.Header.Output.Count;

        // Each part gets an unknown of its own: parts need not be equal.
        Extent[]? Shape() => x.Shape is null ? null : [.. x.Shape.Select((e, i) => i == x.Shape.Length + axis ? node.Analysis.Extents.Unknown() : e)];
        if (axis != x.Dim)
        {
            for (int i = 0; i < outputs; i++)
            {
                node.Set(i, x with { Shape = Shape() });
            }

            return null;
        }

        if (Features(node, x) is not { } features || Sizes(node, features.Length, outputs) is not { } sizes)
        {
            return "its parts are not constant";
        }

        int start = 0;
        for (int i = 0; i < outputs; i++)
        {
            node.Set(i, new ChannelValue(node.Analysis.Builder.Slice(features, start, sizes[i]), axis, 1) { Shape = Shape() });
            start += sizes[i];
        }

        return null;
    }

    /// <summary>Slice with constant bounds.</summary>
    public static string? Slice(NodeContext node)
    {
        var starts = node.IntsOrInput("starts", 1);
        var ends = node.IntsOrInput("ends", 2);
        var (axes, steps) = SliceAxes(node, starts);
        if (node.Channels(0) is not { } x || axes is null || steps is null || steps.Length != axes.Length)
        {
            return "its axes are not constant";
        }

        int at = Array.FindIndex(axes, a => NodeContext.FromBack(a, x.Shape) is not { } axis || axis == x.Dim);
        if (at < 0)
        {
            node.Set(0, x with { Shape = null });
            return null;
        }

        if (NodeContext.FromBack(axes[at], x.Shape) is null || starts is null || ends is null || Math.Min(starts.Length, ends.Length) <= at
            || steps[at] is 0 or long.MinValue || Features(node, x) is not { } features)
        {
            return "it may cut the channels at bounds that are not constant";
        }

        var axisOut = node.Analysis.Builder.Select(features, Positions(starts[at], ends[at], steps[at], features.Length));
        node.Set(0, new ChannelValue(axisOut, x.Dim, 1) { Shape = null });
        return null;
    }

    /// <summary>Gather with constant indices: a selection of channels (a shuffle), or a passage along another axis.</summary>
    public static string? Gather(NodeContext node)
    {
        if (node.Channels(0) is not { } x || node.Input(1) is not { Shape: { } indexShape } index || index is ChannelValue
            || NodeContext.FromBack(node.Int("axis", 0), x.Shape) is not { } axis)
        {
            return "the place of its channels is not known";
        }

        if (axis != x.Dim)
        {
            node.Set(0, x with { Dim = axis > x.Dim ? x.Dim - indexShape.Length + 1 : x.Dim, Shape = null });
            return null;
        }

        if (indexShape.Length == 0)
        {
            return SpreadParts.Gather(node);
        }

        if (indexShape.Length != 1 || node.KnownOrStored(1) is not { } indices || Features(node, x) is not { } features
            || Array.Exists(indices, i => i < -features.Length || i >= features.Length))
        {
            return "it selects channels by indices that are not a constant list";
        }

        var selected = node.Analysis.Builder.Select(features, indices.Select(i => (int)(i < 0 ? i + features.Length : i)));
        node.Set(0, new ChannelValue(selected, x.Dim, 1) { Shape = null });
        return null;
    }

    /// <summary>The axes that a Slice cuts, and its steps; null where they are not constant.</summary>
    internal static (long[]? Axes, long[]? Steps) SliceAxes(NodeContext node, long[]? starts)
    {
        var axes = node.Ints("axes") ?? (node.Input(3) is null ? starts?.Select((_, i) => (long)i).ToArray() : node.KnownElements(3));
        return (axes, node.Input(4) is null ? axes?.Select(_ => 1L).ToArray() : node.KnownElements(4));
    }

    private static ChannelAxis? Part(NodeContext node, GraphValue? input, int axis)
    {
        if (input is ChannelValue channels)
        {
            return Features(node, channels);
        }

        if (Count(input, axis) is not { } extent)
        {
            return null;
        }

        int count = (int)extent;
        return input is PlainValue plain ? node.Analysis.Pinned(plain, count)
            : node.Analysis.Builder.Pinned($"constant of {node.Node.DisplayName}", count, $"constant operand of {node.Node.DisplayName}");
    }

    // Channels that an operand adds; null if their number is not known, or too large for any weight.
    private static long? Count(GraphValue? input, int axis)
    {
        long? count = input is ChannelValue { Positions: var positions } x ? (positions <= MaximumFeatures ? positions * x.Axis.Length : null)
            : input?.Shape is { } shape && shape.Length >= -axis && shape[^-axis].IsKnown ? shape[^-axis].Value : null;
        return count is >= 0 and <= MaximumFeatures ? count : null;
    }

    // The axis with one entry per position: behind a flatten each channel is repeated.
    internal static ChannelAxis? Features(NodeContext node, ChannelValue x) =>
        x.Positions == 1 ? x.Axis
        : x.Positions is { } p and <= MaximumFeatures && p * x.Axis.Length <= MaximumFeatures
            ? node.Analysis.Builder.Select(x.Axis, Enumerable.Range(0, (int)p * x.Axis.Length).Select(f => f / (int)p)) : null;

    /// <summary>The parts of an axis that a Split makes; null if they are not constant.</summary>
    internal static int[]? Sizes(NodeContext node, int total, int outputs)
    {
        if (outputs == 0)
        {
            return null;
        }

        if (node.Input(1) is not null || node.Attribute("split") is not null)
        {
            var given = node.IntsOrInput("split", 1);
            return given?.Length == outputs && Array.TrueForAll(given, s => s >= 0 && s <= total) && given.Sum() == total
                ? Array.ConvertAll(given, s => (int)s) : null;
        }

        int size = (total + outputs - 1) / outputs;
        return (long)size * (outputs - 1) > total ? null
            : [.. Enumerable.Repeat(size, outputs - 1), total - size * (outputs - 1)];
    }

    /// <summary>The positions that a slice of an axis takes.</summary>
    internal static IEnumerable<int> Positions(long start, long end, long step, int length)
    {
        if (length == 0)
        {
            yield break;
        }

        start = start < 0 ? start + length : start;
        end = end < 0 && end >= -length ? end + length : end;
        (start, end) = step > 0
            ? (Math.Clamp(start, 0, length), Math.Clamp(end, 0, length))
            : (Math.Clamp(start, 0, length - 1), Math.Clamp(end, -1, length - 1));
        for (long i = start; step > 0 ? i < end : i > end; i += step)
        {
            yield return (int)i;
            if (step > length || step < -length)
            {
                yield break; // the next index is outside, and the sum could overflow
            }
        }
    }
}
