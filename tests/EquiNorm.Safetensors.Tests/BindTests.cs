using EquiNorm.Description;
using EquiNorm.Testing;
using EquiNorm.Testing.Safetensors;

namespace EquiNorm.Safetensors.Tests;

/// <summary>Tensors that are not what the description says: the message names file, tensor, axis, and both values.</summary>
[TestFixture]
internal sealed class BindTests
{
    private static IEnumerable<TestCaseData> Wrong()
    {
        yield return Case("missing", b => b.Add("layer1", "F32", [6, 4], new double[24]), "no tensor 'layer2'");
        yield return Case("prefix", b => b.Add("layer1", "F32", [6, 4], new double[24]).Add("model.layer2", "F32", [3, 6], new double[18]), "'model.layer2'");
        yield return Case("another_name", b => b.Add("layer1", "F32", [6, 4], new double[24]).Add("fc", "F32", [3, 6], new double[18]), "'fc'");
        yield return Case("type", b => b.Add("layer1", "F16", [6, 4], new double[24]).Add("layer2", "F32", [3, 6], new double[18]), "'layer1' is of type F16; the network says F32");
        yield return Case("integers", b => b.Add("layer1", "I32", [6, 4], new byte[96]).Add("layer2", "F32", [3, 6], new double[18]), "'layer1' is of type I32");
        yield return Case("axis_0", b => b.Add("layer1", "F32", [7, 4], new double[28]).Add("layer2", "F32", [3, 6], new double[18]), "'layer1' has 7 on axis 0; the network says 6");
        yield return Case("axis_1", b => b.Add("layer1", "F32", [6, 4], new double[24]).Add("layer2", "F32", [3, 5], new double[15]), "'layer2' has 5 on axis 1; the network says 6");
        yield return Case("transposed", b => b.Add("layer1", "F32", [4, 6], new double[24]).Add("layer2", "F32", [3, 6], new double[18]), "'layer1' has 4 on axis 0");
        yield return Case("axes", b => b.Add("layer1", "F32", [24], new double[24]).Add("layer2", "F32", [3, 6], new double[18]), "'layer1' has 1 axes");

        static TestCaseData Case(string name, Action<SafetensorsBuilder> build, string expected) => new TestCaseData(build, expected).SetName($"Wrong_{name}");
    }

    [TestCaseSource(nameof(Wrong))]
    public void What_does_not_fit_is_named(object build, string expected)
    {
        using var directory = new TemporaryDirectory();
        var builder = new SafetensorsBuilder();
        ((Action<SafetensorsBuilder>)build)(builder);
        using var model = SafetensorsModel.Open(builder.Save(directory["m.safetensors"]));
        Assert.That(
            () => model.Bind(Models.Chain().Network),
            Throws.TypeOf<SafetensorsException>().With.Message.Contains(expected).And.Message.Contains("m.safetensors"));
    }

    [Test]
    public void Names_can_be_mapped()
    {
        using var directory = new TemporaryDirectory();
        var builder = new SafetensorsBuilder().Add("layer2", "F32", [6, 4], new double[24]).Add("fc", "F32", [3, 6], new double[18]);
        using var model = SafetensorsModel.Open(builder.Save(directory["m.safetensors"]));
        File.WriteAllText(directory["names.json"], """{ "layer1": "layer2", "layer2": "fc" }""");
        using var bound = model.Bind(Models.Chain().Network, SafetensorsModel.ReadNames(directory["names.json"]));
        Assert.That(bound.Network.Weights.Select(w => bound.TensorOf(w).Name), Is.EqualTo(new[] { "layer2", "fc" }));
        Assert.That(bound.OtherTensors, Is.Empty);
    }

    [TestCase("""{ "nobody": "layer1" }""", "'nobody'")]
    [TestCase("""{ "layer1": "nobody" }""", "no tensor 'nobody'; the map of names says so of the weight 'layer1'")]
    [TestCase("""{ "layer2": "layer1" }""", "'layer1' has 6 on axis 0")]
    [TestCase("""{ "layer1": 1 }""", "'layer1' is no text")]
    [TestCase("""{ "layer1": "layer1", "layer1": "layer1" }""", "twice")]
    [TestCase("[]", "no object")]
    [TestCase("{", "not valid JSON")]
    [TestCase("", "not valid JSON")]
    public void A_map_of_names_that_does_not_fit_is_named(string text, string expected)
    {
        using var directory = new TemporaryDirectory();
        var (file, description) = Models.Chain();
        using var model = SafetensorsModel.Open(file.Save(directory["m.safetensors"]));
        File.WriteAllText(directory["names.json"], text);
        Assert.That(
            () => model.Bind(description, SafetensorsModel.ReadNames(directory["names.json"])),
            Throws.TypeOf<SafetensorsException>().With.Message.Contains(expected));
    }

    [Test]
    public void Two_weights_are_not_one_tensor()
    {
        using var directory = new TemporaryDirectory();
        var square = NetworkDescription.Read("""
            {"format":"equinorm-network","version":1,"axes":[{"name":"x","channels":2},{"name":"h","channels":2},{"name":"y","channels":2}],
             "weights":[{"name":"a","type":"float32","shape":[2,2],"output":"h","input":"x"},{"name":"b","type":"float32","shape":[2,2],"output":"y","input":"h"}]}
            """u8.ToArray());
        using var model = SafetensorsModel.Open(new SafetensorsBuilder().Add("a", "F32", [2, 2], new double[4]).Save(directory["m.safetensors"]));
        Assert.That(
            () => model.Bind(square, new Dictionary<string, string> { ["b"] = "a" }),
            Throws.TypeOf<SafetensorsException>().With.Message.Contains("two weights").And.Message.Contains("'b'"));
    }

    [TestCase("\"strides\": [8, 1]", "elements")]
    [TestCase("\"offset\": 1", "offset")]
    public void A_view_that_no_file_can_have_is_refused(string more, string expected)
    {
        using var directory = new TemporaryDirectory();
        var view = NetworkDescription.Read(System.Text.Encoding.UTF8.GetBytes($$"""
            {"format":"equinorm-network","version":1,"axes":[{"name":"x","channels":4},{"name":"h","channels":6}],
             "weights":[{"name":"a","type":"float32","shape":[6,4],{{more}},"output":"h","input":"x"}]}
            """));
        int count = more.Contains("offset", StringComparison.Ordinal) ? 24 : 25;
        using var model = SafetensorsModel.Open(new SafetensorsBuilder().Add("a", "F32", [count], new double[count]).Save(directory["m.safetensors"]));
        Assert.That(() => model.Bind(view), Throws.TypeOf<SafetensorsException>().With.Message.Contains(expected).And.Message.Contains("'a'"));
    }
}
