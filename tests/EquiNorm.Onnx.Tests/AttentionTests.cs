using System.Text;
using EquiNorm.Description;
using EquiNorm.Model;
using EquiNorm.Onnx.Verification;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;

namespace EquiNorm.Onnx.Tests;

/// <summary>What is free and what is pinned in attention, by name and reason; descriptions of it; a solve of it.</summary>
[TestFixture]
internal sealed class AttentionTests
{
    [Test]
    public void Keys_and_their_bias_read_the_queries_of_their_heads()
    {
        using var directory = new TemporaryDirectory();
        using var model = Open(directory, "grouped-query attention");
        using var network = model.Analyze();
        var weights = network.Network.Weights;

        Assert.That(weights.Count(w => w.IsReversed && w.Role == WeightRole.Weight), Is.EqualTo(1));
        Assert.That(weights.Count(w => w.IsReversed && w.Role == WeightRole.Bias), Is.EqualTo(1));
        var keys = weights.Single(w => w.IsReversed && w.Role == WeightRole.Weight);
        var queries = weights.Single(w => w.Role == WeightRole.Weight && !w.IsReversed && w.Outputs.Ranges[0].Group == keys.Inputs.Ranges[0].Group);
        Assert.That(keys.Inputs.ToChannels(network.Network.Groups), Has.Length.EqualTo(4));
        Assert.That(queries.Outputs.ToChannels(network.Network.Groups), Is.EqualTo(
            keys.Inputs.ToChannels(network.Network.Groups).Chunk(2).SelectMany(head => (int[])[.. head, .. head])));
    }

    [TestCase("attention on free channels", "it would need factors and their reciprocals")]
    [TestCase("packed projection", "holds them together")]
    [TestCase("queries that are keys", "its own reciprocal")]
    [TestCase("cross attention, both free", "which is rescaled by itself")]
    public void What_cannot_be_linked_is_pinned_and_says_why(string name, string reason)
    {
        using var directory = new TemporaryDirectory();
        using var model = Open(directory, name);
        using var network = model.Analyze();
        Assert.That(network.Network.Groups.Select(g => g.PinnedBecause ?? ""), Has.Some.Contains(reason));
        Assert.That(network.Network.Weights.Any(w => w.IsReversed), Is.False);
    }

    [TestCase("attention")]
    [TestCase("rotary grouped-query attention")]
    [TestCase("normalised queries and keys")]
    [TestCase("transformer block")]
    [TestCase("transposed weights")]
    public void A_description_reads_as_the_same_network(string name)
    {
        using var directory = new TemporaryDirectory();
        using var model = Open(directory, name);
        using var network = model.Analyze();
        using var stream = new MemoryStream();
        NetworkDescription.Write(network.Network, stream, new DescriptionOptions { Shapes = network.Shapes });
        var read = NetworkDescription.Parse(stream.ToArray());

        Assert.That(read.Groups.Select(g => (g.Name, g.Count, g.PinnedBecause)), Is.EqualTo(network.Network.Groups.Select(g => (g.Name, g.Count, g.PinnedBecause))));
        Assert.That(read.HasSameWeights(network.Network), Is.True, Encoding.UTF8.GetString(stream.ToArray()));
        Assert.That(read.Weights.Select(Channels), Is.EqualTo(network.Network.Weights.Select(Channels)));

        string Channels(Weight w) => $"{string.Join(' ', w.Outputs.Ranges)} <- {string.Join(' ', w.Inputs.Ranges)}, {w.Height}";
    }

    [TestCase("rotary grouped-query attention", true)]
    [TestCase("transformer block", true)]
    [TestCase("normalisation behind the sum", true)]
    [TestCase("attention", false)]
    public void A_solve_keeps_the_function_and_verifies(string name, bool exact)
    {
        using var directory = new TemporaryDirectory();
        using var model = Open(directory, name);
        using var network = model.Analyze();
        var result = RescalingSolver.Solve(new RescalingProblem(network.Network), network.Tensors);
        Assert.That(result.Status, Is.EqualTo(RescalingStatus.Converged));
        Assert.That(result.Objective, Is.LessThan(0.999 * result.ObjectiveBefore));
        network.Save(directory["out.onnx"], exact ? result.Scalings!.PowerOfTwo() : result.Scalings!);

        var input = new RandomModel(3).Input(2, 3, 4, 4);
        double[] before = Evaluator.Run(model.Path, input), after = Evaluator.Run(directory["out.onnx"], input);
        Assert.That(after.Zip(before, (a, b) => Math.Abs(a - b)).Max() / before.Max(Math.Abs), exact ? Is.Zero : Is.LessThan(1e-12));
        using var rescaled = OnnxModel.Open(directory["out.onnx"]);
        Assert.That(RescalingVerifier.Verify(model, rescaled).Reason, Is.Null);
    }

    [Test]
    public void Verification_finds_a_key_that_was_multiplied_instead()
    {
        using var directory = new TemporaryDirectory();
        using var model = Open(directory, "attention");
        using var network = model.Analyze();
        var group = network.Network.Groups[network.Network.Weights.First(w => w.IsReversed).Inputs.Ranges[0].Group];
        var u = new double[network.Network.ChannelCount];
        u[group.FirstChannel] = Math.Log(2);
        network.Save(directory["right.onnx"], new Scalings(network.Network, u));

        // The keys of the right file, and the queries of the other one: their product is not what it was.
        using var right = OnnxModel.Open(directory["right.onnx"]);
        string keys = network.Network.Weights.First(w => w.IsReversed && w.Role == WeightRole.Weight).Name;
        var tensor = right.Layout.Initializers.Single(t => t.Name == keys);
        var bytes = File.ReadAllBytes(directory["right.onnx"]);
        var values = tensor.Reals().SelectMany(BitConverter.GetBytes).ToArray();
        int at = bytes.AsSpan().IndexOf(values);
        for (int n = 0; n < values.Length; n += 8)
        {
            BitConverter.TryWriteBytes(bytes.AsSpan(at + n), BitConverter.ToDouble(values, n) * (n / 8 % 8 == 0 ? 4 : 1));
        }

        File.WriteAllBytes(directory["wrong.onnx"], bytes);
        using var wrong = OnnxModel.Open(directory["wrong.onnx"]);
        Assert.That(RescalingVerifier.Verify(model, right).Reason, Is.Null);
        Assert.That(RescalingVerifier.Verify(model, wrong).Reason, Does.Contain("is not explained"));
    }

    [TestCase("Attention", "")]
    [TestCase("MultiHeadAttention", "com.microsoft")]
    [TestCase("Einsum", "")]
    public void Fused_attention_blocks_by_name(string op, string domain)
    {
        using var directory = new TemporaryDirectory();
        var m = new RandomModel(1);
        m.Writer.Input("x", 2, 16, 8);
        string q = m.Linear("x", 8, 8), k = m.Linear("x", 8, 8), v = m.Linear("x", 8, 8);
        m.Writer.Child(1, m.Writer.NodeMessage(op, [q, k, v], ["y"]).Text(7, domain));
        m.Writer.Output(m.Linear("y", 3, 8));
        using var model = OnnxModel.Open(m.Writer.Save(directory["m.onnx"]));
        using var network = model.Analyze();
        Assert.That(network.Network.FreeChannelCount, Is.Zero);
        Assert.That(network.Network.Groups.Count(g => g.PinnedBecause?.Contains(op, StringComparison.Ordinal) == true), Is.GreaterThanOrEqualTo(3));
    }

    [Test]
    public void A_batch_of_unknown_size_may_be_joined_with_heads()
    {
        using var directory = new TemporaryDirectory();
        var m = new RandomModel(2);
        m.Writer.Input("x", 16, -1, 8);
        string Head() => m.Apply("Transpose", [m.Apply("Reshape", [m.Linear("x", 8, 8), m.Shape(16, -1, 4)])], ("perm", new long[] { 1, 0, 2 }));
        string q = Head(), k = m.Apply("Transpose", [Head()], ("perm", new long[] { 0, 2, 1 })), v = Head();
        string y = m.Apply("MatMul", [m.Apply("Softmax", [m.Apply("MatMul", [q, k])]), v]);
        y = m.Apply("Reshape", [m.Apply("Transpose", [y], ("perm", new long[] { 1, 0, 2 })), m.Shape(16, -1, 8)]);
        m.Writer.Output(m.Linear(y, 3, 8));
        using var model = OnnxModel.Open(m.Writer.Save(directory["m.onnx"]));
        using var network = model.Analyze();
        Assert.That(network.Network.FreeChannelCount, Is.EqualTo(16), string.Join("\n", network.Network.Groups));
        var result = RescalingSolver.Solve(new RescalingProblem(network.Network), network.Tensors);
        network.Save(directory["out.onnx"], result.Scalings!.PowerOfTwo());
        var input = m.Input(16, 3, 8);
        Assert.That(Evaluator.Run(directory["out.onnx"], input), Is.EqualTo(Evaluator.Run(model.Path, input)));
    }

    private static OnnxModel Open(TemporaryDirectory directory, string name)
    {
        var m = new RandomModel(name.Length);
        m.Writer.Input("x", 2, 3, 4, 4);
        m.Writer.Output(TransformerNetworks.All.Single(n => n.Name == name).Body(m));
        return OnnxModel.Open(m.Writer.Save(directory["in.onnx"]));
    }
}
