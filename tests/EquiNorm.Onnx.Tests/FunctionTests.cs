using EquiNorm.Onnx.Verification;
using EquiNorm.Problem;
using EquiNorm.Testing;

namespace EquiNorm.Onnx.Tests;

/// <summary>Random factors on every free channel leave the function as it was, and really change the file.</summary>
[TestFixture]
internal sealed class FunctionTests
{
    private static readonly (string Name, int Free, Func<RandomModel, string> Body)[] Networks =
    [
        ("chain", 9, m => m.Conv(m.Relu(m.Conv(m.Relu(m.Conv("x", 4, 3)), 5, 4)), 2, 5)),
        ("chain with normalisation", 9, m => m.Conv(m.Relu(m.Norm(m.Conv(m.Relu(m.Norm(m.Conv("x", 4, 3), 4)), 5, 4), 5)), 2, 5)),
        ("normalisation at the end", 4, m => m.Norm(m.Conv(m.Relu(m.Conv("x", 4, 3)), 2, 4), 2)),
        ("normalisation of the input", 7, m => m.Conv(m.Relu(m.Conv(m.Norm("x", 3), 4, 3)), 2, 4)),
        ("normalisation with two readers", 11, TwoReaders),
        ("normalisation behind concat", 14, m =>
        {
            string a = m.Relu(m.Conv("x", 4, 3));
            return m.Conv(m.Relu(m.Norm(m.Apply("Concat", [a, m.Conv(a, 3, 4)], ("axis", 1L)), 7)), 2, 7);
        }),
        ("normalisation without activation", 9, m => m.Conv(m.Norm(m.Conv(m.Norm(m.Conv("x", 4, 3), 4), 5, 4), 5), 2, 5)),
        ("residual", 4, m => m.Conv(Block(m, Block(m, m.Relu(m.Conv("x", 4, 3)), 4, false), 4, false), 2, 4)),
        ("residual with normalisation", 12, m => m.Conv(Block(m, Block(m, m.Relu(m.Conv("x", 4, 3)), 4, true), 4, true), 2, 4)),
        ("subtraction", 4, Subtraction),
        ("concat", 9, m =>
        {
            string a = m.Relu(m.Conv("x", 4, 3));
            return m.Conv(m.Apply("Concat", [a, "x", m.Relu(m.Conv(a, 5, 4))], ("axis", 1L)), 2, 12);
        }),
        ("split", 6, Split),
        ("depthwise and grouped", 16, m => m.Conv(m.Relu(m.Conv(m.Relu(m.Conv(m.Relu(m.Conv("x", 4, 3)), 4, 4, 4)), 8, 4, 2)), 2, 8)),
        ("flatten", 7, m => m.Gemm(m.Relu(m.Gemm(m.Apply("Flatten", [m.Relu(m.Conv("x", 4, 3))]), 3, 4 * 16)), 2, 3)),
        ("reshape", 4, m => m.Gemm(m.Apply("Reshape", [m.Relu(m.Conv("x", 4, 3)), m.Shape(0, -1)]), 2, 4 * 16)),
        ("normalisation behind flatten", 4 + 64, m => m.Gemm(m.Norm(m.Apply("Flatten", [m.Conv("x", 4, 3)]), 64), 2, 64)),
        ("pooling", 4, m => m.Gemm(m.Apply("Flatten", [m.Apply("MaxPool", [m.Relu(m.Conv("x", 4, 3))], ("kernel_shape", new long[] { 2, 2 }), ("strides", new long[] { 2, 2 }))]), 2, 16)),
        ("activations", 12, m => m.Conv(m.Apply("Abs", [m.Conv(
            m.Apply("PRelu", [m.Conv(m.Apply("LeakyRelu", [m.Conv("x", 4, 3)], ("alpha", 0.2f)), 4, 4), m.Tensor(4, 1, 1)]), 4, 4)]), 2, 4)),
        ("gate", 4, m =>
        {
            string x = m.Relu(m.Conv("x", 4, 3));
            string gate = m.Apply("Sigmoid", [m.Conv(m.Apply("GlobalAveragePool", [x]), 4, 4)]);
            return m.Conv(m.Apply("Mul", [x, gate]), 2, 4);
        }),
        ("constants per channel", 4, m => m.Conv(m.Apply("Mul", [m.Apply("Add", [m.Conv("x", 4, 3), m.Tensor(4, 1, 1)]), m.Tensor(1, 4, 1, 1)]), 2, 4)),
        ("bias per position", 4, m => m.Conv(m.Apply("Add", [m.Conv("x", 4, 3), m.Tensor(4, 4, 4)]), 2, 4)),
        ("matmul", 9, MatMul),
        ("tokens", 9, Tokens),
        ("gemm with alpha and beta", 4, m => m.Gemm(m.Relu(m.Norm(m.Apply(
            "Gemm", [m.Apply("Flatten", ["x"]), m.Tensor(48, 4), m.Tensor(4)], ("alpha", 0.5f), ("beta", 2f)), 4)), 2, 4)),
        ("normalisation of another axis behind matmul", 4, NormalisedTokens),
        ("convolution over merged axes", 4, m => m.Apply("Conv", [m.Relu(m.Apply("Reshape", [m.Conv("x", 4, 3), m.Shape(2, 16, 4)])), m.Tensor(2, 16, 3)])),
        ("relu6", 4, m => m.Conv(m.Conv(m.Apply("Clip", [m.Conv("x", 4, 3), m.Tensor([0.0]), m.Tensor([6.0])]), 4, 4), 2, 4)),
        ("shared bias", 8, m =>
        {
            string bias = m.Tensor(4), pads = "pads";
            var p = (pads, (object)new long[] { 1, 1, 1, 1 });
            string a = m.Relu(m.Apply("Conv", ["x", m.Tensor(4, 3, 3, 3), bias], p));
            return m.Conv(m.Relu(m.Apply("Conv", [a, m.Tensor(4, 4, 3, 3), bias], p)), 2, 4);
        }),
        ("shared through Identity", 12, SharedIdentity),
        ("shared weight", 4, SharedWeight),
        ("weight with another reader", 4, m =>
        {
            string w = m.Tensor(4, 4, 1, 1);
            string x = m.Conv("x", 4, 3);
            string y = m.Apply("Conv", [m.Relu(x), w]);
            return m.Conv(m.Apply("Mul", [m.Conv(y, 4, 4), m.Apply("Sigmoid", [m.Apply("Reshape", [w, m.Shape(1, 4, 4, 1)])])]), 2, 4);
        }),
        ("one dimension", 4, m => m.Apply("Conv", [m.Relu(m.Apply("Conv", [m.Apply("Reshape", ["x", m.Shape(2, 3, 16)]), m.Tensor(4, 3, 3)])), m.Tensor(2, 4, 3)])),
        .. WindowNetworks.All,
        .. ProductNetworks.All,
        .. ShuffleNetworks.All,
        .. TransformerNetworks.All,
    ];

    private static IEnumerable<TestCaseData> Cases() => Networks.Select(n => new TestCaseData(n.Name).SetArgDisplayNames(n.Name));

    [TestCaseSource(nameof(Cases))]
    public void Random_factors_keep_the_function(string name) => Check(name, new OnnxOptions());

    [TestCaseSource(nameof(Cases))]
    public void Random_factors_keep_the_function_with_normalisation_kept_and_weights_copied(string name) =>
        Check(name, new OnnxOptions { Normalization = NormalizationHandling.Keep, SharedWeights = SharedWeightHandling.Copy });

    [TestCaseSource(nameof(Cases))]
    public void Random_factors_keep_the_function_with_normalisation_for_training(string name)
    {
        var options = new OnnxOptions { Normalization = NormalizationHandling.Scale };
        Check(name, options);
        Check(name, options, Evaluator.Train);
    }

    [TestCaseSource(nameof(Cases))]
    public void Factors_of_one_keep_the_function(string name)
    {
        using var directory = new TemporaryDirectory();
        var (source, input, _) = Make(directory, name);
        using var model = OnnxModel.Open(source);
        using var network = model.Analyze();
        network.Save(directory["out.onnx"], Scalings.Identity(network.Network));
        AssertClose(Evaluator.Run(directory["out.onnx"], input), Evaluator.Run(source, input));
    }

    [Test]
    public void Without_folding_powers_of_two_keep_every_bit()
    {
        using var directory = new TemporaryDirectory();
        var (source, input, _) = Make(directory, "residual");
        using var model = OnnxModel.Open(source);
        using var network = model.Analyze();
        network.Save(directory["out.onnx"], RandomScalings(network, 1).PowerOfTwo());
        Assert.That(Evaluator.Run(directory["out.onnx"], input), Is.EqualTo(Evaluator.Run(source, input)));
    }

    [Test]
    public void Nothing_free_means_the_same_bytes()
    {
        using var directory = new TemporaryDirectory();
        var (source, _, _) = Make(directory, "chain with normalisation");
        using var model = OnnxModel.Open(source);
        using var network = model.Analyze();
        var frozen = network.Network.Freeze(network.Network.Weights.Select(w => w.Name));
        network.Save(directory["out.onnx"], Scalings.Identity(frozen));
        Assert.That(File.ReadAllBytes(directory["out.onnx"]), Is.EqualTo(File.ReadAllBytes(source)));
    }

    private static void Check(string name, OnnxOptions options, Func<string, Array64[], double[]>? evaluate = null)
    {
        evaluate ??= Evaluator.Run;
        using var directory = new TemporaryDirectory();
        var (source, input, free) = Make(directory, name);
        double[] expected = evaluate(source, [input]);
        using var model = OnnxModel.Open(source);
        using var network = model.Analyze(options);
        if (options == new OnnxOptions())
        {
            Assert.That(network.Network.FreeChannelCount, Is.EqualTo(free), string.Join("\n", network.Network.Groups));
        }

        network.Save(directory["out.onnx"], RandomScalings(network, 7));
        Assert.That(File.ReadAllBytes(directory["out.onnx"]), Is.Not.EqualTo(File.ReadAllBytes(source)));
        AssertClose(evaluate(directory["out.onnx"], [input]), expected);
        using (var rescaled = OnnxModel.Open(directory["out.onnx"]))
        {
            Assert.That(RescalingVerifier.Verify(model, rescaled).Reason, Is.Null);
        }

        // The output is a model like any other: it is understood the same way, and can be scaled again.
        using var again = OnnxModel.Open(directory["out.onnx"]);
        using var second = again.Analyze(options);
        second.Save(directory["again.onnx"], RandomScalings(second, 8));
        AssertClose(evaluate(directory["again.onnx"], [input]), expected);
    }

    private static (string Path, Array64 Input, int Free) Make(TemporaryDirectory directory, string name)
    {
        var (_, free, body) = Networks.Single(n => n.Name == name);
        var model = new RandomModel(name.Length);
        model.Writer.Input("x", 2, 3, 4, 4);
        model.Writer.Output(body(model));
        return (model.Writer.Save(directory["in.onnx"]), model.Input(2, 3, 4, 4), free);
    }

    private static Scalings RandomScalings(OnnxNetwork network, int seed)
    {
        var random = new Random(seed);
        var u = new double[network.Network.ChannelCount];
        foreach (var group in network.Network.Groups.Where(g => !g.IsPinned))
        {
            for (int c = 0; c < group.Count; c++)
            {
                u[group.FirstChannel + c] = random.NextDouble() * 4 - 2;
            }
        }

        return new Scalings(network.Network, u);
    }

    private static void AssertClose(double[] actual, double[] expected)
    {
        Assert.That(RandomExtensions.Deviation(expected, actual), Is.LessThan(1e-12));
        Assert.That(expected.Max(Math.Abs), Is.GreaterThan(1e-6));
    }

    private static string Block(RandomModel m, string x, long channels, bool normalise)
    {
        string y = m.Conv(x, channels, channels);
        y = normalise ? m.Relu(m.Norm(y, channels)) : y;
        y = normalise ? m.Norm(m.Conv(y, channels, channels), channels) : y;
        return m.Relu(m.Apply("Add", [y, x]));
    }

    private static string TwoReaders(RandomModel m)
    {
        string a = m.Conv("x", 4, 3);
        string b = m.Relu(m.Norm(a, 4));
        string c = m.Conv(m.Relu(a), 3, 4);
        return m.Apply("Add", [m.Conv(b, 2, 4), m.Conv(c, 2, 3)]);
    }

    private static string Subtraction(RandomModel m)
    {
        string a = m.Conv("x", 4, 3);
        return m.Conv(m.Relu(m.Apply("Sub", [m.Apply("Sub", [a, m.Conv("x", 4, 3)]), m.Tensor(4, 1, 1)])), 2, 4);
    }

    private static string Split(RandomModel m)
    {
        string x = m.Relu(m.Conv("x", 6, 3));
        string[] parts = [m.Value(), m.Value()];
        m.Writer.Node("Split", [x], parts, ("axis", 1L));
        return m.Apply("Add", [m.Conv(parts[0], 2, 3), m.Conv(m.Relu(parts[1]), 2, 3)]);
    }

    private static string MatMul(RandomModel m)
    {
        string x = m.Apply("Flatten", ["x"]);
        x = m.Relu(m.Norm(m.Apply("Add", [m.Apply("MatMul", [x, m.Tensor(48, 4)]), m.Tensor(4)]), 4));
        x = m.Relu(m.Norm(m.Apply("MatMul", [x, m.Tensor(4, 5)]), 5));
        return m.Apply("Add", [m.Tensor(2), m.Apply("MatMul", [x, m.Tensor(5, 2)])]);
    }

    // Channels last: [N, C, H, W] -> [N, L, C], mixed along L too.
    private static string Tokens(RandomModel m)
    {
        string x = m.Apply("Reshape", [m.Conv("x", 4, 3), m.Shape(0, 0, -1)]);
        x = m.Apply("MatMul", [x, m.Tensor(16, 6)]);
        x = m.Apply("Transpose", [x], ("perm", new long[] { 0, 2, 1 }));
        x = m.Relu(m.Apply("Add", [m.Apply("MatMul", [x, m.Tensor(4, 5)]), m.Tensor(1, 6, 5)]));
        return m.Apply("MatMul", [x, m.Tensor(5, 2)]);
    }

    // The extent of axis 1 is that of the weight's outputs.
    private static string NormalisedTokens(RandomModel m)
    {
        string x = m.Apply("Transpose", [m.Apply("Reshape", [m.Conv("x", 4, 3), m.Shape(0, 0, -1)])], ("perm", new long[] { 0, 2, 1 }));
        return m.Apply("MatMul", [m.Norm(m.Apply("MatMul", [x, m.Tensor(4, 16)]), 16), m.Tensor(16, 2)]);
    }

    private static string SharedIdentity(RandomModel m)
    {
        string gamma = m.Tensor(4), beta = m.Tensor(4), mean = m.Tensor(4), variance = m.Tensor([.. m.Numbers(4).Select(v => v * v + 0.1)], 4);
        string x = "x";
        for (int i = 0; i < 3; i++)
        {
            string[] p = [.. new[] { gamma, beta, mean, variance }.Select(t => i == 0 ? t : m.Apply("Identity", [t]))];
            x = m.Relu(m.Apply("BatchNormalization", [m.Conv(x, 4, i == 0 ? 3 : 4), .. p]));
        }

        return m.Conv(x, 2, 4);
    }

    private static string SharedWeight(RandomModel m)
    {
        string w = m.Tensor(4, 4, 3, 3);
        var p = ("pads", (object)new long[] { 1, 1, 1, 1 });
        string x = m.Relu(m.Conv("x", 4, 3));
        x = m.Relu(m.Apply("Conv", [x, w, m.Tensor(4)], p));
        x = m.Relu(m.Apply("Conv", [x, w, m.Tensor(4)], p));
        return m.Conv(x, 2, 4);
    }
}
