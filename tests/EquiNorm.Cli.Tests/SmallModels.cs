using EquiNorm.Testing.Onnx;

namespace EquiNorm.Cli.Tests;

/// <summary>A dense network image[4] -> 6 -> 5 -> scores[3] with biases; every number can be changed before it is saved.</summary>
internal sealed class DenseModel
{
    public static readonly int[] Widths = [4, 6, 5, 3];

    public float[][] Weights { get; } = [.. Enumerable.Range(0, 3).Select(n => Values(n + 1, Widths[n + 1] * Widths[n]))];

    public float[][] Biases { get; } = [.. Enumerable.Range(0, 3).Select(n => Values(n + 11, Widths[n + 1]))];

    public string Activation { get; set; } = "Relu";

    public (string, object)[] Attributes { get; set; } = [];

    /// <summary>Multiplies channel <paramref name="channel"/> behind weight <paramref name="layer"/> and divides what reads it.</summary>
    public DenseModel Rescale(int layer, int channel, float factor)
    {
        for (int i = 0; i < Widths[layer]; i++)
        {
            Weights[layer][channel * Widths[layer] + i] *= factor;
        }

        Biases[layer][channel] *= factor;
        for (int o = 0; o < Widths[layer + 2]; o++)
        {
            Weights[layer + 1][o * Widths[layer + 1] + channel] /= factor;
        }

        return this;
    }

    public string Save(string path)
    {
        var model = new OnnxModelWriter().Input("image", -1, 4).Output("scores", -1, 3);
        string value = "image";
        for (int n = 0; n < 3; n++)
        {
            model.Floats($"w{n}", [Widths[n + 1], Widths[n]], Weights[n]).Floats($"b{n}", [Widths[n + 1]], Biases[n]);
            string next = n == 2 ? "scores" : $"h{n}";
            model.Node("Gemm", [value, $"w{n}", $"b{n}"], [next], ("transB", 1L));
            if (n < 2)
            {
                model.Node(Activation, [next], [value = $"a{n}"], Attributes);
            }
        }

        return model.Save(path);
    }

    /// <summary>Numbers between -1 and 1, never near 0, the same on every run.</summary>
    public static float[] Values(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() * 0.9f + 0.1f) * (random.Next(2) * 2 - 1))];
    }
}

/// <summary>A residual network with batch normalisation: conv - bn - relu, conv - bn - add - relu, average, dense.</summary>
internal sealed class ResidualModel
{
    private const int C = 4;

    public float[] Conv1 { get; } = DenseModel.Values(1, C * 3 * 9);

    public float[] Conv2 { get; } = DenseModel.Values(2, C * C * 9);

    public float[] Conv3 { get; } = DenseModel.Values(3, C * C * 9);

    public float[] Dense { get; } = DenseModel.Values(4, 2 * C);

    public float[][] Gamma { get; } = [.. Enumerable.Range(0, 3).Select(n => DenseModel.Values(20 + n, C))];

    public float[][] Beta { get; } = [.. Enumerable.Range(0, 3).Select(n => DenseModel.Values(30 + n, C))];

    public float[][] Mean { get; } = [.. Enumerable.Range(0, 3).Select(n => DenseModel.Values(40 + n, C))];

    public float[][] Variance { get; } = [.. Enumerable.Range(0, 3).Select(n => Array.ConvertAll(DenseModel.Values(50 + n, C), v => v * v))];

    public long Pad { get; set; } = 1;

    public string Save(string path)
    {
        var model = new OnnxModelWriter().Input("image", 1, 3, 6, 6).Output("scores", 1, 2);
        Layer(model, 0, "image", "conv1", [C, 3, 3, 3], Conv1);
        model.Node("Relu", ["n0"], ["stream"]);
        Layer(model, 1, "stream", "conv2", [C, C, 3, 3], Conv2);
        model.Node("Relu", ["n1"], ["inner"]);
        Layer(model, 2, "inner", "conv3", [C, C, 3, 3], Conv3);
        model.Node("Add", ["stream", "n2"], ["sum"]).Node("Relu", ["sum"], ["out"]);
        model.Node("GlobalAveragePool", ["out"], ["mean"]).Node("Flatten", ["mean"], ["flat"]);
        model.Floats("dense", [C, 2], Dense).Node("MatMul", ["flat", "dense"], ["scores"]);
        return model.Save(path);
    }

    private void Layer(OnnxModelWriter model, int n, string input, string name, long[] dims, float[] weight)
    {
        model.Floats(name, dims, weight).Floats($"g{n}", [C], Gamma[n]).Floats($"e{n}", [C], Beta[n]).Floats($"m{n}", [C], Mean[n]).Floats($"v{n}", [C], Variance[n]);
        model.Node("Conv", [input, name], [$"c{n}"], ("kernel_shape", new long[] { 3, 3 }), ("pads", new[] { Pad, Pad, Pad, Pad }));
        model.Node("BatchNormalization", [$"c{n}", $"g{n}", $"e{n}", $"m{n}", $"v{n}"], [$"n{n}"], ("epsilon", 1e-5f));
    }
}
