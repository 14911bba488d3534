using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Tests;

/// <summary>
/// Convolutions and pooling over any number of axes, element by element, as the operators are defined: input position =
/// output position * stride + kernel position * dilation - pad.
/// </summary>
internal sealed class Windows
{
    private readonly int[] _kernel;
    private readonly int[] _strides;
    private readonly int[] _dilations;
    private readonly int[] _pads;

    private Windows(NodeContext node, int[] kernel)
    {
        _kernel = kernel;
        int axes = kernel.Length;
        _strides = Numbers(node, "strides", axes, 1);
        _dilations = Numbers(node, "dilations", axes, 1);
        _pads = Numbers(node, "pads", 2 * axes, 0);
    }

    public static Array64 Conv(NodeContext node, Array64 x, Array64 w, Array64? bias)
    {
        var window = new Windows(node, w.Dims[2..]);
        int groups = (int)node.Int("group", 1), outputs = w.Dims[0], inputs = w.Dims[1], inner = Count(x.Dims[2..]), positions = Count(w.Dims[2..]);
        int[] places = window.Outputs(x.Dims[2..]);
        return Fill([x.Dims[0], outputs, .. places], (n, o, place) =>
        {
            double sum = bias?.Data[o] ?? 0;
            foreach (var (k, at) in window.Inputs(place, x.Dims[2..], places))
            {
                for (int i = 0; i < inputs; i++)
                {
                    int channel = o / (outputs / groups) * inputs + i;
                    sum += w.Data[(o * inputs + i) * positions + k] * x.Data[(n * x.Dims[1] + channel) * inner + at];
                }
            }

            return sum;
        });
    }

    /// <summary>The adjoint of a convolution: each input element is spread over the outputs that its window covers.</summary>
    public static Array64 ConvTranspose(NodeContext node, Array64 x, Array64 w, Array64? bias)
    {
        var window = new Windows(node, w.Dims[2..]);
        int axes = w.Dims.Length - 2, groups = (int)node.Int("group", 1), perGroup = w.Dims[1], positions = Count(w.Dims[2..]);
        int[] added = Numbers(node, "output_padding", axes, 0);
        int[] places = [.. Enumerable.Range(0, axes).Select(d => window._strides[d] * (x.Dims[d + 2] - 1) + added[d]
            + window._dilations[d] * (window._kernel[d] - 1) + 1 - window._pads[d] - window._pads[d + axes])];
        int inputs = x.Dims[1], outputs = groups * perGroup, inner = Count(x.Dims[2..]), outer = Count(places);
        var result = new double[x.Dims[0] * outputs * outer];
        for (int e = 0; e < result.Length; e++)
        {
            result[e] = bias?.Data[e / outer % outputs] ?? 0;
        }

        for (int e = 0; e < x.Data.Length; e++)
        {
            int[] from = Coordinates(e % inner, x.Dims[2..]);
            int i = e / inner % inputs, n = e / inner / inputs;
            for (int k = 0; k < positions; k++)
            {
                int[] offset = Coordinates(k, window._kernel);
                int[] to = [.. from.Select((p, d) => p * window._strides[d] + offset[d] * window._dilations[d] - window._pads[d])];
                if (Index(to, places) is { } at)
                {
                    for (int o = 0; o < perGroup; o++)
                    {
                        int channel = i / (inputs / groups) * perGroup + o;
                        result[(n * outputs + channel) * outer + at] += x.Data[e] * w.Data[(i * perGroup + o) * positions + k];
                    }
                }
            }
        }

        return new Array64([x.Dims[0], outputs, .. places], result);
    }

    public static Array64 Pool(NodeContext node, Array64 x)
    {
        bool global = node.Operator.StartsWith("Global", StringComparison.Ordinal), max = node.Operator.EndsWith("MaxPool", StringComparison.Ordinal);
        int[] extents = x.Dims[2..];
        var window = new Windows(node, global ? extents : [.. node.Ints("kernel_shape")!.Select(k => (int)k)]);
        int inner = Count(extents);
        int[] places = window.Outputs(extents);
        return Fill([x.Dims[0], x.Dims[1], .. places], (n, c, place) =>
        {
            var values = window.Inputs(place, extents, places).Select(i => x.Data[(n * x.Dims[1] + c) * inner + i.At]);
            return max ? values.Max() : values.Average();
        });
    }

    private int[] Outputs(int[] extents) => [.. extents.Select((e, d) =>
        (e + _pads[d] + _pads[d + extents.Length] - _dilations[d] * (_kernel[d] - 1) - 1) / _strides[d] + 1)];

    private IEnumerable<(int Kernel, int At)> Inputs(int place, int[] extents, int[] places)
    {
        int[] to = Coordinates(place, places);
        for (int k = 0; k < Count(_kernel); k++)
        {
            int[] offset = Coordinates(k, _kernel);
            if (Index([.. to.Select((p, d) => p * _strides[d] + offset[d] * _dilations[d] - _pads[d])], extents) is { } at)
            {
                yield return (k, at);
            }
        }
    }

    private static Array64 Fill(int[] dims, Func<int, int, int, double> element)
    {
        int inner = Count(dims[2..]);
        return new Array64(dims, [.. Enumerable.Range(0, Count(dims)).Select(e => element(e / inner / dims[1], e / inner % dims[1], e % inner))]);
    }

    private static int[] Coordinates(int index, int[] extents)
    {
        var result = new int[extents.Length];
        for (int d = extents.Length - 1; d >= 0; index /= extents[d--])
        {
            result[d] = index % extents[d];
        }

        return result;
    }

    private static int? Index(int[] coordinates, int[] extents)
    {
        int index = 0;
        for (int d = 0; d < extents.Length; d++)
        {
            if (coordinates[d] < 0 || coordinates[d] >= extents[d])
            {
                return null;
            }

            index = index * extents[d] + coordinates[d];
        }

        return index;
    }

    private static int Count(int[] extents) => extents.Aggregate(1, (a, b) => a * b);

    private static int[] Numbers(NodeContext node, string name, int count, int missing) =>
        node.Ints(name) is { } given ? Array.ConvertAll(given, v => (int)v) : [.. Enumerable.Repeat(missing, count)];
}
