namespace EquiNorm.Onnx.Tests;

/// <summary>Channels moved between axes, for <see cref="FunctionTests"/>; the input is [2, 3, 4, 4].</summary>
internal static class ShuffleNetworks
{
    public static readonly (string Name, int Free, Func<RandomModel, string> Body)[] All =
    [
        ("channel shuffle", 12, m => m.Conv(m.Relu(m.Conv(Shuffle(m, m.Relu(m.Conv("x", 6, 3)), 2, x => x), 6, 6, 3)), 2, 6)),
        ("channel shuffle with an activation inside", 12, m => m.Conv(m.Relu(m.Conv(Shuffle(m, m.Conv("x", 6, 3), 3, m.Relu), 6, 6, 3)), 2, 6)),
        ("channel shuffle back and forth", 6, m => m.Conv(Shuffle(m, Shuffle(m, m.Relu(m.Conv("x", 6, 3)), 3, x => x), 2, x => x), 2, 6)),
        ("channel shuffle of halves, by computed slices", 15, m =>
        {
            string x = m.Relu(m.Conv("x", 6, 3));
            string half = m.Apply("Div", [m.Apply("Gather", [m.Apply("Shape", [x]), m.Shape(1)]), m.Shape(2)]), axis = m.Shape(1);
            string whole = m.Apply("Mul", [half, m.Shape(2)]);
            string left = m.Apply("Slice", [x, m.Shape(0), half, axis]), right = m.Apply("Slice", [x, half, whole, axis]);
            string branch = m.Relu(m.Conv(right, 3, 3));
            x = Shuffle(m, m.Apply("Concat", [left, branch], ("axis", 1L)), 2, v => v);
            return m.Conv(m.Relu(m.Conv(x, 6, 6, 2)), 2, 6);
        }),
        ("channel shuffle over three axes", 8, m =>
        {
            string x = m.Apply("Reshape", [m.Relu(m.Conv("x", 8, 3)), m.Shape(2, 2, 2, 2, 16)]);
            x = m.Apply("Transpose", [x], ("perm", new long[] { 0, 3, 1, 2, 4 }));
            return m.Conv(m.Apply("Reshape", [x, m.Shape(0, 8, 4, 4)]), 2, 8);
        }),
        ("channels split and split again", 6, m =>
        {
            string x = m.Apply("Reshape", [m.Relu(m.Conv("x", 6, 3)), m.Shape(2, 2, 3, 16)]);
            x = m.Apply("Reshape", [x, m.Shape(2, 3, 2, 16)]);
            x = m.Apply("Transpose", [x], ("perm", new long[] { 0, 2, 1, 3 }));
            return m.Conv(m.Apply("Reshape", [x, m.Shape(2, 6, 4, 4)]), 2, 6);
        }),
        ("split channels read in three dimensions", 2, m =>
            m.Apply("Conv", [m.Apply("Reshape", [m.Relu(m.Conv("x", 6, 3)), m.Shape(2, 2, 3, 4, 4)]), m.Tensor(2, 2, 2, 3, 3)])),
        ("features as an image", 4, m => m.Conv(m.Apply("Reshape", [m.Relu(m.Gemm(m.Apply("Flatten", ["x"]), 64, 48)), m.Shape(2, 4, 4, 4)]), 2, 4)),
        ("features as an image, normalised", 9, m =>
        {
            string x = m.Apply("Reshape", [m.Gemm(m.Apply("Flatten", ["x"]), 64, 48), m.Shape(0, 4, 4, 4)]);
            x = m.Apply("ConvTranspose", [m.Relu(m.Norm(x, 4)), m.Tensor(4, 1, 2, 2), m.Tensor(1)]);
            return m.Conv(x, 2, 1);
        }),
        ("an image to features and back", 4, m =>
            m.Conv(m.Apply("Reshape", [m.Relu(m.Apply("Flatten", [m.Conv("x", 4, 3)])), m.Shape(2, 4, 4, 4)]), 2, 4)),
        ("pixel shuffle", 2, m => m.Conv(m.Relu(m.Apply("DepthToSpace", [m.Conv("x", 8, 3)], ("blocksize", 2L), ("mode", "CRD"))), 2, 2)),
        ("depth to space", 2, m => m.Conv(m.Relu(m.Apply("DepthToSpace", [m.Conv("x", 8, 3)], ("blocksize", 2L))), 2, 2)),
        ("space to depth", 4, m => m.Conv(m.Apply("SpaceToDepth", [m.Relu(m.Conv("x", 4, 3))], ("blocksize", 2L)), 2, 16)),
    ];

    private static string Shuffle(RandomModel m, string x, long groups, Func<string, string> inside)
    {
        x = inside(m.Apply("Reshape", [x, m.Shape(2, groups, -1, 4, 4)]));
        x = inside(m.Apply("Transpose", [x], ("perm", new long[] { 0, 2, 1, 3, 4 })));
        return m.Apply("Reshape", [x, m.Shape(0, -1, 4, 4)]);
    }
}
