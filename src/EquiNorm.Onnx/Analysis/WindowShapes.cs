namespace EquiNorm.Onnx.Analysis;

/// <summary>Extents behind a sliding window: floor or ceil((in + pads - dilation (kernel - 1) - 1) / stride) + 1 per spatial axis.</summary>
internal static class WindowShapes
{
    /// <summary>A convolution: [N, O, ...], also where the input's shape is not known, because the weight gives the rank.</summary>
    public static Extent[]? Conv(NodeContext node, Extent[]? x, Extents extents)
    {
        if (node.Constant(1)?.Dims is not { Length: >= 3 } w)
        {
            return null;
        }

        if (x is not null && x.Length != w.Length)
        {
            return null;
        }

        return [x?[0] ?? extents.Unknown(), w[0], .. Spatial(node, x, w[2..], false, extents)];
    }

    /// <summary>A transposed convolution: [N, O, ...], stride (in - 1) + output padding + dilation (kernel - 1) + 1 - pads.</summary>
    public static Extent[]? ConvTranspose(NodeContext node, Extent[]? x, Extents extents)
    {
        if (node.Constant(1)?.Dims is not { Length: >= 3 } w || (x is not null && x.Length != w.Length) || w[1] > int.MaxValue)
        {
            return null;
        }

        long groups = Math.Clamp(node.Int("group", 1), 1, int.MaxValue);
        var result = new Extent[w.Length];
        (result[0], result[1]) = (x?[0] ?? extents.Unknown(), w[1] * groups);
        bool plain = node.Text("auto_pad", "NOTSET") is "NOTSET" or "" && node.Attribute("output_shape") is null;
        var (pads, strides) = (node.Ints("pads"), node.Ints("strides"));
        var (dilations, added) = (node.Ints("dilations"), node.Ints("output_padding"));
        for (int i = 0; i < w.Length - 2; i++)
        {
            result[i + 2] = plain && x is not null && x[i + 2].IsKnown
                ? At(strides, i, 1) * (x[i + 2].Value - 1) + At(added, i, 0) + At(dilations, i, 1) * (w[i + 2] - 1) + 1
                    - At(pads, i, 0) - At(pads, i + w.Length - 2, 0)
                : extents.Unknown();
        }

        return result;
    }

    /// <summary>A pooling operator: [N, C, ...].</summary>
    public static Extent[]? Pool(NodeContext node, Extent[]? x, Extents extents) =>
        x is { Length: >= 3 } && node.Ints("kernel_shape") is { } kernel && kernel.Length == x.Length - 2
            ? [x[0], x[1], .. Spatial(node, x, kernel, node.Int("ceil_mode", 0) != 0, extents)] : null;

    private static IEnumerable<Extent> Spatial(NodeContext node, Extent[]? x, long[] kernel, bool ceil, Extents extents)
    {
        var pads = node.Ints("pads");
        var strides = node.Ints("strides");
        var dilations = node.Ints("dilations");
        string auto = node.Text("auto_pad", "NOTSET");
        for (int i = 0; i < kernel.Length; i++)
        {
            long stride = At(strides, i, 1);
            if (x is null || !x[i + 2].IsKnown || stride <= 0)
            {
                yield return extents.Unknown();
                continue;
            }

            long extent = x[i + 2].Value;
            long window = At(dilations, i, 1) * (kernel[i] - 1) + 1;
            long padding = auto == "VALID" ? 0 : At(pads, i, 0) + At(pads, i + kernel.Length, 0);
            if (auto.StartsWith("SAME", StringComparison.Ordinal))
            {
                yield return (extent + stride - 1) / stride;
            }
            else if (ceil && (extent + padding - window) % stride != 0)
            {
                yield return extents.Unknown(); // engines differ on a last window that starts in the padding
            }
            else
            {
                yield return (extent + padding - window) / stride + 1;
            }
        }
    }

    private static long At(long[]? values, int index, long missing) => values is not null && index < values.Length ? values[index] : missing;
}
