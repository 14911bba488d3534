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
                axis = axis < 0 ? axis + x.Dims.Length : axis;
                int parts = node.Node.Header.Output.Count;
                int[] sizes = a.Length > 1 ? [.. a[1]!.Data.Select(v => (int)v)] : [.. Enumerable.Repeat(x.Dims[axis] / parts, parts)];
                return [.. sizes.Select((size, p) => Slice(x, axis, sizes[..p].Sum(), size))];
            case "Conv":
                return [Windows.Conv(node, x, a[1]!, a.Length > 2 ? a[2] : null)];
            case "ConvTranspose":
                return [Windows.ConvTranspose(node, x, a[1]!, a.Length > 2 ? a[2] : null)];
            case "MaxPool" or "AveragePool" or "GlobalAveragePool" or "GlobalMaxPool":
                return [Windows.Pool(node, x)];
            default:
                return [One(node, x, a)];
        }
    }

    private static Array64 One(NodeContext node, Array64 x, Array64?[] a) => node.Operator switch
    {
        "Identity" or "Dropout" or "Cast" => x,
        "Relu" => Map(x, v => Math.Max(v, 0)),
        "LeakyRelu" => Map(x, v => v < 0 ? v * node.Float("alpha", 0.01) : v),
        "PRelu" => Zip(x, a[1]!, (v, s) => v < 0 ? v * s : v),
        "Clip" => Map(x, v => Math.Min(Math.Max(v, a[1]!.Data[0]), a[2]!.Data[0])),
        "Sigmoid" => Map(x, v => 1 / (1 + Math.Exp(-v))),
        "HardSigmoid" => Map(x, HardSigmoid),
        "HardSwish" => Map(x, v => v * Math.Min(Math.Max(v / 6 + 0.5, 0), 1)),
        "Erf" => Map(x, Erf),
        "Abs" => Map(x, Math.Abs),
        "Add" => Zip(x, a[1]!, (p, q) => p + q),
        "Sub" => Zip(x, a[1]!, (p, q) => p - q),
        "Mul" => Zip(x, a[1]!, (p, q) => p * q),
        "Div" => Zip(x, a[1]!, (p, q) => p / q),
        "DepthToSpace" => Blocks(node, x, true),
        "SpaceToDepth" => Blocks(node, x, false),
        "Shape" => new Array64([x.Dims.Length], [.. x.Dims.Select(d => (double)d)]),
        "Neg" => Map(x, v => -v),
        "Sqrt" => Map(x, Math.Sqrt),
        "Reciprocal" => Map(x, v => 1 / v),
        "Pow" => Zip(x, a[1]!, Math.Pow),
        "Tanh" => Map(x, Math.Tanh),
        "Slice" => TokenOperators.Slice(x, a),
        "Gather" => TokenOperators.Gather(x, a[1]!, (int)node.Int("axis", 0)),
        "Expand" => Zip(x, new Array64([.. a[1]!.Data.Select(d => (int)d)], new double[(int)a[1]!.Data.Aggregate((p, q) => p * q)]), (v, _) => v),
        "Tile" => TokenOperators.Tile(x, a[1]!),
        "Squeeze" or "Unsqueeze" => TokenOperators.Resqueeze(node.Operator, x, a[1]!),
        "Softmax" => TokenOperators.Softmax(x),
        "ReduceMean" or "ReduceSum" => TokenOperators.Reduce(node, x),
        "LayerNormalization" => TokenOperators.Normalise(x, a, true, node.Float("epsilon", 1e-5f)),
        "RMSNormalization" or "SimplifiedLayerNormalization" => TokenOperators.Normalise(x, a, false, node.Float("epsilon", 1e-5f)),
        "InstanceNormalization" => TokenOperators.Instance(x, a),
        "Flatten" => x.As(x.Dims[0], x.Data.Length / x.Dims[0]),
        "Reshape" => Reshape(x, a[1]!),
        "Transpose" => Transpose(x, node.Ints("perm") ?? [.. Enumerable.Range(0, x.Dims.Length).Select(d => (long)(x.Dims.Length - 1 - d))]),
        "Concat" => Concat(a, (int)(node.Int("axis", 0) + (node.Int("axis", 0) < 0 ? x.Dims.Length : 0))),
        "Gemm" => Gemm(node, x, a[1]!, a.Length > 2 ? a[2] : null),
        "MatMul" => MatMul(x, a[1]!),
        "BatchNormalization" => BatchNorm(node, x, a),
        _ => throw new NotSupportedException(node.Operator),
    };

    internal static Array64 Map(Array64 x, Func<double, double> f) => x with { Data = Array.ConvertAll(x.Data, v => f(v)) };

    internal static Array64 Zip(Array64 x, Array64 y, Func<double, double, double> f)
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

    private static double HardSigmoid(double v) => Math.Min(Math.Max(0.2 * v + 0.5, 0), 1);

    // The Maclaurin series: activations of these models are small.
    private static double Erf(double v)
    {
        double sum = 0, term = v;
        for (int n = 0; n < 200; n++, term *= -v * v / n)
        {
            sum += term / (2 * n + 1);
        }

        return 2 / Math.Sqrt(Math.PI) * sum;
    }

    // DepthToSpace: DCR takes block positions from the outer channels, CRD from the inner ones. SpaceToDepth is the inverse of DCR.
    private static Array64 Blocks(NodeContext node, Array64 x, bool toSpace)
    {
        int b = (int)node.Int("blocksize", 1), n = x.Dims[0], c = x.Dims[1], h = x.Dims[2], w = x.Dims[3];
        if (!toSpace)
        {
            return Transpose(x.As(n, c, h / b, b, w / b, b), [0, 3, 5, 1, 2, 4]).As(n, b * b * c, h / b, w / b);
        }

        c /= b * b;
        var moved = node.Text("mode", "DCR") == "CRD"
            ? Transpose(x.As(n, c, b, b, h, w), [0, 1, 4, 2, 5, 3])
            : Transpose(x.As(n, b, b, c, h, w), [0, 3, 4, 1, 5, 2]);
        return moved.As(n, c, h * b, w * b);
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

    internal static Array64 Transpose(Array64 x, long[] perm)
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
        if (w.Dims.Length > 2)
        {
            return TokenOperators.MatMul(x, w);
        }

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
}
