using EquiNorm.Onnx.Operators;

namespace EquiNorm.Onnx.Analysis;

/// <summary>Extents behind operators that cut or enlarge some axes and keep the others: Slice, Pad, Resize.</summary>
internal static class PartShapes
{
    // A longer axis is not counted out.
    private const int MaximumExtent = 1 << 22;

    /// <summary>Slice: what is not cut keeps its extent.</summary>
    public static Extent[]? Slice(NodeContext node, Extent[]? x, Extents extents)
    {
        if (x is null)
        {
            return null;
        }

        var starts = node.IntsOrInput("starts", 1);
        var ends = node.IntsOrInput("ends", 2);
        var (axes, steps) = RangeRules.SliceAxes(node, starts);
        var places = axes?.Select(a => NodeContext.FromBack(a, x)).ToArray();
        if (axes is null || steps is null || places is null || places.Contains(null) || places.Distinct().Count() != axes.Length || steps.Length != axes.Length)
        {
            return Array.ConvertAll(x, _ => extents.Unknown());
        }

        Extent[] result = [.. x];
        for (int n = 0; n < axes.Length; n++)
        {
            var extent = result[^-places[n]!.Value];
            bool known = starts is not null && ends is not null && Math.Min(starts.Length, ends.Length) > n && steps[n] is not (0 or long.MinValue)
                && extent.IsKnown && extent.Value <= MaximumExtent;
            result[^-places[n]!.Value] = known ? RangeRules.Positions(starts![n], ends![n], steps[n], (int)extent.Value).Count() : extents.Unknown();
        }

        return result;
    }

    /// <summary>Pad: an axis without pads keeps its extent.</summary>
    public static Extent[]? Pad(NodeContext node, Extent[]? x, Extents extents)
    {
        var pads = node.Ints("paddings") ?? node.IntsOrInput("pads", 1);
        bool known = pads is not null && node.Input(3) is null && x is not null && pads.Length == 2 * x.Length;
        return x is null ? null : [.. x.Select((e, d) => !known || !Array.TrueForAll(pads!, p => Math.Abs(p) < int.MaxValue) ? extents.Unknown()
            : e.IsKnown ? e.Value + pads![d] + pads[d + x.Length]
            : pads![d] == 0 && pads[d + x.Length] == 0 ? e : extents.Unknown())];
    }

    /// <summary>Resize and Upsample: an axis of scale 1 keeps its extent; how others are rounded depends on the engine.</summary>
    public static Extent[]? Resize(NodeContext node, Extent[]? x, Extents extents)
    {
        var scales = node.Attribute("scales")?.Floats.Select(f => (double)f).ToArray()
            ?? node.Constant(node.Operator == "Upsample" || node.Opset < 11 ? 1 : 2)?.Reals(16);
        bool known = x is not null && node.Attribute("axes") is null && scales?.Length == x.Length;
        return x is null ? null : [.. x.Select((e, d) => known && scales![d] == 1 ? e : extents.Unknown())];
    }
}
