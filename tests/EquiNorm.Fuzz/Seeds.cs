using System.Runtime.InteropServices;
using System.Text;
using EquiNorm.Onnx;
using EquiNorm.Description;
using EquiNorm.Testing.Onnx;
using EquiNorm.Testing.Safetensors;

namespace EquiNorm.Fuzz;

/// <summary>Small valid files of every kind that the readers know: what mutations begin with.</summary>
public static class Seeds
{
    /// <summary>All seeds of a target; the same on every run.</summary>
    public static IReadOnlyList<FuzzCase> Of(FuzzTarget target) => target switch
    {
        FuzzTarget.Onnx => [.. Models().Select(m => new FuzzCase(target, [("in.onnx", m.ToArray())])), External()],
        FuzzTarget.Safetensors => [.. Safetensors()],
        _ => [.. Descriptions().Select(d => new FuzzCase(target, [("in.json", d)]))],
    };

    private static IEnumerable<OnnxModelWriter> Models()
    {
        yield return Dense();
        yield return Residual();
        yield return Shapes();
        yield return Products();
        yield return TypedData();
        yield return Subgraph();
    }

    // Gemm with bias, MatMul with an addition behind it.
    private static OnnxModelWriter Dense() => new OnnxModelWriter().Input("x", -1, 4).Output("y", -1, 3)
        .Floats("w0", [6, 4], Values(24, 1)).Floats("b0", [6], Values(6, 2)).Floats("w1", [6, 5], Values(30, 3)).Floats("b1", [5], Values(5, 4)).Floats("w2", [5, 3], Values(15, 5))
        .Node("Gemm", ["x", "w0", "b0"], ["h0"], ("transB", 1L), ("alpha", 1f)).Node("Relu", ["h0"], ["a0"])
        .Node("MatMul", ["a0", "w1"], ["h1"]).Node("Add", ["h1", "b1"], ["i1"]).Node("LeakyRelu", ["i1"], ["a1"], ("alpha", 0.1f)).Node("MatMul", ["a1", "w2"], ["y"]);

    // Convolutions with normalisation, a depthwise one, an addition, a pool, a flatten.
    private static OnnxModelWriter Residual()
    {
        var model = new OnnxModelWriter().Input("x", 1, 3, 6, 6).Output("y", 1, 2);
        (string In, string Out, long[] Dims, long Group)[] layers = [("x", "c0", [4, 3, 3, 3], 1), ("s", "c1", [4, 1, 3, 3], 4), ("r1", "c2", [4, 4, 1, 1], 1)];
        for (int n = 0; n < layers.Length; n++)
        {
            var (from, to, dims, group) = layers[n];
            int count = (int)dims.Aggregate(1L, (a, b) => a * b);
            model.Floats($"w{n}", dims, Values(count, n)).Floats($"g{n}", [4], Values(4, n + 20)).Floats($"e{n}", [4], Values(4, n + 30)).Floats($"m{n}", [4], Values(4, n + 40))
                .Floats($"v{n}", [4], Array.ConvertAll(Values(4, n + 50), v => v * v + 0.1f));
            long pad = dims[2] / 2;
            model.Node("Conv", [from, $"w{n}"], [to], ("kernel_shape", new[] { dims[2], dims[3] }), ("pads", new[] { pad, pad, pad, pad }), ("group", group));
            model.Node("BatchNormalization", [to, $"g{n}", $"e{n}", $"m{n}", $"v{n}"], [$"n{n}"], ("epsilon", 1e-5f));
            if (n < 2)
            {
                model.Node("Relu", [$"n{n}"], [n == 0 ? "s" : "r1"]);
            }
        }

        return model.Node("Add", ["s", "n2"], ["sum"]).Node("Relu", ["sum"], ["t"])
            .Node("MaxPool", ["t"], ["p"], ("kernel_shape", new[] { 2L, 2L }), ("strides", new[] { 2L, 2L })).Node("Flatten", ["p"], ["f"])
            .Floats("d", [36, 2], Values(72, 9)).Node("MatMul", ["f", "d"], ["y"]).Shape("s", 1, 4, 6, 6).Shape("f", 1, 36);
    }

    // Everything that moves channels about.
    private static OnnxModelWriter Shapes() => new OnnxModelWriter().Input("x", 1, 2, 4, 4).Output("y", 1, 3)
        .Floats("w0", [8, 2, 1, 1], Values(16, 1)).Floats("w1", [4, 2, 2, 2], Values(32, 2)).Floats("w2", [6, 1, 3, 3], Values(54, 3)).Floats("w3", [14, 3], Values(42, 4))
        .Integers("shape", [5], 1, 2, 4, 4, 4).Integers("back", [4], 1, 8, 4, 4).Integers("halves", [2], 4, 4).Integers("starts", [1], 0).Integers("ends", [1], 2).Integers("axes", [1], 1)
        .Integers("pads", [8], 0, 0, 1, 1, 0, 0, 1, 1).Integers("flat", [2], 1, -1)
        .Node("Conv", ["x", "w0"], ["c0"]).Node("Relu", ["c0"], ["r0"])
        .Node("Reshape", ["r0", "shape"], ["s0"]).Node("Transpose", ["s0"], ["s1"], ("perm", new long[] { 0, 2, 1, 3, 4 })).Node("Reshape", ["s1", "back"], ["s2"])
        .Node("Split", ["s2", "halves"], ["p0", "p1"], ("axis", 1L)).Node("ConvTranspose", ["p0", "w1"], ["t0"], ("strides", new[] { 1L, 1L }), ("kernel_shape", new[] { 2L, 2L }), ("pads", new long[] { 0, 0, 1, 1 }))
        .Node("Concat", ["p1", "t0"], ["k0"], ("axis", 1L)).Node("Conv", ["k0", "w2"], ["c2"], ("group", 6L), ("kernel_shape", new[] { 3L, 3L })).Node("Relu", ["c2"], ["r2"])
        .Node("Slice", ["r0", "starts", "ends", "axes"], ["l0"]).Node("GlobalAveragePool", ["l0"], ["g0"]).Node("GlobalAveragePool", ["r2"], ["g2"]).Node("GlobalAveragePool", ["p1"], ["g1"])
        .Node("Concat", ["g0", "g2", "g1"], ["g"], ("axis", 1L)).Integers("squeezed", [2], 2, 3).Node("Squeeze", ["g", "squeezed"], ["q"]).Floats("w4", [12, 14], Values(168, 6))
        .Node("Pad", ["x", "pads"], ["padded"]).Node("MatMul", ["q", "w4"], ["u"]).Node("MatMul", ["u", "w3"], ["y"]);

    // Squeeze-excite, a constant operand, a depth-to-space.
    private static OnnxModelWriter Products() => new OnnxModelWriter().Input("x", 1, 3, 4, 4).Output("y", 1, 2, 8, 8)
        .Floats("w0", [4, 3, 1, 1], Values(12, 1)).Floats("w1", [4, 4, 1, 1], Values(16, 2)).Floats("w2", [8, 4, 1, 1], Values(32, 3)).Floats("scale", [4, 1, 1], Values(4, 4))
        .Node("Conv", ["x", "w0"], ["c0"]).Node("Relu", ["c0"], ["r0"]).Node("GlobalAveragePool", ["r0"], ["g"]).Node("Conv", ["g", "w1"], ["c1"]).Node("Sigmoid", ["c1"], ["e"])
        .Node("Mul", ["r0", "e"], ["m"]).Node("Mul", ["m", "scale"], ["n"]).Node("Conv", ["n", "w2"], ["c2"]).Node("DepthToSpace", ["c2"], ["y"], ("blocksize", 2L), ("mode", "CRD"));

    // Data in every field that a tensor may have, and in every type that is rescaled.
    private static OnnxModelWriter TypedData()
    {
        var model = new OnnxModelWriter().Input("x", -1, 2).Output("y", -1, 2);
        float[] values = Values(6, 1);
        model.Child(5, model.Header("packed", 1, 3, 2).Bytes(4, MemoryMarshal.AsBytes(values.AsSpan())));
        model.Child(5, values.Aggregate(model.Header("scattered", 1, 2, 3), (t, v) => t.Float(4, v)));
        model.Child(5, values.Aggregate(model.Header("doubles", 11, 3, 2), (t, v) => t.Double(10, v)));
        model.Child(5, model.Header("halves", 10, 2, 3).Packed(5, values.Select(v => (long)BitConverter.HalfToUInt16Bits((Half)v))));
        model.Child(5, model.Header("bfloats", 16, 3, 2).Packed(5, values.Select(v => (long)(BitConverter.SingleToUInt32Bits(v) >> 16))));
        model.Node("Constant", [], ["c"], ("value", model.Header("", 1, 2, 3).Bytes(9, MemoryMarshal.AsBytes(values.AsSpan()))));
        string value = "x";
        foreach (string weight in (string[])["packed", "scattered", "doubles", "halves", "bfloats", "c"])
        {
            model.Node("Gemm", [value, weight], [$"h_{weight}"], ("transB", 1L)).Node("Relu", [$"h_{weight}"], [value = $"a_{weight}"]);
        }

        model.Child(5, model.Header("text", 8, 1).Text(6, "hello"));
        return model.Floats("last", [2, 3], values).Node("MatMul", [value, "last"], ["y"]).Child(777, model.NewMessage().Text(1, "of a later version"));
    }

    private static OnnxModelWriter Subgraph()
    {
        var body = new OnnxModelWriter().Floats("inner", [2, 2], Values(4, 3)).Node("MatMul", ["a", "inner"], ["z"]).Output("z", -1, 2);
        return new OnnxModelWriter().Input("x", -1, 2).Input("c", 1).Output("y", -1, 2).Floats("w", [2, 2], Values(4, 1)).Floats("v", [2, 2], Values(4, 2))
            .Node("MatMul", ["x", "w"], ["h"]).Node("Relu", ["h"], ["a"]).Node("If", ["c"], ["i"], ("then_branch", body), ("else_branch", body)).Node("MatMul", ["i", "v"], ["y"]);
    }

    private static FuzzCase External()
    {
        var model = new OnnxModelWriter().Input("x", -1, 2).Output("y", -1, 3);
        model.Child(5, model.External("w0", 1, [4, 2], ("location", "weights.data"), ("offset", "0"), ("length", "32")));
        model.Child(5, model.External("w1", 1, [3, 4], ("location", "weights.data"), ("offset", "32"), ("length", "48"), ("checksum", "x")));
        model.Node("Gemm", ["x", "w0"], ["h"], ("transB", 1L)).Node("Relu", ["h"], ["a"]).Node("Gemm", ["a", "w1"], ["y"], ("transB", 1L));
        return new FuzzCase(FuzzTarget.Onnx, [("in.onnx", model.ToArray()), ("weights.data", MemoryMarshal.AsBytes(Values(20, 1).AsSpan()).ToArray())]);
    }

    private static IEnumerable<FuzzCase> Safetensors()
    {
        foreach (string type in (string[])["F32", "F16", "BF16", "F64"])
        {
            yield return new FuzzCase(FuzzTarget.Safetensors, [("in.safetensors", Tensors(type, 0, 5).ToArray()), (FuzzCase.Description, Network(type))]);
        }

        string index = """{"metadata":{"total_size":1},"weight_map":{"conv":"part0.safetensors","gamma":"part0.safetensors","steps":"part0.safetensors","beta":"part1.safetensors","fc":"part1.safetensors"}}""";
        yield return new FuzzCase(FuzzTarget.Safetensors,
        [
            ("in.safetensors.index.json", Encoding.UTF8.GetBytes(index)), ("part0.safetensors", Tensors("F32", 0, 3).ToArray()),
            ("part1.safetensors", Tensors("F32", 3, 5).ToArray()), (FuzzCase.Description, Network("F32")),
        ]);
    }

    private static SafetensorsBuilder Tensors(string type, int first, int end)
    {
        var builder = new SafetensorsBuilder().Metadata("format", "pt").Metadata("note", "x");
        var all = new List<(string Name, string Type, long[] Shape, byte[] Bytes)>
        {
            ("conv", type, [4, 2, 3], Encode(24, 1)),
            ("gamma", type, [4], Encode(4, 2)),
            ("steps", "I64", [], new byte[8]),
            ("beta", type, [4], Encode(4, 3)),
            ("fc", type, [2, 8], Encode(16, 4)),
        };
        all[first..end].ForEach(t => builder.Add(t.Name, t.Type, t.Shape, t.Bytes));
        return builder;

        byte[] Encode(int count, int seed) => SafetensorsBuilder.Encode(type, Array.ConvertAll(Values(count, seed), v => (double)v));
    }

    private static byte[] Network(string type) => Encoding.UTF8.GetBytes("""
        { "format": "equinorm-network", "version": 1,
          "axes": [ { "name": "x", "channels": 2, "pinned": "input" }, { "name": "c", "channels": 4 }, { "name": "h", "channels": 4 }, { "name": "y", "channels": 2, "pinned": "output" } ],
          "weights": [
            { "name": "conv", "type": "TYPE", "shape": [4, 2, 3], "output": "c", "input": "x" },
            { "name": "gamma", "type": "TYPE", "kind": "diagonal", "shape": [4], "output": "h", "input": "c" },
            { "name": "beta", "type": "TYPE", "kind": "bias", "shape": [4], "output": "h" },
            { "name": "fc", "type": "TYPE", "shape": [2, 8], "output": "y", "input": "h" } ] }
        """.Replace("TYPE", type switch { "F64" => "float64", "F16" => "float16", "BF16" => "bfloat16", _ => "float32" }, StringComparison.Ordinal));

    private static IEnumerable<byte[]> Descriptions()
    {
        yield return Network("F32");
        yield return Encoding.UTF8.GetBytes("""
            { "format": "equinorm-network", "version": 1,
              "axes": [ { "name": "x", "channels": 4 }, { "name": "a", "channels": 6 }, { "name": "b", "channels": 6, "pinned": "why" } ],
              "ties": [ ["a", "b"], [["x"], [{ "axis": "a", "start": 2, "count": 4 }]] ],
              "weights": [
                { "name": "w", "type": "float32", "shape": [6, 20], "order": "output-input", "strides": [20, 1], "offset": 3, "output": "a", "input": "x" },
                { "name": "c", "type": "float64", "shape": [2, 3, 3, 1], "groups": 2, "order": "input-output", "output": ["b"], "input": [{ "axis": "a", "start": 1, "count": 2 }] },
                { "name": "k", "type": "float64", "shape": [2, 3, 1, 5], "order": "group-output-input", "strides": [15, 5, 5, 1], "output": "b", "input": [{ "axis": "a", "start": 1, "count": 2 }] },
                { "name": "g", "type": "float16", "kind": "diagonal", "shape": [6], "output": "b", "input": "a", "height": 3 },
                { "name": "d", "type": "bfloat16", "kind": "bias", "shape": [4, 2], "output": "x" } ] }
            """);

        // What describe writes for the models above.
        string path = Path.GetTempFileName();
        foreach (var model in Models())
        {
            File.WriteAllBytes(path, model.ToArray());
            using var opened = OnnxModel.Open(path);
            using var onnx = opened.Analyze(new OnnxOptions { Normalization = NormalizationHandling.Scale });
            using var text = new MemoryStream();
            NetworkDescription.Write(onnx.Network, text, new DescriptionOptions { Shapes = onnx.Shapes });
            yield return text.ToArray();
        }

        File.Delete(path);
    }

    private static float[] Values(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() * 0.9f + 0.1f) * (random.Next(2) * 2 - 1))];
    }
}
