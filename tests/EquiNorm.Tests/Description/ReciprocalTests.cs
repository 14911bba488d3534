using EquiNorm.Model;
using NUnit.Framework;

namespace EquiNorm.Tests.Description;

/// <summary>Reciprocal channels in version 2 of the form.</summary>
public sealed class ReciprocalTests
{
    private const string Axes = """{ "name": "x", "channels": 3, "pinned": "input" }, { "name": "q", "channels": 4 }, { "name": "k", "channels": 2 }""";
    private const string Weights = """
        { "name": "wq", "type": "float32", "shape": [4, 3], "output": "q", "input": "x" },
        { "name": "wk", "type": "float32", "shape": [2, 3], "output": "k", "input": "x" },
        { "name": "bk", "type": "float32", "kind": "bias", "shape": [2], "output": "k" }
        """;

    [Test]
    public void Heads_that_share_keys_share_a_factor()
    {
        var network = Descriptions.Parse(Document(2, """[ "q", [ "k", "k" ] ]"""));

        Assert.That(network.FreeChannelCount, Is.EqualTo(2));
        Assert.That(network.Weights.Select(w => w.IsReversed), Is.EqualTo([false, true, true]));
        Assert.That(network.Weight("wq").Outputs.Ranges, Has.Count.EqualTo(2));
    }

    [Test]
    public void What_is_reversed_is_written_so_and_reads_the_same()
    {
        var network = Descriptions.Parse(Document(2, """[ "q", [ "k", "k" ] ]"""));
        var text = Descriptions.Write(network);

        Assert.That(text, Does.Contain("\"version\": 2"));
        Assert.That(text, Does.Contain("""{"name":"wk","type":"float32","shape":[2,3],"order":"input-output","output":"x","input":"q","""));
        Assert.That(text, Does.Contain("""{"name":"bk","type":"float32","kind":"bias","shape":[2],"input":"q","""));
        Descriptions.AssertSame(Descriptions.Parse(text), network);
        Assert.That(Descriptions.Write(Descriptions.Parse(text)), Is.EqualTo(text));
    }

    [Test]
    public void A_strided_bias_of_several_positions_survives()
    {
        var builder = new NetworkBuilder();
        var x = builder.Input("x", 3);
        var q = builder.Weight(new("q", ElementType.Float32, WeightLayout.Dense(4, 3)), x);
        var k = builder.Weight(new("k", ElementType.Float32, WeightLayout.Dense(4, 3) with { OutputStride = 9, InputStride = 2, Offset = 5 }), x);
        builder.Bias(new WeightDeclaration("b", ElementType.Float16, WeightLayout.DenseAfterFlattenTransposed(4, 1, 3)), k);
        builder.Bias(new WeightDeclaration("c", ElementType.Float16, WeightLayout.Dense(4, 1) with { OutputStride = 3, Offset = 1 }), k);
        builder.TieInverse(q, k, "scores");
        var network = builder.Build();

        Descriptions.AssertSame(Descriptions.Parse(Descriptions.Write(network)), network);
    }

    [Test]
    public void A_network_without_reciprocal_biases_is_of_version_1()
    {
        var network = Descriptions.Parse("""{ "format": "equinorm-network", "version": 2, "axes": [], "weights": [] }""");
        Assert.That(Descriptions.Write(network), Does.Contain("\"version\": 1"));
    }

    [TestCase(1, """[ "q", "q" ]""", "unknown property 'inverse'")]
    [TestCase(2, """[ "q", "k" ]""", "inverse[0][1]: it names 2 channels, and the other of this pair 4")]
    [TestCase(2, """[ "q" ]""", "inverse[0] is [ \"q\" ]; two references are expected")]
    [TestCase(2, """[ "q", "q", "q" ]""", "two references are expected")]
    [TestCase(2, "\"q\", \"q\"", "inverse[0] is \"q\"; a pair of references to axes is expected")]
    [TestCase(2, """[ "q", "none" ]""", "inverse[0][1] is \"none\"; the name of an axis is expected")]
    public void Errors_name_the_place(int version, string pair, string message) =>
        Assert.That(() => Descriptions.Parse(Document(version, pair)), Throws.TypeOf<NetworkException>().With.Message.Contains(message));

    [TestCase(1, "a weight needs name, type, shape and output")]
    [TestCase(2, null)]
    public void A_bias_with_an_input_needs_version_2(int version, string? message)
    {
        var text = $$"""
            { "format": "equinorm-network", "version": {{version}}, "axes": [{{Axes}}],
              "weights": [{ "name": "b", "type": "float32", "kind": "bias", "shape": [4], "input": "q" }] }
            """;
        Assert.That(() => Descriptions.Parse(text), message is null ? Throws.Nothing : Throws.TypeOf<NetworkException>().With.Message.Contains(message));
    }

    [TestCase("weight", "\"input\": \"q\"", "a weight that is no bias needs output")]
    [TestCase("bias", "\"input\": \"q\", \"output\": \"x\"", "a bias has no input")]
    [TestCase("bias", "\"height\": 1", "a weight needs name, type, shape and output")]
    public void Entries_without_an_output_are_biases(string kind, string rest, string message)
    {
        var text = $$"""
            { "format": "equinorm-network", "version": 2, "axes": [{{Axes}}],
              "weights": [{ "name": "b", "type": "float32", "kind": "{{kind}}", "shape": [4], {{rest}} }] }
            """;
        Assert.That(() => Descriptions.Parse(text), Throws.TypeOf<NetworkException>().With.Message.Contains(message));
    }

    [Test]
    public void The_example_of_the_documentation_is_what_it_says()
    {
        var network = Descriptions.Parse(Architecture.Repository.Read("docs/network-json.md").Split("```json")[2].Split("```")[0]);

        Assert.That(network.FreeChannelCount, Is.EqualTo(2));
        Assert.That(network.Weights.Select(w => w.IsReversed), Is.EqualTo([false, true, true]));
        Descriptions.AssertSame(Descriptions.Parse(Descriptions.Write(network)), network);
    }

    private static string Document(int version, string pair) =>
        $$"""{ "format": "equinorm-network", "version": {{version}}, "axes": [{{Axes}}], "inverse": [{{pair}}], "weights": [{{Weights}}] }""";
}
