using System.Globalization;
using System.Text;
using EquiNorm.Description;
using EquiNorm.Model;
using EquiNorm.Tests.Architecture;
using NUnit.Framework;
using static EquiNorm.Tests.Description.Descriptions;

namespace EquiNorm.Tests.Description;

/// <summary>What each part of a description means.</summary>
public sealed class ReadingTests
{
    private const string Axes = """
        { "name": "x", "channels": 4, "pinned": "network input" }, { "name": "a", "channels": 6 }, { "name": "b", "channels": 6 },
        { "name": "y", "channels": 2, "pinned": "network output" }
        """;

    private static string Documentation => Repository.Read("docs/network-json.md");

    [Test]
    public void The_example_of_the_documentation_is_what_it_says()
    {
        var json = Documentation.Split("```json")[1].Split("```")[0];
        var network = Parse(json);

        Assert.That(network.Groups.Select(g => g.Name), Is.EqualTo(["image", "conv1", "stem", "logits", "constant one"]));
        Assert.That(network.Groups.Select(g => g.PinnedBecause), Is.EqualTo(
            ["network input", "read by batch normalisation bn1 in training", null, "network output", "constant input of biases"]));
        Assert.That(network.Weights.Select(w => w.Layout), Is.EqualTo([
            WeightLayout.Convolution(16, 3, 9), WeightLayout.Diagonal(16), WeightLayout.Dense(16, 1), WeightLayout.Convolution(16, 16, 9),
            WeightLayout.DenseAfterFlatten(10, 16, 49)]));
        Assert.That(network.Weights.Select(w => w.Role == WeightRole.Bias), Is.EqualTo([false, false, true, false, false]));
        Assert.That(network.Weights.Select(w => w.Height), Is.EqualTo([3, 2, 2, 1, 0]));
        Assert.That(network.Weight("conv2.weight").Outputs.Ranges, Is.EqualTo([new ChannelRange(2, 0, 16)]));
    }

    [Test]
    public void The_documentation_names_the_limits()
    {
        foreach (var limit in (int[])[NetworkDescription.MaxBytes, NetworkDescription.MaxChannels, NetworkDescription.MaxPositions])
        {
            Assert.That(Documentation, Does.Contain(limit.ToString(CultureInfo.InvariantCulture)));
        }

        Assert.That(NetworkDescription.MaxElements, Is.EqualTo(1L << 59));
        Assert.That(Documentation, Does.Contain("2^59"));
    }

    // Shape and what belongs to it, for x (4) -> a (6); then the layout.
    private static IEnumerable<TestCaseData> Layouts()
    {
        yield return Case(""" "shape": [6, 4] """, WeightLayout.Dense(6, 4));
        yield return Case(""" "shape": [6, 4, 3, 5] """, WeightLayout.Convolution(6, 4, 15));
        yield return Case(""" "shape": [6, 2, 3], "groups": 2 """, WeightLayout.Convolution(6, 4, 3, 2));
        yield return Case(""" "shape": [6, 2], "groups": 2 """, WeightLayout.Convolution(6, 4, 1, 2));
        yield return Case(""" "shape": [6, 20] """, WeightLayout.DenseAfterFlatten(6, 4, 5));
        yield return Case(""" "shape": [4, 6], "order": "input-output" """, WeightLayout.DenseTransposed(6, 4));
        yield return Case(""" "shape": [20, 6], "order": "input-output" """, WeightLayout.DenseAfterFlattenTransposed(6, 4, 5));
        yield return Case(""" "shape": [4, 6, 5], "order": "input-output" """, WeightLayout.TransposedConvolution(6, 4, 5));
        yield return Case(""" "shape": [4, 3, 5], "order": "input-output", "groups": 2 """, WeightLayout.TransposedConvolution(6, 4, 5, 2));
        yield return Case(""" "shape": [6, 4, 2, 3], "strides": [24, 1, 12, 4], "offset": 7 """, Layout(1, 6, 4, 6, (0, 24, 1, 4), 7));
        yield return Case(""" "shape": [6, 4, 2, 1, 3], "strides": [24, 1, 12, 99, 4] """, Layout(1, 6, 4, 6, (0, 24, 1, 4)));
        yield return Case(""" "shape": [6, 2, 3], "groups": 2, "strides": [10, 5, 1] """, Layout(2, 3, 2, 3, (30, 10, 5, 1)));
        yield return Case(""" "shape": [6, 20], "strides": [1, 6] """, Layout(1, 6, 4, 5, (0, 1, 30, 6)));
        yield return Case(""" "shape": [20, 6], "order": "input-output", "strides": [7, 1] """, Layout(1, 6, 4, 5, (0, 1, 35, 7)));
        yield return Case(""" "shape": [2, 3, 2, 3], "order": "group-output-input" """, WeightLayout.Convolution(6, 4, 3, 2));
        yield return Case(""" "shape": [2, 3, 2], "order": "group-output-input", "groups": 2, "strides": [1, 4, 2] """, Layout(2, 3, 2, 1, (1, 4, 2, 1)));

        static TestCaseData Case(string shape, WeightLayout layout) => new TestCaseData(shape, layout).SetArgDisplayNames(shape.Trim());
    }

    private static WeightLayout Layout(
        int groups, int outputs, int inputs, int kernel, (long Group, long Output, long Input, long Kernel) strides, long offset = 0) => new()
        {
            Groups = groups,
            OutputsPerGroup = outputs,
            InputsPerGroup = inputs,
            Kernel = kernel,
            GroupStride = strides.Group,
            OutputStride = strides.Output,
            InputStride = strides.Input,
            KernelStride = strides.Kernel,
            Offset = offset,
        };

    [TestCaseSource(nameof(Layouts))]
    public void Shape_order_groups_and_strides_give_the_layout(string shape, WeightLayout layout)
    {
        var network = Parse(Document(Axes, $$"""{ "name": "w", "type": "float16", {{shape}}, "output": "a", "input": "x" }"""));

        Assert.That(network.Weights[0].Layout with { GroupStride = 0 }, Is.EqualTo(layout with { GroupStride = 0 }));
        Assert.That(layout.Groups == 1 || network.Weights[0].Layout.GroupStride == layout.GroupStride);
        Assert.That(network.Weights[0].ElementType, Is.EqualTo(ElementType.Float16));
    }

    [Test]
    public void Strided_diagonals_and_biases_keep_their_strides()
    {
        var network = Parse(Document(Axes, """
            { "name": "gain", "type": "float64", "kind": "diagonal", "shape": [6], "strides": [3], "offset": 1, "output": "b", "input": "a" },
            { "name": "bias", "type": "bfloat16", "kind": "bias", "shape": [6, 5], "strides": [1, 8], "output": "b" }
            """));

        Assert.That(network.Weights[0].Layout, Is.EqualTo(WeightLayout.Diagonal(6) with { GroupStride = 3, Offset = 1 }));
        Assert.That(network.Weights[1].Layout, Is.EqualTo(WeightLayout.Convolution(6, 1, 5) with { OutputStride = 1, KernelStride = 8 }));
    }

    [Test]
    public void References_name_parts_and_concatenations()
    {
        var network = Parse(Document(Axes, """
            { "name": "w", "type": "float32", "shape": [3, 14], "output": [{ "axis": "y", "start": 1, "count": 1 }, "y"],
              "input": ["b", { "axis": "a", "start": 2, "count": 3 }, { "axis": "a", "start": 5, "count": 1 }, "x", { "axis": "x", "start": 4, "count": 0 }] }
            """));

        Assert.That(network.Weights[0].Inputs.Ranges, Is.EqualTo([new ChannelRange(2, 0, 6), new ChannelRange(1, 2, 4), new ChannelRange(0, 0, 4)]));
        Assert.That(network.Weights[0].Outputs.Ranges, Is.EqualTo([new ChannelRange(3, 1, 1), new ChannelRange(3, 0, 2)]));
    }

    [Test]
    public void Ties_merge_channels_of_parts_and_pins_spread()
    {
        var network = Parse(Document(Axes, "", """[["a"], "b"], [[{ "axis": "a", "start": 0, "count": 2 }], "y"]"""));

        Assert.That(network.Groups.Select(g => (g.Name, g.Count, g.IsPinned)), Is.EqualTo([("x", 4, true), ("a", 2, true), ("a #2", 4, false)]));
    }

    [Test]
    public void Tied_tensor_is_one_weight_whose_uses_share_channels()
    {
        var network = Parse(Document(Axes, """
            { "name": "t", "type": "float32", "shape": [6, 6], "output": "b", "input": "a" },
            { "name": "t", "type": "float32", "shape": [6, 6], "output": "a", "input": "b" }
            """));

        Assert.That(network.Weights, Has.Count.EqualTo(1));
        Assert.That(network.Groups.Select(g => g.Name), Is.EqualTo(["x", "a", "y"]));
    }

    [Test]
    public void Heights_follow_the_order_of_the_list_through_a_residual_stream_unless_they_are_given()
    {
        const string weights = """
            { "name": "stem", "type": "float32", "shape": [6, 4], "output": "a", "input": "x" },
            { "name": "stem.bias", "type": "float32", "kind": "bias", "shape": [6], "output": "a" },
            { "name": "1", "type": "float32", "shape": [6, 6], "output": "a", "input": "a" },
            { "name": "2", "type": "float32", "shape": [6, 6], "output": "b", "input": "a" },
            { "name": "2", "type": "float32", "shape": [6, 6], "output": "b", "input": "a" },
            { "name": "head", "type": "float32", "shape": [2, 6], "output": "y", "input": "b" HEIGHT}
            """;
        var derived = Parse(Document(Axes, weights.Replace(" HEIGHT", " ", StringComparison.Ordinal), """["a", "b"]"""));
        var given = Parse(Document(Axes, weights.Replace(" HEIGHT", ", \"height\": 7 ", StringComparison.Ordinal), """["a", "b"]"""));

        Assert.That(derived.Weights.Select(w => (w.Name, w.Height)), Is.EqualTo([("stem", 4), ("stem.bias", 4), ("1", 3), ("2", 2), ("head", 0)]));
        Assert.That(given.Weights.Select(w => (w.Name, w.Height)), Is.EqualTo([("stem", 4), ("stem.bias", 4), ("1", 3), ("2", 2), ("head", 7)]));
    }

    [Test]
    public void Height_is_that_of_the_longest_path_whatever_is_listed_first()
    {
        var network = Parse(Document(Axes, """
            { "name": "stem", "type": "float32", "shape": [6, 4], "output": "a", "input": "x" },
            { "name": "short head", "type": "float32", "shape": [2, 6], "output": "y", "input": "a" },
            { "name": "branch", "type": "float32", "shape": [3, 3], "output": [{ "axis": "b", "start": 0, "count": 3 }], "input": [{ "axis": "a", "start": 3, "count": 3 }] },
            { "name": "idle", "type": "float32", "shape": [3, 3], "output": [{ "axis": "b", "start": 3, "count": 3 }], "input": [{ "axis": "a", "start": 3, "count": 3 }] },
            { "name": "long head", "type": "float32", "shape": [2, 3], "output": "y", "input": [{ "axis": "b", "start": 0, "count": 3 }] }
            """));

        Assert.That(network.Weights.Select(w => (w.Name, w.Height)), Is.EqualTo([("stem", 2), ("short head", 0), ("branch", 1), ("idle", 0), ("long head", 0)]));
    }

    [Test]
    public void Height_given_on_one_use_of_a_tied_tensor_counts_for_all()
    {
        var network = Parse(Document(Axes, """
            { "name": "t", "type": "float32", "shape": [6, 6], "output": "b", "input": "a" },
            { "name": "t", "type": "float32", "shape": [6, 6], "output": "b", "input": "a", "height": 5 }
            """));

        Assert.That(network.Weights[0].Height, Is.EqualTo(5));
    }

    [Test]
    public void Byte_order_mark_and_white_space_are_allowed()
    {
        var network = NetworkDescription.Parse(Encoding.UTF8.GetBytes("\uFEFF \r\n\t" + Document(Axes, "") + "\n"));

        Assert.That(network.Groups, Has.Count.EqualTo(4));
    }

    [Test]
    public void A_thousand_layers_and_the_largest_axis_are_read()
    {
        var axes = string.Join(',', Enumerable.Range(0, 2001).Select(i => $$"""{ "name": "{{i}}", "channels": 1 }"""));
        var weights = string.Join(',', Enumerable.Range(0, 2000).Select(i => $$"""{ "name": "w{{i}}", "type": "float32", "shape": [1, 1], "output": "{{i + 1}}", "input": "{{i}}" }"""));
        Assert.That(Parse(Document(axes, weights)).Weights[0].Height, Is.EqualTo(1999));

        var large = Parse(Document($$"""{ "name": "x", "channels": {{NetworkDescription.MaxChannels}} }""", ""));
        Assert.That(large.ChannelCount, Is.EqualTo(NetworkDescription.MaxChannels));
    }
}
