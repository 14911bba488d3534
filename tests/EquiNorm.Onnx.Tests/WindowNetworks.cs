namespace EquiNorm.Onnx.Tests;

/// <summary>Convolutions of every dimension, both directions and all groupings, for <see cref="FunctionTests"/>; the input is [2, 3, 4, 4].</summary>
internal static class WindowNetworks
{
    private static readonly long[] Two = [2, 2];
    private static readonly long[] One = [1, 1, 1, 1];

    public static readonly (string Name, int Free, Func<RandomModel, string> Body)[] All =
    [
        ("transposed convolution", 9, m =>
        {
            string x = m.Relu(m.Conv("x", 4, 3));
            x = m.Relu(Transposed(m, x, 5, 4, 1, ("strides", Two), ("pads", One), ("output_padding", new long[] { 1, 0 })));
            return Transposed(m, x, 2, 5, 1, ("strides", Two), ("dilations", new long[] { 1, 2 }));
        }),
        ("transposed convolution with groups", 10, m => m.Conv(m.Relu(Transposed(m, m.Relu(m.Conv("x", 4, 3)), 6, 4, 2)), 2, 6)),
        ("transposed convolution, depthwise", 8, m => m.Conv(m.Relu(Transposed(m, m.Relu(m.Conv("x", 4, 3)), 4, 4, 4, ("strides", Two))), 2, 4)),
        ("transposed convolution, one output in a group", 6, m => m.Conv(m.Relu(Transposed(m, m.Relu(m.Conv("x", 4, 3)), 2, 4, 2)), 2, 2)),
        ("transposed convolution, one input in a group", 12, m => m.Conv(m.Relu(Transposed(m, m.Relu(m.Conv("x", 4, 3)), 8, 4, 4)), 2, 8)),
        ("transposed convolution with normalisation", 9, m => m.Conv(m.Relu(m.Norm(Transposed(m, m.Relu(m.Conv("x", 4, 3)), 5, 4, 1), 5)), 2, 5)),
        ("transposed convolution with groups, without bias, with normalisation", 10, m =>
            m.Conv(m.Relu(m.Norm(m.Apply("ConvTranspose", [m.Relu(m.Conv("x", 4, 3)), m.Tensor(4, 3, 2, 2)], ("group", 2L)), 6)), 2, 6)),
        ("transposed convolution with a shared weight", 4, m =>
        {
            string w = m.Tensor(4, 4, 2, 2), x = m.Relu(m.Conv("x", 4, 3));
            x = m.Relu(m.Apply("ConvTranspose", [x, w, m.Tensor(4)]));
            return m.Conv(m.Relu(m.Apply("ConvTranspose", [x, w, m.Tensor(4)])), 2, 4);
        }),
        ("one weight in both directions", 5, m =>
        {
            string w = m.Tensor(4, 3, 2, 2), x = m.Conv(m.Relu(m.Conv("x", 5, 3)), 3, 5);
            return m.Conv(m.Apply("ConvTranspose", [m.Relu(m.Apply("Conv", [x, w])), w]), 2, 3);
        }),
        ("strides, dilations and pools", 9, m =>
        {
            string x = m.Relu(m.Apply("Conv", ["x", m.Tensor(4, 3, 2, 3), m.Tensor(4)], ("pads", new long[] { 1, 0, 2, 3 }), ("dilations", new long[] { 2, 1 })));
            x = m.Apply("AveragePool", [x], ("kernel_shape", Two), ("pads", One));
            x = m.Relu(m.Apply("Conv", [x, m.Tensor(5, 4, 2, 2)], ("strides", new long[] { 2, 1 })));
            return m.Gemm(m.Apply("Flatten", [m.Apply("GlobalMaxPool", [x])]), 2, 5);
        }),
        ("u-net", 9, m =>
        {
            string a = m.Relu(m.Norm(m.Conv("x", 4, 3), 4));
            string b = m.Relu(m.Conv(m.Apply("MaxPool", [a], ("kernel_shape", Two), ("strides", Two)), 3, 4));
            string up = m.Apply("ConvTranspose", [b, m.Tensor(3, 2, 2, 2), m.Tensor(2)], ("strides", Two));
            return m.Conv(m.Apply("Concat", [up, a], ("axis", 1L)), 2, 6);
        }),
        ("one dimension, both directions", 15, m =>
        {
            string x = m.Apply("Reshape", ["x", m.Shape(2, 3, 16)]);
            x = m.Relu(m.Norm(m.Apply("Conv", [x, m.Tensor(4, 3, 3), m.Tensor(4)], ("strides", new long[] { 2 })), 4));
            x = m.Apply("MaxPool", [x], ("kernel_shape", new long[] { 2 }));
            x = m.Relu(m.Norm(m.Apply("ConvTranspose", [x, m.Tensor(4, 3, 3), m.Tensor(6)], ("group", 2L), ("strides", new long[] { 2 })), 6));
            x = m.Apply("AveragePool", [x], ("kernel_shape", new long[] { 3 }));
            x = m.Relu(m.Apply("Conv", [x, m.Tensor(5, 6, 1)]));
            return m.Gemm(m.Apply("Flatten", [m.Apply("GlobalAveragePool", [x])]), 2, 5);
        }),
        ("three dimensions, both directions", 15, m =>
        {
            string x = m.Apply("Reshape", ["x", m.Shape(2, 3, 4, 2, 2)]);
            x = m.Relu(m.Norm(m.Apply("Conv", [x, m.Tensor(4, 3, 3, 2, 1), m.Tensor(4)], ("pads", new long[] { 1, 1, 1, 1, 1, 1 })), 4));
            x = m.Apply("MaxPool", [x], ("kernel_shape", new long[] { 2, 2, 1 }), ("strides", new long[] { 2, 1, 1 }));
            x = m.Relu(m.Norm(m.Apply("ConvTranspose", [x, m.Tensor(4, 3, 2, 2, 2), m.Tensor(6)], ("group", 2L), ("strides", new long[] { 1, 2, 1 })), 6));
            x = m.Apply("AveragePool", [x], ("kernel_shape", new long[] { 1, 2, 2 }));
            x = m.Relu(m.Apply("Conv", [x, m.Tensor(5, 6, 1, 1, 1)]));
            return m.Gemm(m.Apply("Flatten", [m.Apply("GlobalAveragePool", [x])]), 2, 5);
        }),
    ];

    private static string Transposed(RandomModel m, string x, long outputs, long inputs, long groups, params (string Name, object Value)[] attributes) =>
        m.Apply("ConvTranspose", [x, m.Tensor(inputs, outputs / groups, 3, 2), m.Tensor(outputs)], [("group", groups), .. attributes]);
}
