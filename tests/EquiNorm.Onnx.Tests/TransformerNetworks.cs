namespace EquiNorm.Onnx.Tests;

/// <summary>Attention, gated layers and normalisations by the activation's own statistics, for <see cref="FunctionTests"/>; the input is [2, 3, 4, 4].</summary>
internal static class TransformerNetworks
{
    private const long Batch = 2, Tokens = 16, Width = 8;

    public static readonly (string Name, int Free, Func<RandomModel, string> Body)[] All =
    [
        // Values: 8 channels. Queries and keys: 8. The stream is the input's, unscaled.
        ("attention", 16, m => m.Linear(Attention(m, Stream(m, pinned: true), 4, 4, []), 3, 8)),
        ("attention with one head", 16, m => m.Linear(Attention(m, Stream(m, pinned: true), 1, 1, []), 3, 8)),
        ("attention without biases", 16, m => m.Linear(Attention(m, Stream(m, pinned: true), 2, 2, ["no bias"]), 3, 8)),
        ("grouped-query attention", 8, m => m.Linear(Attention(m, Stream(m, pinned: true), 4, 2, []), 3, 8)),
        ("grouped-query attention, heads gathered", 8, m => m.Linear(Attention(m, Stream(m, pinned: true), 4, 2, ["gather"]), 3, 8)),
        ("multi-query attention", 4, m => m.Linear(Attention(m, Stream(m, pinned: true), 4, 1, []), 3, 8)),
        ("multi-query attention, heads tiled", 4, m => m.Linear(Attention(m, Stream(m, pinned: true), 4, 1, ["tile"]), 3, 8)),
        ("multi-query attention by broadcast", 4, m => m.Linear(Attention(m, Stream(m, pinned: true), 4, 1, ["broadcast"]), 3, 8)),

        // A rotary embedding ties the two channels of a pair.
        ("rotary attention", 12, m => m.Linear(Attention(m, Stream(m, pinned: true), 2, 2, ["rotary"]), 3, 8)),
        ("rotary attention, neighbours", 12, m => m.Linear(Attention(m, Stream(m, pinned: true), 2, 2, ["interleaved"]), 3, 8)),
        ("rotary grouped-query attention", 6, m => m.Linear(Attention(m, Stream(m, pinned: true), 4, 2, ["rotary"]), 3, 8)),
        ("partly rotary attention", 14, m => m.Linear(Attention(m, Stream(m, pinned: true), 2, 2, ["partly rotary"]), 3, 8)),
        ("attention with a scale and a mask", 16, m => m.Linear(Attention(m, Stream(m, pinned: true), 2, 2, ["scale", "mask"]), 3, 8)),

        // A stream that is free ties what its weights read; keys cannot have reciprocals then.
        ("attention on free channels", 16, m => m.Linear(Attention(m, Stream(m, pinned: false), 2, 2, []), 3, 8)),
        ("cross attention, free queries", 8 + 8 + 8, m => m.Linear(Attention(m, Stream(m, pinned: false), 2, 2, [], Stream(m, pinned: true)), 3, 8)),
        ("cross attention, free keys", 8 + 8 + 8, m => m.Linear(Attention(m, Stream(m, pinned: true), 2, 2, [], Stream(m, pinned: false)), 3, 8)),
        ("cross attention, both free", 8 + 8 + 8, m => m.Linear(Attention(m, Stream(m, pinned: false), 2, 2, [], Stream(m, pinned: false)), 3, 8)),
        ("queries that are keys", 8, m =>
        {
            string x = Stream(m, pinned: true), q = Heads(m, m.Linear(x, 8, 8), 2), v = Heads(m, m.Linear(x, 8, 8), 2);
            return m.Linear(Merge(m, m.Apply("MatMul", [Softmax(m, m.Apply("MatMul", [q, Swap(m, q)])), v]), 8), 3, 8);
        }),
        ("packed projection", 8, m => m.Linear(Packed(m, Stream(m, pinned: true), 2, "split"), 3, 8)),
        ("packed projection, parts gathered", 8, m => m.Linear(Packed(m, Stream(m, pinned: true), 2, "gather"), 3, 8)),
        ("heads in the batch", 16, m => m.Linear(HeadsInBatch(m, Stream(m, pinned: true), 2), 3, 8)),
        ("normalised queries and keys", 8 + 8, m =>
        {
            string x = Stream(m, pinned: true);
            string q = m.LayerNorm(Heads(m, m.Linear(x, 8, 8), 1), 8), k = m.LayerNorm(Heads(m, m.Linear(x, 8, 8), 1), 8), v = Heads(m, m.Linear(x, 8, 8), 1);
            return m.Linear(Merge(m, m.Apply("MatMul", [Softmax(m, m.Apply("MatMul", [q, Swap(m, k)])), v]), 8), 3, 8);
        }),
        ("linear attention", 8, m =>
        {
            string x = Stream(m, pinned: true);
            string q = Heads(m, m.Linear(x, 8, 8), 2), k = Heads(m, m.Linear(x, 8, 8), 2), v = Heads(m, m.Linear(x, 8, 8), 2);
            string state = m.Apply("MatMul", [Swap(m, m.Apply("Sigmoid", [k])), v]);
            return m.Linear(Merge(m, m.Apply("MatMul", [m.Apply("Sigmoid", [q]), state]), 8), 3, 8);
        }),

        ("layer normalisation", 8 + 5, m => m.Linear(m.Relu(m.Linear(m.LayerNorm(Stream(m, pinned: false), 8), 5, 8)), 3, 5)),
        ("rms normalisation", 8 + 5, m => m.Linear(m.Relu(m.Linear(m.Apply("SimplifiedLayerNormalization", [Stream(m, pinned: false), m.Tensor(8)], ("axis", -1L)), 5, 8)), 3, 5)),
        ("layer normalisation written out", 8 + 5, m => m.Linear(m.Relu(m.Linear(WrittenOut(m, Stream(m, pinned: false), true), 5, 8)), 3, 5)),
        ("rms normalisation written out", 8 + 5, m => m.Linear(m.Relu(m.Linear(WrittenOut(m, Stream(m, pinned: false), false), 5, 8)), 3, 5)),
        ("instance normalisation", 3 + 4, m => m.Conv(m.Relu(m.Conv(m.Apply("InstanceNormalization", ["x", m.Tensor(3), m.Tensor(3)]), 4, 3)), 2, 4)),
        ("a gain with a second reader that blocks", 5, m =>
        {
            string x = m.LayerNorm(Stream(m, pinned: false), 8);
            return m.Apply("Add", [m.Linear(m.Relu(m.Linear(x, 5, 8)), 3, 5), m.Linear(m.Apply("Tanh", [x]), 3, 8)]);
        }),
        ("gated layer", 8 + 6, m =>
        {
            string x = m.LayerNorm(Stream(m, pinned: false), 8);
            string gate = m.Linear(x, 6, 8), up = m.Linear(x, 6, 8);
            return m.Linear(m.Apply("Mul", [m.Apply("Mul", [gate, m.Apply("Sigmoid", [gate])]), up]), 3, 6);
        }),
        ("router and experts", 8 + 6 + 6, m =>
        {
            string x = m.LayerNorm(Stream(m, pinned: false), 8), router = Softmax(m, m.Linear(x, 2, 8)), sum = "";
            for (int e = 0; e < 2; e++)
            {
                string gate = m.Linear(x, 6, 8), up = m.Linear(x, 6, 8);
                string y = m.Linear(m.Apply("Mul", [m.Apply("Mul", [gate, m.Apply("Sigmoid", [gate])]), up]), 3, 6);
                y = m.Apply("Mul", [y, m.Apply("Slice", [router, m.Shape(e), m.Shape(e + 1), m.Shape(2)])]);
                sum = e == 0 ? y : m.Apply("Add", [sum, y]);
            }

            return sum;
        }),
        ("transformer block", 8 + 8 + 8 + 6 + 8, m =>
        {
            string x = Stream(m, pinned: false);
            x = m.Apply("Add", [x, m.Linear(Attention(m, m.LayerNorm(x, 8), 4, 4, ["rotary", "scale"]), 8, 8)]);
            string y = WrittenOut(m, x, false), gate = m.Linear(y, 6, 8), up = m.Linear(y, 6, 8);
            x = m.Apply("Add", [x, m.Linear(m.Apply("Mul", [m.Apply("Mul", [gate, m.Apply("Sigmoid", [gate])]), up]), 8, 6)]);
            return m.Linear(m.Apply("SimplifiedLayerNormalization", [x, m.Tensor(8)], ("axis", -1L)), 3, 8, "no bias");
        }),
        ("normalisation behind the sum", 8 + 8, m =>
        {
            string x = Stream(m, pinned: true);
            x = m.LayerNorm(m.Apply("Add", [x, m.Linear(Attention(m, x, 2, 2, []), 8, 8)]), 8);
            x = m.LayerNorm(m.Apply("Add", [x, m.Linear(m.Apply("Tanh", [m.Linear(x, 5, 8)]), 8, 5)]), 8);
            return m.Apply("Tanh", [x]);
        }),
        ("transposed weights", 8 + 5, m =>
        {
            string x = m.LayerNorm(Stream(m, pinned: false), 8);
            x = m.Relu(m.Apply("Add", [m.Apply("MatMul", [x, m.Apply("Transpose", [m.Tensor(5, 8)], ("perm", new long[] { 1, 0 }))]), m.Tensor(5)]));
            return m.Apply("MatMul", [x, m.Apply("Transpose", [m.Tensor(3, 5)])]);
        }),
        ("transposed weight, read elsewhere, too", 5, m =>
        {
            string w = m.Tensor(5, 8), x = m.LayerNorm(Stream(m, pinned: false), 8);
            string y = m.Apply("MatMul", [m.Apply("Tanh", [x]), m.Apply("Transpose", [w])]);
            string z = m.Relu(m.Linear(x, 5, 8));
            return m.Apply("Add", [m.Linear(z, 3, 5), m.Linear(m.Apply("Add", [y, m.Apply("Reshape", [m.Apply("Gather", [w, m.Shape(2)], ("axis", 1L)), m.Shape(1, 5)])]), 3, 5)]);
        }),
    ];

    // [2, 3, 4, 4] -> [2, 16, 8], of free channels or of channels that are pinned by what made them.
    private static string Stream(RandomModel m, bool pinned)
    {
        string x = m.Apply("Transpose", [m.Apply("Reshape", ["x", m.Shape(0, 3, -1)])], ("perm", new long[] { 0, 2, 1 }));
        x = m.Linear(x, Width, 3);
        return pinned ? m.Apply("Tanh", [x]) : x;
    }

    private static string Attention(RandomModel m, string x, long heads, long keyHeads, string[] how, string? other = null)
    {
        string bias = how.Contains("no bias") ? "no bias" : "";
        long size = Width / heads;
        string q = Heads(m, m.Linear(x, Width, Width, bias), heads);
        string k = Heads(m, m.Linear(other ?? x, keyHeads * size, Width, bias), keyHeads), v = Heads(m, m.Linear(other ?? x, keyHeads * size, Width, bias), keyHeads);
        if (how.Any(h => h is "rotary" or "interleaved" or "partly rotary"))
        {
            (q, k) = (Rotate(m, q, heads, size, how), Rotate(m, k, keyHeads, size, how));
        }

        if (heads != keyHeads && !how.Contains("broadcast"))
        {
            (k, v) = (Repeat(m, k, heads, keyHeads, size, how), Repeat(m, v, heads, keyHeads, size, how));
        }

        string scores = m.Apply("MatMul", [how.Contains("scale") ? m.Apply("Mul", [q, m.Tensor([0.5])]) : q, Swap(m, k)]);
        scores = how.Contains("scale") ? m.Apply("Div", [scores, m.Tensor([1.5])]) : scores;
        scores = how.Contains("mask") ? m.Apply("Add", [scores, m.Tensor(1, 1, Tokens, Tokens)]) : scores;
        return Merge(m, m.Apply("MatMul", [Softmax(m, scores), v]), Width);
    }

    private static string Heads(RandomModel m, string x, long heads) =>
        m.Apply("Transpose", [m.Apply("Reshape", [x, m.Shape(0, 0, heads, -1)])], ("perm", new long[] { 0, 2, 1, 3 }));

    private static string Merge(RandomModel m, string x, long width) =>
        m.Apply("Reshape", [m.Apply("Transpose", [x], ("perm", new long[] { 0, 2, 1, 3 })), m.Shape(0, 0, width)]);

    private static string Swap(RandomModel m, string x) => m.Apply("Transpose", [x], ("perm", new long[] { 0, 1, 3, 2 }));

    private static string Softmax(RandomModel m, string x) => m.Apply("Softmax", [x], ("axis", -1L));

    private static string Repeat(RandomModel m, string x, long heads, long keyHeads, long size, string[] how)
    {
        if (how.Contains("gather"))
        {
            return m.Apply("Gather", [x, m.Shape([.. Enumerable.Range(0, (int)heads).Select(h => h * keyHeads / heads)])], ("axis", 1L));
        }

        if (how.Contains("tile"))
        {
            return m.Apply("Tile", [x, m.Shape(1, heads / keyHeads, 1, 1)]);
        }

        x = m.Apply("Unsqueeze", [x, m.Shape(2)]);
        x = m.Apply("Expand", [x, m.Shape(Batch, keyHeads, heads / keyHeads, Tokens, size)]);
        return m.Apply("Reshape", [x, m.Shape(Batch, heads, Tokens, size)]);
    }

    // x cos + rotated(x) sin, of halves, of neighbours, or of the first two channels only.
    private static string Rotate(RandomModel m, string x, long heads, long size, string[] how)
    {
        if (how.Contains("partly rotary"))
        {
            string turned = Rotate(m, Cut(m, x, 0, 2, 1), heads, 2, ["rotary"]);
            return m.Apply("Concat", [turned, Cut(m, x, 2, size, 1)], ("axis", -1L));
        }

        string rotated;
        if (how.Contains("interleaved"))
        {
            string even = m.Apply("Neg", [Cut(m, x, 1, size, 2)]), odd = Cut(m, x, 0, size, 2);
            rotated = m.Apply("Concat", [m.Apply("Unsqueeze", [even, m.Shape(-1)]), m.Apply("Unsqueeze", [odd, m.Shape(-1)])], ("axis", -1L));
            rotated = m.Apply("Reshape", [rotated, m.Shape(0, heads, 0, size)]);
        }
        else
        {
            rotated = m.Apply("Concat", [m.Apply("Neg", [Cut(m, x, size / 2, size, 1)]), Cut(m, x, 0, size / 2, 1)], ("axis", -1L));
        }

        string cos = m.Tensor(1, 1, Tokens, size), sin = m.Tensor(1, 1, Tokens, size);
        return m.Apply("Add", [m.Apply("Mul", [x, cos]), m.Apply("Mul", [rotated, sin])]);
    }

    private static string Cut(RandomModel m, string x, long start, long end, long step) =>
        m.Apply("Slice", [x, m.Shape(start), m.Shape(end), m.Shape(-1), m.Shape(step)]);

    private static string Packed(RandomModel m, string x, long heads, string how)
    {
        string all = m.Linear(x, 3 * Width, Width);
        string[] parts = [m.Value(), m.Value(), m.Value()];
        if (how == "gather")
        {
            all = m.Apply("Transpose", [m.Apply("Reshape", [all, m.Shape(Batch, Tokens, 3, heads, -1)])], ("perm", new long[] { 2, 0, 3, 1, 4 }));
            for (int p = 0; p < 3; p++)
            {
                m.Writer.Integers($"i{p}", [], p);
                m.Writer.Node("Gather", [all, $"i{p}"], [parts[p]], ("axis", 0L));
            }
        }
        else
        {
            m.Writer.Node("Split", [all], parts, ("axis", -1L));
            parts = [.. parts.Select(p => Heads(m, p, heads))];
        }

        return Merge(m, m.Apply("MatMul", [Softmax(m, m.Apply("MatMul", [parts[0], Swap(m, parts[1])])), parts[2]]), Width);
    }

    // torch's MultiheadAttention: [tokens, batch, width] -> [tokens, batch * heads, size] -> [batch * heads, tokens, size].
    private static string HeadsInBatch(RandomModel m, string x, long heads)
    {
        x = m.Apply("Transpose", [x], ("perm", new long[] { 1, 0, 2 }));
        string Head() => m.Apply("Transpose", [m.Apply("Reshape", [m.Linear(x, Width, Width), m.Shape(Tokens, Batch * heads, Width / heads)])], ("perm", new long[] { 1, 0, 2 }));
        string q = Head(), k = m.Apply("Transpose", [Head()], ("perm", new long[] { 0, 2, 1 })), v = Head();
        string y = m.Apply("MatMul", [Softmax(m, m.Apply("MatMul", [q, k])), v]);
        y = m.Apply("Reshape", [m.Apply("Transpose", [y], ("perm", new long[] { 1, 0, 2 })), m.Shape(Tokens, Batch, Width)]);
        return m.Apply("Transpose", [y], ("perm", new long[] { 1, 0, 2 }));
    }

    private static string WrittenOut(RandomModel m, string x, bool centred)
    {
        if (centred)
        {
            x = m.Apply("Sub", [x, m.Apply("ReduceMean", [x], ("axes", new long[] { -1 }))]);
            string root = m.Apply("Sqrt", [m.Apply("Add", [Mean(m, x), m.Tensor([1e-5])])]);
            return m.Apply("Add", [m.Apply("Mul", [m.Apply("Div", [x, root]), m.Tensor(8)]), m.Tensor(8)]);
        }

        string inverse = m.Apply("Reciprocal", [m.Apply("Sqrt", [m.Apply("Add", [Mean(m, x), m.Tensor([1e-5])])])]);
        return m.Apply("Mul", [m.Tensor(8), m.Apply("Cast", [m.Apply("Mul", [x, inverse])], ("to", 11L))]);
    }

    private static string Mean(RandomModel m, string x) => m.Apply("ReduceMean", [m.Apply("Pow", [x, m.Tensor([2.0])])], ("axes", new long[] { -1 }));
}
