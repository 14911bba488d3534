using EquiNorm.Onnx.Analysis;
using EquiNorm.Onnx.Files;

namespace EquiNorm.Onnx.Tests;

/// <summary>A tensor of the evaluator: float64, row order.</summary>
internal sealed record Array64(int[] Dims, double[] Data)
{
    public Array64 As(params int[] dims) => this with { Dims = dims };
}

/// <summary>
/// Forward evaluation of small ONNX models in float64, written for clarity. It reads files through the product's file layer (which has
/// tests of its own) and knows nothing of channel groups.
/// </summary>
internal static class Evaluator
{
    /// <summary>All graph outputs, one after the other, for one input tensor per graph input.</summary>
    public static double[] Run(string path, params Array64[] inputs) => Run(path, Node, inputs);

    /// <summary>The same with the statistics of the batch in every normalisation, as in training.</summary>
    public static double[] Train(string path, params Array64[] inputs) =>
        Run(path, (node, a) => node.Operator == "BatchNormalization" ? [BatchNorm(node, a[0]!, [a[0], a[1], a[2], .. Statistics(a[0]!)])] : Node(node, a), inputs);

    private static double[] Run(string path, Func<NodeContext, Array64?[], Array64[]> evaluate, Array64[] inputs)
    {
        var layout = LayoutReader.Open(path);
        var values = layout.Initializers.ToDictionary(t => t.Name, Load);
        var free = layout.Inputs.Where(i => !values.ContainsKey(i.Name)).ToList();
        for (int i = 0; i < free.Count; i++)
        {
            values[free[i].Name] = inputs[i];
        }

        foreach (var node in layout.Nodes)
        {
            var arguments = node.Header.Input.Select(n => n.Length == 0 ? null : values[n]).ToArray();
            var results = node.Header.OpType == "Constant" ? [Load(node.Value!)] : evaluate(new NodeContext(null!, node, [], []), arguments);
            for (int i = 0; i < node.Header.Output.Count; i++)
            {
                values.Add(node.Header.Output[i], results[i]);
            }
        }

        var outputs = layout.Outputs.SelectMany(o => values[o.Name].Data).ToArray();
        layout.File.Dispose();
        layout.External.Dispose();
        return outputs;
    }

    private static Array64 Load(OnnxTensor tensor) => new(
        [.. tensor.Dims.Select(d => (int)d)],
        tensor.Integers(1 << 20)?.Select(i => (double)i).ToArray() ?? tensor.Reals());

    private static Array64[] Node(NodeContext node, Array64?[] a)
    {
        var x = a[0]!;
        switch (node.Operator)
        {
            case "Split":
                int axis = (int)node.Int("axis", 0);
                int parts = node.Node.Header.Output.Count, size = x.Dims[axis] / parts;
                return [.. Enumerable.Range(0, parts).Select(p => Slice(x, axis, p * size, size))];
            case "MaxPool" or "GlobalAveragePool" or "Conv":
                return [node.Operator == "Conv" ? Conv(node, x, a[1]!, a.Length > 2 ? a[2] : null) : Pool(node, x)];
            default:
                return [One(node, x, a)];
        }
    }

    private static Array64 One(NodeContext node, Array64 x, Array64?[] a) => node.Operator switch
    {
        "Identity" or "Dropout" => x,
        "Relu" => Map(x, v => Math.Max(v, 0)),
        "LeakyRelu" => Map(x, v => v < 0 ? v * node.Float("alpha", 0.01) : v),
        "PRelu" => Zip(x, a[1]!, (v, s) => v < 0 ? v * s : v),
        "Clip" => Map(x, v => Math.Min(Math.Max(v, a[1]!.Data[0]), a[2]!.Data[0])),
        "Sigmoid" => Map(x, v => 1 / (1 + Math.Exp(-v))),
        "Abs" => Map(x, Math.Abs),
        "Add" => Zip(x, a[1]!, (p, q) => p + q),
        "Sub" => Zip(x, a[1]!, (p, q) => p - q),
        "Mul" => Zip(x, a[1]!, (p, q) => p * q),
        "Flatten" => x.As(x.Dims[0], x.Data.Length / x.Dims[0]),
        "Reshape" => Reshape(x, a[1]!),
        "Transpose" => Transpose(x, node.Ints("perm")!),
        "Concat" => Concat(a, (int)node.Int("axis", 0)),
        "Gemm" => Gemm(node, x, a[1]!, a.Length > 2 ? a[2] : null),
        "MatMul" => MatMul(x, a[1]!),
        "BatchNormalization" => BatchNorm(node, x, a),
        _ => throw new NotSupportedException(node.Operator),
    };

    private static Array64 Map(Array64 x, Func<double, double> f) => x with { Data = Array.ConvertAll(x.Data, v => f(v)) };

    private static Array64 Zip(Array64 x, Array64 y, Func<double, double, double> f)
    {
        int rank = Math.Max(x.Dims.Length, y.Dims.Length);
        int[] xd = [.. Enumerable.Repeat(1, rank - x.Dims.Length), .. x.Dims], yd = [.. Enumerable.Repeat(1, rank - y.Dims.Length), .. y.Dims];
        int[] dims = [.. xd.Zip(yd, Math.Max)];
        var result = new double[dims.Aggregate(1, (p, q) => p * q)];
        for (int e = 0; e < result.Length; e++)
        {
            int rest = e, xi = 0, yi = 0, xs = 1, ys = 1;
            for (int d = rank - 1; d >= 0; d--)
            {
                int at = rest % dims[d];
                rest /= dims[d];
                xi += xd[d] == 1 ? 0 : at * xs;
                yi += yd[d] == 1 ? 0 : at * ys;
                xs *= xd[d];
                ys *= yd[d];
            }

            result[e] = f(x.Data[xi], y.Data[yi]);
        }

        return new Array64(dims, result);
    }

    private static Array64 Reshape(Array64 x, Array64 target)
    {
        int[] dims = [.. target.Data.Select((t, i) => t == 0 ? x.Dims[i] : (int)t)];
        int open = Array.IndexOf(dims, -1);
        if (open >= 0)
        {
            dims[open] = x.Data.Length / -dims.Aggregate(1, (p, q) => p * q);
        }

        return x.As(dims);
    }

    private static Array64 Transpose(Array64 x, long[] perm)
    {
        int[] dims = [.. perm.Select(p => x.Dims[p])];
        var strides = new int[x.Dims.Length];
        for (int d = strides.Length - 1, s = 1; d >= 0; s *= x.Dims[d--])
        {
            strides[d] = s;
        }

        var result = new double[x.Data.Length];
        for (int e = 0; e < result.Length; e++)
        {
            int rest = e, from = 0;
            for (int d = dims.Length - 1; d >= 0; rest /= dims[d--])
            {
                from += rest % dims[d] * strides[perm[d]];
            }

            result[e] = x.Data[from];
        }

        return new Array64(dims, result);
    }

    private static Array64 Slice(Array64 x, int axis, int start, int count)
    {
        int inner = x.Dims[(axis + 1)..].Aggregate(1, (p, q) => p * q), outer = x.Dims[..axis].Aggregate(1, (p, q) => p * q);
        int[] dims = [.. x.Dims];
        dims[axis] = count;
        var data = Enumerable.Range(0, outer).SelectMany(o => x.Data.Skip((o * x.Dims[axis] + start) * inner).Take(count * inner));
        return new Array64(dims, [.. data]);
    }

    private static Array64 Concat(Array64?[] parts, int axis)
    {
        int[] dims = [.. parts[0]!.Dims];
        dims[axis] = parts.Sum(p => p!.Dims[axis]);
        int outer = dims[..axis].Aggregate(1, (p, q) => p * q);
        return new Array64(dims, [.. Enumerable.Range(0, outer).SelectMany(o => parts.SelectMany(p => p!.Data.Skip(o * (p.Data.Length / outer)).Take(p.Data.Length / outer)))]);
    }

    private static Array64 MatMul(Array64 x, Array64 w)
    {
        int inputs = w.Dims[0], outputs = w.Dims[1], rows = x.Data.Length / inputs;
        var result = new double[rows * outputs];
        for (int r = 0; r < rows; r++)
        {
            for (int i = 0; i < inputs; i++)
            {
                for (int o = 0; o < outputs; o++)
                {
                    result[r * outputs + o] += x.Data[r * inputs + i] * w.Data[i * outputs + o];
                }
            }
        }

        return new Array64([.. x.Dims[..^1], outputs], result);
    }

    private static Array64 Gemm(NodeContext node, Array64 x, Array64 w, Array64? bias)
    {
        double alpha = node.Float("alpha", 1), beta = node.Float("beta", 1);
        var product = Map(MatMul(x, node.Int("transB", 0) != 0 ? Transpose(w, [1, 0]) : w), v => alpha * v);
        return bias is null ? product : Zip(product, bias, (p, b) => p + beta * b);
    }

    private static Array64 BatchNorm(NodeContext node, Array64 x, Array64?[] a)
    {
        double epsilon = node.Float("epsilon", 1e-5f);
        int channels = x.Dims[1], inner = x.Data.Length / x.Dims[0] / channels;
        return x with
        {
            Data = [.. x.Data.Select((v, e) =>
            {
                int c = e / inner % channels;
                return a[1]!.Data[c] * (v - a[3]!.Data[c]) / Math.Sqrt(a[4]!.Data[c] + epsilon) + a[2]!.Data[c];
            })],
        };
    }

    // Mean and (biased) variance of each channel over batch and positions.
    private static Array64[] Statistics(Array64 x)
    {
        int channels = x.Dims[1], inner = x.Data.Length / x.Dims[0] / channels;
        var values = x.Data.Select((v, e) => (Value: v, Channel: e / inner % channels)).ToLookup(v => v.Channel, v => v.Value);
        double[] mean = [.. Enumerable.Range(0, channels).Select(c => values[c].Average())];
        return [new([channels], mean), new([channels], [.. mean.Select((m, c) => values[c].Average(v => (v - m) * (v - m)))])];
    }

    private static Array64 Pool(NodeContext node, Array64 x)
    {
        int planes = x.Dims[0] * x.Dims[1], h = x.Dims[2], w = x.Dims[3];
        bool global = node.Operator != "MaxPool";
        int k = global ? 0 : (int)node.Ints("kernel_shape")![0], oh = global ? 1 : h / k, ow = global ? 1 : w / k;
        var result = new double[planes * oh * ow];
        for (int e = 0; e < result.Length; e++)
        {
            int plane = e / (oh * ow), y0 = e / ow % oh * k, x0 = e % ow * k;
            var window = global ? x.Data.Skip(plane * h * w).Take(h * w)
                : from dy in Enumerable.Range(0, k) from dx in Enumerable.Range(0, k) select x.Data[(plane * h + y0 + dy) * w + x0 + dx];
            result[e] = global ? window.Average() : window.Max();
        }

        return new Array64([x.Dims[0], x.Dims[1], oh, ow], result);
    }

    // Stride 1; 1-D convolutions are 2-D ones with one row.
    private static Array64 Conv(NodeContext node, Array64 x, Array64 w, Array64? bias)
    {
        bool flat = w.Dims.Length == 3;
        int pad = (int)(node.Ints("pads")?[^1] ?? 0), padY = flat ? 0 : pad, groups = (int)node.Int("group", 1);
        int h = flat ? 1 : x.Dims[2], width = x.Dims[^1], kh = flat ? 1 : w.Dims[2], kw = w.Dims[^1];
        int outputs = w.Dims[0], inputs = w.Dims[1], oh = h + 2 * padY - kh + 1, ow = width + 2 * pad - kw + 1;
        var result = new double[x.Dims[0] * outputs * oh * ow];
        for (int e = 0; e < result.Length; e++)
        {
            int ox = e % ow, oy = e / ow % oh, o = e / ow / oh % outputs, n = e / ow / oh / outputs;
            double sum = bias?.Data[o] ?? 0;
            for (int t = 0; t < inputs * kh * kw; t++)
            {
                int kx = t % kw, ky = t / kw % kh, i = t / kw / kh, iy = oy + ky - padY, ix = ox + kx - pad;
                if (iy >= 0 && iy < h && ix >= 0 && ix < width)
                {
                    int channel = o / (outputs / groups) * inputs + i;
                    sum += w.Data[(o * inputs + i) * kh * kw + ky * kw + kx] * x.Data[((n * x.Dims[1] + channel) * h + iy) * width + ix];
                }
            }

            result[e] = sum;
        }

        return new Array64(flat ? [x.Dims[0], outputs, ow] : [x.Dims[0], outputs, oh, ow], result);
    }
}
