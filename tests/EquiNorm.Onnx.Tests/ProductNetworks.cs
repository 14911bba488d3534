namespace EquiNorm.Onnx.Tests;

/// <summary>Products of activations and gates, for <see cref="FunctionTests"/>; the input is [2, 3, 4, 4].</summary>
internal static class ProductNetworks
{
    public static readonly (string Name, int Free, Func<RandomModel, string> Body)[] All =
    [
        ("squeeze and excitation", 7, m =>
        {
            string x = m.Relu(m.Norm(m.Conv("x", 4, 3), 4));
            return m.Conv(m.Apply("Mul", [x, m.Apply("HardSigmoid", [Excitation(m, x)])]), 2, 4);
        }),
        ("squeeze and excitation of a depthwise convolution, gate first", 15, m =>
        {
            string x = m.Relu(m.Norm(m.Conv("x", 4, 3), 4));
            x = m.Relu(m.Norm(m.Conv(x, 4, 4, 4), 4));
            x = m.Apply("Mul", [m.Apply("Sigmoid", [Excitation(m, x)]), x]);
            return m.Conv(m.Relu(m.Conv(x, 4, 4)), 2, 4);
        }),
        ("excitation without a sigmoid", 7, m =>
        {
            string x = m.Relu(m.Conv("x", 4, 3));
            return m.Conv(m.Apply("Mul", [x, m.Relu(Excitation(m, x))]), 2, 4);
        }),
        ("silu", 5, m => m.Conv(m.Relu(m.Conv(Silu(m, m.Conv("x", 4, 3)), 5, 4)), 2, 5)),
        ("hard swish", 5, m => m.Conv(m.Relu(m.Conv(m.Apply("HardSwish", [m.Conv("x", 4, 3)]), 5, 4)), 2, 5)),
        ("hard swish in parts", 5, m =>
        {
            string x = m.Conv("x", 4, 3);
            string gate = m.Apply("Div", [m.Apply("Clip", [m.Apply("Add", [x, m.Tensor([3.0])]), m.Tensor([0.0]), m.Tensor([6.0])]), m.Tensor([6.0])]);
            return m.Conv(m.Relu(m.Conv(m.Apply("Mul", [x, gate]), 5, 4)), 2, 5);
        }),
        ("gelu", 5, m =>
        {
            string x = m.Conv("x", 4, 3);
            string gate = m.Apply("Add", [m.Apply("Erf", [m.Apply("Div", [x, m.Tensor([1.4142135])])]), m.Tensor([1.0])]);
            return m.Conv(m.Relu(m.Conv(m.Apply("Mul", [m.Apply("Mul", [x, gate]), m.Tensor([0.5])]), 5, 4)), 2, 5);
        }),
        ("two free operands", 4, m => m.Conv(m.Apply("Mul", [m.Relu(m.Conv("x", 4, 3)), m.Conv("x", 4, 3)]), 2, 4)),
        ("two halves", 3, m =>
        {
            string[] parts = [m.Value(), m.Value()];
            m.Writer.Node("Split", [m.Conv("x", 6, 3)], parts, ("axis", 1L));
            return m.Conv(m.Apply("Mul", parts), 2, 3);
        }),
        ("one channel times many", 4, m => m.Conv(m.Apply("Mul", [m.Relu(m.Conv("x", 1, 3)), m.Conv("x", 4, 3)]), 2, 4)),
        ("a pinned operand", 4, m =>
        {
            string gate = m.Conv("x", 4, 3), x = m.Conv("x", 4, 3);
            string pinned = m.Apply("Sigmoid", [gate]);
            return m.Apply("Add", [m.Conv(m.Apply("Mul", [x, gate]), 2, 4), m.Conv(pinned, 2, 4)]);
        }),
        ("a pinned operand, second", 4, m =>
        {
            string x = m.Conv("x", 4, 3), gate = m.Conv("x", 4, 3);
            string pinned = m.Apply("Sigmoid", [gate]);
            return m.Apply("Add", [m.Conv(m.Apply("Mul", [gate, x]), 2, 4), m.Conv(pinned, 2, 4)]);
        }),
        ("a product that is tied to its operands later", 3, m =>
        {
            string a = m.Conv("x", 4, 3), b = m.Conv("x", 4, 3);
            string product = m.Apply("Mul", [m.Relu(a), b]);
            return m.Conv(m.Relu(m.Conv(m.Apply("Add", [m.Apply("Add", [product, a]), b]), 3, 4)), 2, 3);
        }),
        ("a product whose pinned operand depends on the options", 8, m =>
        {
            string a = m.Conv("x", 4, 3), b = m.Conv("x", 4, 3);
            string normal = m.Relu(m.Norm(a, 4));
            return m.Apply("Add", [m.Conv(m.Apply("Mul", [a, b]), 2, 4), m.Conv(normal, 2, 4)]);
        }),
        ("a square", 3, m =>
        {
            string x = m.Conv("x", 4, 3);
            return m.Conv(m.Relu(m.Conv(m.Apply("Mul", [x, x]), 3, 4)), 2, 3);
        }),
        ("division by a pinned activation", 4, m =>
        {
            string x = m.Conv("x", 4, 3), d = m.Conv("x", 4, 3);
            string pinned = m.Apply("Sigmoid", [d]);
            return m.Apply("Add", [m.Conv(m.Apply("Div", [x, d]), 2, 4), m.Conv(pinned, 2, 4)]);
        }),
    ];

    private static string Silu(RandomModel m, string x) => m.Apply("Mul", [x, m.Apply("Sigmoid", [x])]);

    private static string Excitation(RandomModel m, string x)
    {
        string squeezed = m.Apply("GlobalAveragePool", [x]);
        string hidden = m.Relu(m.Apply("Conv", [squeezed, m.Tensor(3, 4, 1, 1), m.Tensor(3)]));
        return m.Apply("Conv", [hidden, m.Tensor(4, 3, 1, 1), m.Tensor(4)]);
    }
}
