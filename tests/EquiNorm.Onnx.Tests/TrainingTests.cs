using EquiNorm.Model;
using EquiNorm.Onnx.Files;
using EquiNorm.Onnx.Verification;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;

namespace EquiNorm.Onnx.Tests;

/// <summary>
/// Batch normalisation of a model that will be trained further: gamma and beta carry the factors, what is in front of it and the running
/// statistics stay, and the function is the same with the statistics of the batch.
/// </summary>
[TestFixture]
internal sealed class TrainingTests
{
    private static readonly OnnxOptions Scale = new() { Normalization = NormalizationHandling.Scale };

    // Name, free channels, normalisations, the network from [2, 3, 4, 4].
    private static readonly (string Name, int Free, int Normalizations, Func<RandomModel, string> Body)[] Models =
    [
        ("chain", 9, 2, m => m.Conv(m.Relu(m.Norm(m.Conv(m.Relu(m.Norm(m.Conv("x", 4, 3), 4)), 5, 4), 5)), 2, 5)),
        ("residual", 4 + 4 + 4, 5, m => m.Conv(Block(m, Block(m, m.Relu(m.Norm(m.Conv("x", 4, 3), 4)))), 2, 4)),
        ("residual without normalisation on the stream", 4, 1, m =>
        {
            string x = m.Relu(m.Conv("x", 4, 3));
            return m.Conv(m.Apply("Add", [x, m.Norm(m.Conv(x, 4, 4), 4)]), 2, 4);
        }),
        ("behind concat", 7, 1, m =>
        {
            string a = m.Relu(m.Conv("x", 4, 3));
            return m.Conv(m.Relu(m.Norm(m.Apply("Concat", [a, m.Conv(a, 3, 4)], ("axis", 1L)), 7)), 2, 7);
        }),
        ("two normalisations of one activation", 8, 2, m =>
        {
            string a = m.Conv("x", 4, 3);
            return m.Apply("Add", [m.Conv(m.Relu(m.Norm(a, 4)), 2, 4), m.Conv(m.Norm(a, 4), 2, 4)]);
        }),
        ("convolution with two readers", 4 + 3, 1, m =>
        {
            string a = m.Conv("x", 4, 3);
            return m.Apply("Add", [m.Conv(m.Relu(m.Norm(a, 4)), 2, 4), m.Conv(m.Conv(m.Relu(a), 3, 4), 2, 3)]);
        }),
        ("normalisation with two readers", 4, 1, m =>
        {
            string y = m.Relu(m.Norm(m.Conv("x", 4, 3), 4));
            return m.Apply("Add", [m.Conv(y, 2, 4), m.Conv(y, 2, 4)]);
        }),
        ("without activation", 9, 2, m => m.Conv(m.Norm(m.Conv(m.Norm(m.Conv("x", 4, 3), 4), 5, 4), 5), 2, 5)),
        ("depthwise", 4 + 4, 2, m => m.Conv(m.Relu(m.Norm(m.Conv(m.Relu(m.Norm(m.Conv("x", 4, 3), 4)), 4, 4, 4), 4)), 2, 4)),
        ("with a convolution between that is not normalised", 4 + 5, 1, m => m.Conv(m.Relu(m.Conv(m.Relu(m.Norm(m.Conv("x", 4, 3), 4)), 5, 4)), 2, 5)),
        ("behind flatten", 64, 1, m => m.Gemm(m.Norm(m.Apply("Flatten", [m.Conv("x", 4, 3)]), 64), 2, 64)),
        ("of the input", 3 + 4, 1, m => m.Conv(m.Relu(m.Conv(m.Norm("x", 3), 4, 3)), 2, 4)),
    ];

    private static IEnumerable<TestCaseData> Cases() => Models.Select(n => new TestCaseData(n.Name).SetArgDisplayNames(n.Name));

    [TestCaseSource(nameof(Cases))]
    public void What_a_normalisation_reads_is_pinned_and_named(string name)
    {
        using var directory = new TemporaryDirectory();
        using var model = OnnxModel.Open(Make(directory, name).Path);
        using var network = model.Analyze(Scale);
        var (_, free, normalizations, _) = Models.Single(m => m.Name == name);
        var gains = network.Network.Weights.Where(w => IsGain(w)).ToList();

        Assert.That(network.Network.FreeChannelCount, Is.EqualTo(free), string.Join("\n", network.Network.Groups));
        Assert.That(network.ScaledNormalizations, Has.Count.EqualTo(normalizations).And.All.Contains("BatchNormalization"));
        Assert.That(network.FoldedNormalizations, Is.Empty);
        Assert.That(gains, Has.Count.EqualTo(normalizations));
        foreach (var range in gains.SelectMany(g => g.Inputs.Ranges))
        {
            Assert.That(network.Network.Groups[range.Group].PinnedBecause, Does.Contain(OnnxNetwork.PinnedInTraining).And.Contain("BatchNormalization").Or.Contain("network input"));
        }
    }

    [TestCaseSource(nameof(Cases))]
    public void The_optimum_is_that_of_the_oracle_and_keeps_the_function_in_training_and_evaluation(string name)
    {
        using var directory = new TemporaryDirectory();
        var (source, input) = Make(directory, name);
        using var model = OnnxModel.Open(source);
        using var network = model.Analyze(Scale);
        var result = RescalingSolver.Solve(new RescalingProblem(network.Network), network.Tensors);
        var optimum = OracleSolver.Newton(new OracleProblem(network.Tensors));
        network.Save(directory["out.onnx"], result.Scalings!);

        Assert.That(result.Objective / optimum.Objective - 1, Is.EqualTo(0).Within(1e-8));
        Assert.That(result.Objective, Is.LessThan(result.ObjectiveBefore));
        AssertClose(Evaluator.Run(directory["out.onnx"], input), Evaluator.Run(source, input));
        AssertClose(Evaluator.Train(directory["out.onnx"], input), Evaluator.Train(source, input));

        var (before, after) = (Elements(source), Elements(directory["out.onnx"]));
        Assert.That(Squares(before, network.Network), Is.EqualTo(result.ObjectiveBefore).Within(1e-10).Percent, "weights and gammas");
        Assert.That(Squares(after, network.Network), Is.EqualTo(result.Objective).Within(1e-10).Percent, "weights and gammas");
        using var rescaled = OnnxModel.Open(directory["out.onnx"]);
        Assert.That(RescalingVerifier.Verify(model, rescaled).Reason, Is.Null);
    }

    [TestCaseSource(nameof(Cases))]
    public void Statistics_keep_every_bit_and_what_is_in_front_keeps_its_outputs(string name)
    {
        using var directory = new TemporaryDirectory();
        var (source, _) = Make(directory, name);
        using var model = OnnxModel.Open(source);
        using var network = model.Analyze(Scale);
        var scalings = RandomScalings(network);
        network.Save(directory["out.onnx"], scalings);
        var (before, after) = (Elements(source), Elements(directory["out.onnx"]));

        foreach (var node in model.Layout.Nodes.Where(n => n.Header.OpType == "BatchNormalization"))
        {
            var inputs = node.Header.Input;
            Assert.That(after[inputs[3]], Is.EqualTo(before[inputs[3]]), "mean");
            Assert.That(after[inputs[4]], Is.EqualTo(before[inputs[4]]), "variance");
            Assert.That(after[inputs[1]], Is.Not.EqualTo(before[inputs[1]]), "gamma");
            Assert.That(after[inputs[1]].Zip(before[inputs[1]], (a, b) => a / b), Is.EqualTo(after[inputs[2]].Zip(before[inputs[2]], (a, b) => a / b)).Within(1e-12), "beta");
            if (model.Layout.Nodes.FirstOrDefault(n => n.Header.Output[0] == inputs[0]) is { Header: { OpType: "Conv" } conv })
            {
                var factors = scalings.FactorsOf(network.Network.Weight(conv.Input[1]));
                Assert.That(factors.Outputs, Is.All.EqualTo(1.0));
                Assert.That(after[conv.Input[2]], Is.EqualTo(before[conv.Input[2]]), "bias");
            }
        }
    }

    // What the tests above can see, on a network whose normalised channels are alive: a mean that follows its input's factor is exact in evaluation and wrong in training.
    [Test]
    public void Kept_normalisations_change_the_function_in_training()
    {
        using var directory = new TemporaryDirectory();
        var (source, input) = Make(directory, "chain", seed: 1);
        using var model = OnnxModel.Open(source);
        using var network = model.Analyze(new OnnxOptions { Normalization = NormalizationHandling.Keep });
        network.Save(directory["out.onnx"], RandomScalings(network, seed: 1));

        AssertClose(Evaluator.Run(directory["out.onnx"], input), Evaluator.Run(source, input));
        Assert.That(Deviation(Evaluator.Train(directory["out.onnx"], input), Evaluator.Train(source, input)), Is.GreaterThan(1e-3));
    }

    [Test]
    public void A_gain_that_two_normalisations_share_is_copied()
    {
        using var directory = new TemporaryDirectory();
        var m = new RandomModel(3);
        m.Writer.Input("x", 2, 3, 4, 4);
        string gamma = m.Tensor(4), beta = m.Tensor(4), mean = m.Tensor(4), variance = m.Tensor([1, 2, 3, 4], 4), x = "x";
        for (int n = 0; n < 2; n++)
        {
            x = m.Relu(m.Apply("BatchNormalization", [m.Conv(x, 4, n == 0 ? 3 : 4), gamma, beta, mean, variance]));
        }

        m.Writer.Output(m.Conv(x, 2, 4));
        string source = m.Writer.Save(directory["in.onnx"]);
        var input = m.Input(2, 3, 4, 4);
        using var model = OnnxModel.Open(source);
        using var network = model.Analyze(Scale);
        var report = network.Save(directory["out.onnx"], RandomScalings(network));

        Assert.That(report.Copies, Is.EqualTo(2), "gamma and beta; the statistics stay shared");
        AssertClose(Evaluator.Run(directory["out.onnx"], input), Evaluator.Run(source, input));
        AssertClose(Evaluator.Train(directory["out.onnx"], input), Evaluator.Train(source, input));
    }

    private static bool IsGain(Weight weight) => weight.Role == WeightRole.Weight && weight.Layout is { InputsPerGroup: 1, Kernel: 1 };

    private static string Block(RandomModel m, string x)
    {
        string y = m.Relu(m.Norm(m.Conv(x, 4, 4), 4));
        return m.Relu(m.Apply("Add", [m.Norm(m.Conv(y, 4, 4), 4), x]));
    }

    private static (string Path, Array64 Input) Make(TemporaryDirectory directory, string name, int? seed = null)
    {
        var model = new RandomModel(seed ?? TestSeeds.Of(name, 0));
        model.Writer.Input("x", 2, 3, 4, 4);
        model.Writer.Output(Models.Single(m => m.Name == name).Body(model));
        return (model.Writer.Save(directory["in.onnx"]), model.Input(2, 3, 4, 4));
    }

    private static Dictionary<string, double[]> Elements(string path)
    {
        var layout = LayoutReader.Open(path);
        var elements = layout.Initializers.Where(t => t.DataType == OnnxDataType.Double).ToDictionary(t => t.Name, t => t.Reals());
        layout.File.Dispose();
        layout.External.Dispose();
        return elements;
    }

    private static double Squares(Dictionary<string, double[]> elements, Network network) =>
        network.Weights.Where(w => w.Role == WeightRole.Weight).Sum(w => elements[w.Name].Sum(v => v * v));

    private static Scalings RandomScalings(OnnxNetwork network, int? seed = null)
    {
        var random = new Random(seed ?? TestSeeds.Of("training factors", 0));
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

    private static void AssertClose(double[] actual, double[] expected) => Assert.That(Deviation(actual, expected), Is.LessThan(1e-11), TestSeeds.Repeat);

    private static double Deviation(double[] actual, double[] expected) => RandomExtensions.Deviation(expected, actual);
}
