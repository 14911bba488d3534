using EquiNorm.Onnx.Verification;
using EquiNorm.Problem;
using EquiNorm.Testing;

namespace EquiNorm.Onnx.Tests;

/// <summary>
/// Absorbed biases against an evaluator in float64 that knows nothing of them: exactly the same function where pre-activations stay above what was taken,
/// and another one below.
/// </summary>
[TestFixture]
internal sealed class AbsorptionTests
{
    private const int Seed = 11;

    private static readonly (string Name, int Channels, Func<RandomModel, string> Body)[] Taken =
    [
        ("convolution with a normalisation", 3, m => Norm(m, Conv(m, High(m, Conv(m, "x", 4, 3, bias: false), 4), 5, 4, bias: false), 5)),
        ("convolution with a bias", 3, m => Conv(m, High(m, Conv(m, "x", 4, 3), 4), 5, 4)),
        ("convolution without a bias", 3, m => Conv(m, High(m, Conv(m, "x", 4, 3), 4), 5, 4, bias: false)),
        ("two in a row", 6, m => Conv(m, High(m, Conv(m, High(m, Conv(m, "x", 4, 3), 4), 4, 4, gain: 0.01), 4), 5, 4)),
        ("two readers", 3, m =>
        {
            string x = High(m, Conv(m, "x", 4, 3), 4);
            return m.Apply("Add", [Conv(m, x, 2, 4), Conv(m, x, 2, 4, bias: false)]);
        }),
        ("depthwise, then 1 x 1", 6, m => Conv(m, High(m, Conv(m, High(m, Conv(m, "x", 4, 3), 4), 4, 4, groups: 4, gain: 0.01), 4), 5, 4, kernel: 1)),
        ("grouped", 3, m => Conv(m, High(m, Conv(m, "x", 4, 3), 4), 6, 4, groups: 2)),
        ("pooling, flattened, dense", 3, m => m.Apply(
            "Gemm", [m.Apply("Flatten", [m.Apply("MaxPool", [High(m, Conv(m, "x", 4, 3), 4)], ("kernel_shape", new long[] { 2, 2 }), ("strides", new long[] { 2, 2 }))]), m.Tensor(36, 3), m.Tensor(3)],
            ("alpha", 0.5f), ("beta", 2f))),
        ("average, dense without a bias", 3, m => m.Apply(
            "Gemm", [m.Apply("Flatten", [m.Apply("GlobalAveragePool", [High(m, Conv(m, "x", 4, 3), 4)])]), m.Tensor(3, 4)], ("transB", 1L))),
        ("dense with a normalisation", 3, m => Norm(m, m.Apply("MatMul", [m.Apply("Flatten", [m.Apply("GlobalMaxPool", [High(m, Conv(m, "x", 4, 3), 4)])]), m.Tensor(4, 3)]), 3)),
        ("dense in front", 3, m => m.Gemm(High(m, m.Apply("Gemm", [m.Apply("Flatten", ["x"]), m.Tensor([.. m.Numbers(192 * 4).Select(v => v / 300)], 192, 4), m.Tensor(4)]), 4), 2, 4)),
        ("a shared bias", 3, m =>
        {
            string bias = m.Tensor(4), x = High(m, m.Apply("Conv", ["x", m.Tensor([.. m.Numbers(4 * 27).Select(v => v / 100)], 4, 3, 3, 3), bias]), 4);
            return m.Apply("Conv", [m.Relu(m.Apply("Conv", [x, m.Tensor(4, 4, 3, 3), bias])), m.Tensor(4, 4, 3, 3), bias]);
        }),
    ];

    private static readonly (string Reason, Func<RandomModel, string> Body)[] Refused =
    [
        ("pads with zeros", m => m.Conv(High(m, Conv(m, "x", 4, 3), 4), 5, 4)),
        ("pads with zeros", m => m.Apply("Conv", [High(m, Conv(m, "x", 4, 3), 4), m.Tensor(5, 4, 3, 3)], ("auto_pad", "SAME_UPPER"))),
        ("a Relu is not its only reader", m => Conv(m, m.Apply("LeakyRelu", [High(m, Conv(m, "x", 4, 3), 4, null)]), 5, 4)),
        ("a Relu is not its only reader", m => Conv(m, m.Apply("Clip", [High(m, Conv(m, "x", 4, 3), 4, null), m.Tensor([0.0]), m.Tensor([6.0])]), 5, 4)),
        ("a Relu is not its only reader", m =>
        {
            string x = High(m, Conv(m, "x", 4, 3), 4, null);
            return Conv(m, m.Apply("Add", [m.Relu(x), x]), 5, 4);
        }),
        ("it is read by Add", m =>
        {
            string x = High(m, Conv(m, "x", 4, 3), 4);
            return m.Apply("Add", [x, x]);
        }),
        ("it is read by Concat", m => Conv(m, m.Apply("Concat", [High(m, Conv(m, "x", 4, 3), 4), High(m, Conv(m, "x", 4, 3), 4)], ("axis", 1L)), 5, 8)),
        ("it is an output of the graph", m => High(m, Conv(m, "x", 4, 3), 4)),
        ("has no bias", m => m.Apply("MatMul", [m.Apply("Flatten", [m.Apply("GlobalMaxPool", [High(m, Conv(m, "x", 4, 3), 4)])]), m.Tensor(4, 3)])),
        ("leaves out its bias", m => m.Apply("Gemm", [m.Apply("Flatten", [m.Apply("GlobalMaxPool", [High(m, Conv(m, "x", 4, 3), 4)])]), m.Tensor(4, 3), m.Tensor(3)], ("beta", 0f))),
        ("has a bias that is not one", m => m.Apply("Gemm", [m.Apply("Flatten", [m.Apply("GlobalMaxPool", [High(m, Conv(m, "x", 4, 3), 4)])]), m.Tensor(4, 3), m.Tensor(1)])),
        ("is read by AveragePool", m => Conv(m, m.Apply("AveragePool", [High(m, Conv(m, "x", 4, 3), 4)], ("kernel_shape", new long[] { 3, 3 }), ("pads", new long[] { 1, 1, 1, 1 }), ("count_include_pad", 1L)), 5, 4)),
        ("is read by ConvTranspose", m => m.Apply("ConvTranspose", [High(m, Conv(m, "x", 4, 3), 4), m.Tensor(4, 5, 3, 3)])),
    ];

    public static IEnumerable<string> Names => Taken.Select(t => t.Name);

    public static IEnumerable<int> Refusals => Enumerable.Range(0, Refused.Length);

    [Test]
    public void Above_the_amounts_the_function_is_the_same([ValueSource(nameof(Names))] string name, [Values(0.0, 1.0)] double sigma)
    {
        var (_, channels, body) = Taken.Single(t => t.Name == name);
        using var directory = new TemporaryDirectory();
        string source = Save(directory, body);
        using var model = OnnxModel.Open(source);
        using var network = model.Analyze();
        var scalings = RandomScalings(network, sigma);
        var absorption = network.PlanAbsorption(scalings);
        network.Save(directory["out.onnx"], scalings, absorption);
        var input = new RandomModel(Seed + 1).Input(1, 3, 8, 8);
        double[] expected = Evaluator.Run(source, input), actual = Evaluator.Run(directory["out.onnx"], input);
        Assert.Multiple(() =>
        {
            Assert.That(absorption.Channels, Is.EqualTo(channels), string.Join("\n", absorption.Refused));
            Assert.That(absorption.Refused, Is.Empty);
            Assert.That(RandomExtensions.Deviation(expected, actual), Is.LessThan(1e-12));
        });

        // The file really changed: far below the amounts another function shows, and verify says so.
        var far = new[] { -1000.0, 1000 }.Select(f => input with { Data = [.. input.Data.Select(_ => f)] });
        using var written = OnnxModel.Open(directory["out.onnx"]);
        Assert.That(far.Max(x => RandomExtensions.Deviation(Evaluator.Run(source, x), Evaluator.Run(directory["out.onnx"], x))), Is.GreaterThan(1e-6));
        Assert.That(RescalingVerifier.Verify(model, written).Same, Is.False);
    }

    [Test]
    public void What_cannot_take_a_constant_is_named([ValueSource(nameof(Refusals))] int index)
    {
        var (reason, body) = Refused[index];
        using var directory = new TemporaryDirectory();
        string source = Save(directory, body);
        using var model = OnnxModel.Open(source);
        using var network = model.Analyze();
        var scalings = Scalings.Identity(network.Network);
        var absorption = network.PlanAbsorption(scalings);
        network.Save(directory["out.onnx"], scalings, absorption);
        network.Save(directory["plain.onnx"], scalings);
        Assert.Multiple(() =>
        {
            Assert.That(absorption.Layers, Is.Empty);
            Assert.That(absorption.Refused.Select(r => r.Reason), Is.Not.Empty.And.All.Contains(reason));
            Assert.That(absorption.Refused.Select(r => r.Channels), Is.All.EqualTo(3));
            Assert.That(File.ReadAllBytes(directory["out.onnx"]), Is.EqualTo(File.ReadAllBytes(directory["plain.onnx"])));
        });
    }

    // Mean 5, 8, -1, 4 and deviation 1, 2, 0.1, 0: 2, 2, 0 and 4 can go, multiplied by the factor of the channel.
    [Test]
    public void Amounts_are_three_deviations_below_the_mean_times_the_factor()
    {
        using var directory = new TemporaryDirectory();
        string source = Save(directory, Taken[1].Body);
        using var model = OnnxModel.Open(source);
        using var network = model.Analyze();
        var scalings = RandomScalings(network, 1);
        double[] d = scalings.FactorsOf(network.Network.Weights.First(w => w.Role == Model.WeightRole.Bias).Outputs);
        var layer = network.PlanAbsorption(scalings).Layers.Single();
        Assert.Multiple(() =>
        {
            Assert.That(layer.Channels.Select(c => c.Channel), Is.EqualTo([0, 1, 3]));
            Assert.That(layer.Channels.Select(c => c.Amount), Is.EqualTo([2 * d[0], 2 * d[1], 4 * d[3]]).Within(1e-12).Percent);
            Assert.That(layer.Readers, Has.Count.EqualTo(1).And.All.Contains("Conv"));
        });
    }

    [Test]
    public void Biases_are_absorbed_where_nothing_is_free_too()
    {
        using var directory = new TemporaryDirectory();
        string source = Save(directory, Taken[0].Body);
        using var model = OnnxModel.Open(source);
        using var network = model.Analyze();
        var frozen = Scalings.Identity(network.Network.Freeze(network.Network.Weights.Select(w => w.Name)));
        network.Save(directory["out.onnx"], frozen, network.PlanAbsorption(frozen));
        var input = new RandomModel(Seed + 1).Input(1, 3, 8, 8);
        Assert.That(RandomExtensions.Deviation(Evaluator.Run(source, input), Evaluator.Run(directory["out.onnx"], input)), Is.LessThan(1e-12));
        Assert.That(File.ReadAllBytes(directory["out.onnx"]), Is.Not.EqualTo(File.ReadAllBytes(source)));
    }

    [TestCase(NormalizationHandling.Keep)]
    [TestCase(NormalizationHandling.Scale)]
    public void Without_folding_there_is_nothing_to_absorb(NormalizationHandling handling)
    {
        using var directory = new TemporaryDirectory();
        using var model = OnnxModel.Open(Save(directory, Taken[0].Body));
        using var network = model.Analyze(new OnnxOptions { Normalization = handling });
        var absorption = network.PlanAbsorption(Scalings.Identity(network.Network));
        Assert.That((absorption.Channels, absorption.Refused.Count), Is.EqualTo((0, 0)));
    }

    private static string Save(TemporaryDirectory directory, Func<RandomModel, string> body)
    {
        var m = new RandomModel(Seed);
        m.Writer.Input("x", 1, 3, 8, 8);
        m.Writer.Output(body(m));
        return m.Writer.Save(directory["in.onnx"]);
    }

    private static Scalings RandomScalings(OnnxNetwork network, double sigma)
    {
        var random = new Random(TestSeeds.Of("absorption", 0));
        var u = new double[network.Network.ChannelCount];
        foreach (var group in network.Network.Groups.Where(g => !g.IsPinned))
        {
            for (int c = 0; c < group.Count; c++)
            {
                u[group.FirstChannel + c] = sigma * random.Normal();
            }
        }

        return new Scalings(network.Network, u);
    }

    // No padding, and weights so small that the pre-activations of random inputs stay within a deviation of their mean.
    private static string Conv(RandomModel m, string x, int outputs, int inputs, int groups = 1, int kernel = 3, bool bias = true, double gain = 1)
    {
        int fanIn = inputs / groups * kernel * kernel;
        string weight = m.Tensor([.. m.Numbers(outputs * fanIn).Select(v => v * gain / fanIn)], outputs, inputs / groups, kernel, kernel);
        string[] all = bias ? [x, weight, m.Tensor([.. m.Numbers(outputs).Select(v => v / 100)], outputs)] : [x, weight];
        return m.Apply("Conv", all, ("group", (long)groups));
    }

    private static string High(RandomModel m, string x, int channels, string? activation = "Relu")
    {
        string norm = m.Apply("BatchNormalization",
            [x, m.Tensor([1, -2, 0.1, 0], channels), m.Tensor([5, 8, -1, 4], channels), m.Tensor([.. m.Numbers(channels).Select(v => v / 100)], channels), m.Tensor([1.0, 1, 1, 1], channels)]);
        return activation is null ? norm : m.Apply(activation, [norm]);
    }

    // Nothing to absorb: no mean is three deviations above zero.
    private static string Norm(RandomModel m, string x, int channels) => m.Apply(
        "BatchNormalization", [x, m.Tensor([.. m.Numbers(channels).Select(v => v + 2)], channels), m.Tensor(channels), m.Tensor(channels), m.Tensor([.. m.Numbers(channels).Select(v => v + 2)], channels)]);
}
