using EquiNorm.Testing.Onnx;

namespace EquiNorm.Onnx.Tests;

/// <summary>Layers with random float64 parameters on top of <see cref="OnnxModelWriter"/>; values are numbered.</summary>
internal sealed class RandomModel(int seed, int opset = 17)
{
    private readonly Random _random = new(seed);
    private int _values;

    public OnnxModelWriter Writer { get; } = new() { Opset = opset };

    public string Value() => $"v{_values++}";

    public double[] Numbers(long count) => [.. Enumerable.Range(0, (int)count).Select(_ => _random.NextDouble() * 2 - 1)];

    public Array64 Input(params int[] dims) => new(dims, Numbers(dims.Aggregate(1, (a, b) => a * b)));

    public string Tensor(params long[] dims) => Tensor(Numbers(dims.Aggregate(1L, (a, b) => a * b)), dims);

    public string Tensor(double[] values, params long[] dims)
    {
        string name = "w" + Value();
        Writer.Doubles(name, dims, values);
        return name;
    }

    public string Shape(params long[] values)
    {
        string name = "s" + Value();
        Writer.Integers(name, [values.Length], values);
        return name;
    }

    public string Apply(string op, string[] inputs, params (string Name, object Value)[] attributes)
    {
        string result = Value();
        Writer.Node(op, inputs, [result], attributes);
        return result;
    }

    public string Conv(string x, long outputs, long inputs, long group = 1) =>
        Apply("Conv", [x, Tensor(outputs, inputs / group, 3, 3), Tensor(outputs)], ("group", group), ("pads", new long[] { 1, 1, 1, 1 }));

    public string Relu(string x) => Apply("Relu", [x]);

    public string Norm(string x, long channels) =>
        Apply("BatchNormalization", [x, Tensor(channels), Tensor(channels), Tensor(channels), Tensor([.. Numbers(channels).Select(v => v * v + 0.1)], channels)]);

    public string Linear(string x, long outputs, long inputs, string bias = "")
    {
        string y = Apply("MatMul", [x, Tensor(inputs, outputs)]);
        return bias.Length > 0 ? y : Apply("Add", [y, Tensor(outputs)]);
    }

    public string LayerNorm(string x, long channels) => Apply("LayerNormalization", [x, Tensor(channels), Tensor(channels)], ("axis", -1L));

    public string Gemm(string x, long outputs, long inputs) => Apply("Gemm", [x, Tensor(outputs, inputs), Tensor(outputs)], ("transB", 1L));
}
