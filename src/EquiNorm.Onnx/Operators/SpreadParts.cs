using EquiNorm.Model;
using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>Operators that cut or join activations whose factors depend on several axes: halves of heads, queries beside keys and values.</summary>
internal static class SpreadParts
{
    private const string Unknown = "the place of its channels is not known";

    /// <summary>Slice with constant bounds, or along axes without factors.</summary>
    public static string? Slice(NodeContext node)
    {
        var (starts, ends) = (node.IntsOrInput("starts", 1), node.IntsOrInput("ends", 2));
        var (axes, steps) = RangeRules.SliceAxes(node, starts);
        if (Spread.Of(node, node.Input(0)) is not { } x || axes is null || steps is null || steps.Length != axes.Length
            || axes.Select(a => a < 0 ? a + x.Shape!.Length : a).Distinct().Count() != axes.Length
            || PartShapes.Slice(node, x.Shape, node.Analysis.Extents) is not { } shape)
        {
            return "its axes are not constant";
        }

        var blocks = new List<Spread.Block>();
        for (int n = 0; n < x.Dims.Length; n++)
        {
            int at = Array.FindIndex(axes, a => (a < 0 ? a + x.Shape!.Length : a) == x.Dims[n]);
            if (at < 0)
            {
                blocks.Add(Spread.Keep(x, n, x.Dims[n]));
                continue;
            }

            if (starts is null || ends is null || Math.Min(starts.Length, ends.Length) <= at || steps[at] is 0 or long.MinValue || !Spread.IsWhole(x, n))
            {
                return "it may cut the channels at bounds that are not constant";
            }

            blocks.Add(Spread.Pick(x, n, x.Dims[n], RangeRules.Positions(starts[at], ends[at], steps[at], x.Extents[n])));
        }

        return Spread.Set(node, Spread.Make(node, x, blocks, shape));
    }

    /// <summary>Split at constant places, or along an axis without factors.</summary>
    public static string? Split(NodeContext node)
    {
        if (Spread.Of(node, node.Input(0)) is not { } x || Axis(node.Int("axis", 0), x.Shape!.Length) is not { } axis)
        {
            return Unknown;
        }

        int outputs = node.Node.Header.Output.Count, at = Array.IndexOf(x.Dims, axis);
        int[]? sizes = x.Shape[axis] is { IsKnown: true, Value: <= int.MaxValue } extent ? RangeRules.Sizes(node, (int)extent.Value, outputs) : null;
        if (at >= 0 && (sizes is null || !Spread.IsWhole(x, at)))
        {
            return "its parts are not constant";
        }

        for (int i = 0, start = 0; i < outputs; start += sizes?[i] ?? 0, i++)
        {
            Extent[] shape = [.. x.Shape.Select((e, d) => d != axis ? e : sizes is null ? node.Analysis.Extents.Unknown() : sizes[i])];
            int first = start;
            var part = at < 0 ? x with { Shape = shape } : Spread.Make(node, x, x.Dims.Select((d, n) => n == at
                ? Spread.Pick(x, n, d, Enumerable.Range(first, sizes![i])) : Spread.Keep(x, n, d)), shape);
            if (Spread.Set(node, part, i) is { } reason)
            {
                return reason;
            }
        }

        return null;
    }

    /// <summary>Gather: one place or a constant list of places of an axis, or anything along an axis without factors.</summary>
    public static string? Gather(NodeContext node)
    {
        if (Spread.Of(node, node.Input(0)) is not { } x || Axis(node.Int("axis", 0), x.Shape!.Length) is not { } axis
            || node.Input(1) is not { Shape: { } index } || node.Input(1) is ScaledValue)
        {
            return Unknown;
        }

        int added = index.Length - 1, at = Array.IndexOf(x.Dims, axis);
        Extent[] shape = [.. x.Shape[..axis], .. index, .. x.Shape[(axis + 1)..]];
        int Moved(int dim) => dim > axis ? dim + added : dim;
        if (at < 0)
        {
            return Spread.Set(node, new SplitValue(x.Axis, [.. x.Dims.Select(Moved)], x.Extents) { Shape = shape });
        }

        if (added > 0 || node.KnownOrStored(1) is not { Length: > 0 } places || !Spread.IsWhole(x, at)
            || Array.Exists(places, p => p < -x.Extents[at] || p >= x.Extents[at]))
        {
            return "it selects channels by indices that are not a constant list";
        }

        var picked = Spread.Pick(x, at, axis, places.Select(p => (int)(p < 0 ? p + x.Extents[at] : p)));
        if (added < 0 && x.Dims.Length > 1)
        {
            // One place: its axis goes, and its offset stays with another one.
            int other = at == 0 ? 1 : 0;
            var kept = Spread.Keep(x, other, Moved(x.Dims[other]));
            kept = kept with { Offsets = [.. kept.Offsets.Select(o => o + picked.Offsets[0])] };
            return Spread.Set(node, Spread.Make(node, x, x.Dims.Select((d, n) => n == other ? kept : Spread.Keep(x, n, Moved(d))).Where((_, n) => n != at), shape));
        }

        return added < 0 ? "it selects one channel" // no axis is left for it
            : Spread.Set(node, Spread.Make(node, x, x.Dims.Select((d, n) => n == at ? picked : Spread.Keep(x, n, d)), shape));
    }

    /// <summary>Concat: side by side along an axis with factors, tied along any other.</summary>
    public static string? Concat(NodeContext node)
    {
        int rank = node.Inputs.OfType<ScaledValue>().First().Shape!.Length;
        if (Axis(node.Int("axis", 1), rank) is not { } axis)
        {
            return Unknown;
        }

        var tables = node.Inputs.Select(i => i is ScaledValue ? Spread.Of(node, i) : null).ToArray();
        if (node.Inputs.Zip(tables).Any(p => p.First is ScaledValue && (p.Second is null || p.Second.Shape!.Length != rank)))
        {
            return Unknown;
        }

        var scaled = tables.OfType<SplitValue>().ToList();
        if (!scaled.Exists(t => t.Dims.Contains(axis)))
        {
            return scaled.Count == tables.Length ? SpreadSums.Tie(node) : "it joins an activation with a value that is not rescaled";
        }

        var others = Spread.Union(scaled).Where(a => a.Dim != axis).ToArray();
        var parts = new List<(ChannelAxis Axis, int Extent)>();
        for (int i = 0; i < tables.Length; i++)
        {
            if (Part(node, i, tables[i], axis, others) is not { } part)
            {
                return "the extent of an operand is not known";
            }

            parts.Add(part);
        }

        return Join(node, parts, axis, others, scaled[0].Shape!);
    }

    private static (ChannelAxis Axis, int Extent)? Part(NodeContext node, int input, SplitValue? table, int axis, (int Dim, int Extent)[] others)
    {
        if (node.Inputs[input]?.Shape is not { } shape || shape.Length <= axis || shape[axis] is not { IsKnown: true, Value: > 0 and <= RangeRules.MaximumFeatures } extent)
        {
            return null;
        }

        int count = (int)extent.Value;
        if (table is not null)
        {
            return Spread.Broaden(node, table, [.. others.Append((axis, count)).OrderBy(a => a.Item1)]) is { } broad ? (broad.Axis, count) : null;
        }

        double places = others.Aggregate((double)count, (n, a) => n * a.Extent);
        string reason = (node.Inputs[input] as PlainValue)?.Reason ?? $"constant operand of {node.Node.DisplayName}";
        return places > RangeRules.MaximumFeatures ? null
            : (node.Analysis.Builder.Pinned($"operand {input} of {node.Node.DisplayName}", (int)places, reason, (node.Inputs[input] as PlainValue)?.Flow), count);
    }

    private static string? Join(NodeContext node, List<(ChannelAxis Axis, int Extent)> parts, int axis, (int Dim, int Extent)[] others, Extent[] shape)
    {
        int outer = others.Where(a => a.Dim < axis).Aggregate(1, (n, a) => n * a.Extent), inner = others.Where(a => a.Dim > axis).Aggregate(1, (n, a) => n * a.Extent);
        long total = parts.Sum(p => (long)p.Extent);
        if (total * outer * inner > RangeRules.MaximumFeatures)
        {
            return $"it joins more than {RangeRules.MaximumFeatures} channels";
        }

        var places = new List<int>();
        for (int o = 0; o < outer; o++)
        {
            int first = 0;
            foreach (var (part, extent) in parts)
            {
                places.AddRange(Enumerable.Range(first + o * extent * inner, extent * inner));
                first += part.Length;
            }
        }

        var joined = node.Analysis.Builder.Select(node.Analysis.Builder.Concat([.. parts.Select(p => p.Axis)]), places);
        (int Dim, int Extent)[] axes = [.. others.Append((axis, (int)total)).OrderBy(a => a.Item1)];
        return Spread.Set(node, new SplitValue(joined, [.. axes.Select(a => a.Dim)], [.. axes.Select(a => a.Extent)])
        {
            Shape = [.. shape.Select((e, d) => d == axis ? total : e)],
        });
    }

    private static int? Axis(long axis, int rank) => axis >= -rank && axis < rank ? (int)(axis < 0 ? axis + rank : axis) : null;
}
