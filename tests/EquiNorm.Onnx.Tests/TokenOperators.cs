using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Tests;

/// <summary>The operators of transformers for <see cref="Evaluator"/>, element by element.</summary>
internal static class TokenOperators
{
    /// <summary>[..., I, K] by [..., K, J], batch axes broadcast.</summary>
    public static Array64 MatMul(Array64 x, Array64 y)
    {
        int rank = Math.Max(x.Dims.Length, y.Dims.Length);
        int[] xd = Padded(x, rank), yd = Padded(y, rank);
        int[] dims = [.. xd[..^2].Zip(yd[..^2], Math.Max), xd[^2], yd[^1]];
        var result = new double[dims.Aggregate(1, (p, q) => p * q)];
        ForEach(dims, (index, at) =>
        {
            for (int k = 0; k < xd[^1]; k++)
            {
                result[at] += x.Data[Offset(xd, [.. index[..^1], k])] * y.Data[Offset(yd, [.. index[..^2], k, index[^1]])];
            }
        });
        return new Array64(dims, result);
    }

    public static Array64 Softmax(Array64 x)
    {
        int n = x.Dims[^1];
        return x with { Data = [.. x.Data.Chunk(n).SelectMany(row => row.Select(v => Math.Exp(v - row.Max()) / row.Sum(w => Math.Exp(w - row.Max()))))] };
    }

    /// <summary>Over the last axis: gain (x - mean) / sqrt(variance + epsilon) + bias, or without the mean.</summary>
    public static Array64 Normalise(Array64 x, Array64?[] a, bool centred, double epsilon)
    {
        int n = x.Dims[^1];
        return x with
        {
            Data = [.. x.Data.Chunk(n).SelectMany(row =>
            {
                double mean = centred ? row.Average() : 0, root = Math.Sqrt(row.Average(v => (v - mean) * (v - mean)) + epsilon);
                return row.Select((v, c) => a[1]!.Data[c] * (v - mean) / root + (a.Length > 2 ? a[2]!.Data[c] : 0));
            })],
        };
    }

    /// <summary>Over the positions of each channel of each image.</summary>
    public static Array64 Instance(Array64 x, Array64?[] a)
    {
        int channels = x.Dims[1], n = x.Data.Length / x.Dims[0] / channels;
        return x with
        {
            Data = [.. x.Data.Chunk(n).SelectMany((row, r) =>
            {
                double mean = row.Average(), root = Math.Sqrt(row.Average(v => (v - mean) * (v - mean)) + 1e-5);
                return row.Select(v => a[1]!.Data[r % channels] * (v - mean) / root + a[2]!.Data[r % channels]);
            })],
        };
    }

    public static Array64 Reduce(NodeContext node, Array64 x)
    {
        int[] axes = [.. node.Ints("axes")!.Select(v => (int)(v < 0 ? v + x.Dims.Length : v))];
        int[] dims = [.. x.Dims.Select((d, i) => axes.Contains(i) ? 1 : d)];
        var result = new double[dims.Aggregate(1, (p, q) => p * q)];
        int count = x.Data.Length / result.Length;
        ForEach(x.Dims, (index, at) => result[Offset(dims, index)] += x.Data[at] / (node.Operator == "ReduceMean" ? count : 1));
        return new Array64(node.Int("keepdims", 1) != 0 ? dims : [.. dims.Where((_, i) => !axes.Contains(i))], result);
    }

    public static Array64 Slice(Array64 x, Array64?[] a)
    {
        var places = x.Dims.Select(d => Enumerable.Range(0, d).ToArray()).ToArray();
        for (int n = 0; n < a[1]!.Data.Length; n++)
        {
            int axis = a.Length > 3 ? (int)a[3]!.Data[n] : n, step = a.Length > 4 ? (int)a[4]!.Data[n] : 1;
            axis = axis < 0 ? axis + x.Dims.Length : axis;
            int extent = x.Dims[axis], start = Bound(a[1]!.Data[n], extent), end = Bound(a[2]!.Data[n], extent);
            places[axis] = step > 0
                ? [.. Enumerable.Range(0, extent).Where(i => i >= start && i < end && (i - start) % step == 0)]
                : throw new NotSupportedException("negative step");
        }

        return Take(x, places);
    }

    public static Array64 Gather(Array64 x, Array64 indices, int axis)
    {
        axis = axis < 0 ? axis + x.Dims.Length : axis;
        var places = x.Dims.Select(d => Enumerable.Range(0, d).ToArray()).ToArray();
        places[axis] = [.. indices.Data.Select(i => (int)(i < 0 ? i + x.Dims[axis] : i))];
        return Take(x, places).As([.. x.Dims[..axis], .. indices.Dims, .. x.Dims[(axis + 1)..]]);
    }

    public static Array64 Tile(Array64 x, Array64 repeats) =>
        Take(x, [.. x.Dims.Select((d, i) => Enumerable.Range(0, d * (int)repeats.Data[i]).Select(p => p % d).ToArray())]);

    public static Array64 Resqueeze(string op, Array64 x, Array64 axes)
    {
        int rank = op == "Squeeze" ? x.Dims.Length : x.Dims.Length + axes.Data.Length;
        var places = axes.Data.Select(v => (int)(v < 0 ? v + rank : v)).ToHashSet();
        var rest = new Queue<int>(x.Dims);
        return op == "Squeeze" ? x.As([.. x.Dims.Where((_, i) => !places.Contains(i))])
            : x.As([.. Enumerable.Range(0, rank).Select(i => places.Contains(i) ? 1 : rest.Dequeue())]);
    }

    private static Array64 Take(Array64 x, int[][] places)
    {
        int[] dims = [.. places.Select(p => p.Length)];
        var result = new double[dims.Aggregate(1, (p, q) => p * q)];
        ForEach(dims, (index, at) => result[at] = x.Data[Offset(x.Dims, [.. index.Select((i, d) => places[d][i])])]);
        return new Array64(dims, result);
    }

    private static int Bound(double value, int extent) => (int)Math.Clamp(value < 0 ? value + extent : value, 0, extent);

    private static int[] Padded(Array64 x, int rank) => [.. Enumerable.Repeat(1, rank - x.Dims.Length), .. x.Dims];

    // Broadcast: an extent of 1 has place 0 for every index.
    private static int Offset(int[] dims, int[] index)
    {
        int at = 0;
        for (int d = 0; d < dims.Length; d++)
        {
            at = at * dims[d] + (dims[d] == 1 ? 0 : index[d]);
        }

        return at;
    }

    private static void ForEach(int[] dims, Action<int[], int> visit)
    {
        var index = new int[dims.Length];
        int count = dims.Aggregate(1, (p, q) => p * q);
        for (int at = 0; at < count; at++)
        {
            for (int d = dims.Length - 1, rest = at; d >= 0; rest /= dims[d--])
            {
                index[d] = rest % dims[d];
            }

            visit(index, at);
        }
    }
}
