using EquiNorm.Description;
using EquiNorm.Model;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Description;

/// <summary>What is written and read again is the same network.</summary>
public sealed class RoundTripTests
{
    private static readonly DescriptionOptions LeaveOut = new() { OutputScales = OutputScaleHandling.LeaveOut };

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Random_network(string family)
    {
        for (var draw = 0; draw < 20; draw++)
        {
            var options = new SketchOptions { ElementTypes = Enum.GetValues<ElementType>(), Strided = draw % 2 * 0.5 };
            var network = RandomNetworks.Create(family, TestSeeds.Of($"description {family}", draw), options).Network;
            var text = Descriptions.Write(network, LeaveOut);
            var read = Descriptions.Parse(text);

            Descriptions.AssertSame(read, network);
            Assert.That(Descriptions.Write(read), Is.EqualTo(text), TestSeeds.Repeat);
        }
    }

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Frozen_random_network(string family)
    {
        var network = RandomNetworks.Create(family, TestSeeds.Of($"frozen {family}", 0)).Network;
        var frozen = network.Freeze([network.Weights[network.Weights.Count / 2].Name]);

        Descriptions.AssertSame(Descriptions.Parse(Descriptions.Write(frozen, LeaveOut)), frozen);
    }

    [Test]
    public void Biases_before_the_last_axes_do_not_shift_channels()
    {
        var builder = new NetworkBuilder();
        var x = builder.Weight(new("first", ElementType.Float32, WeightLayout.Dense(3, 2)), builder.Input("x", 2));
        builder.Bias("first.bias", ElementType.Float64, x);
        builder.Output(builder.Weight(new("second", ElementType.Float32, WeightLayout.Dense(4, 3)), x));
        var network = builder.Build();

        Assert.That(network.Groups[^1].Name, Is.EqualTo("constant one"));
        Descriptions.AssertSame(Descriptions.Parse(Descriptions.Write(network)), network);
    }

    [Test]
    public void Each_axis_and_each_weight_stands_on_a_line_of_its_own()
    {
        var builder = new NetworkBuilder();
        builder.Weight(new("w", ElementType.Float32, WeightLayout.Dense(2, 3)) { OutputName = "y" }, builder.Input("x", 3));

        Assert.That(Descriptions.Write(builder.Build()), Is.EqualTo("""
            {
              "format": "equinorm-network",
              "version": 1,
              "axes": [
                {"name":"x","channels":3,"pinned":"network input x"},
                {"name":"y","channels":2}
              ],
              "weights": [
                {"name":"w","type":"float32","shape":[2,3],"output":"y","input":"x","height":0}
              ]
            }

            """.ReplaceLineEndings("\n")));
    }

    [Test]
    public void Names_that_need_care_survive()
    {
        var builder = new NetworkBuilder();
        var x = builder.Input("a \"quoted\" \\ path/ü + <b> \u2028\n", 1);
        var y = builder.Weight(new("w", ElementType.Float32, WeightLayout.Dense(1, 1)) { OutputName = "constant one" }, x);
        builder.Bias("b", ElementType.Float32, y);
        builder.Pin(builder.Free("y", 1), "");
        foreach (var name in (string[])["y #2", "y", "y", ""])
        {
            builder.Free(name, 2);
        }

        var network = builder.Build();

        Assert.That(network.Groups.Select(g => g.Name), Is.Unique);
        Descriptions.AssertSame(Descriptions.Parse(Descriptions.Write(network)), network);
    }

    [Test]
    public void Empty_axes_and_tensors_survive()
    {
        var builder = new NetworkBuilder();
        var x = builder.Weight(new("no inputs", ElementType.Float32, WeightLayout.Dense(2, 0)), builder.Free("none", 0));
        var nothing = builder.Weight(new("no outputs", ElementType.Float32, WeightLayout.Dense(0, 2)), x);
        builder.Weight(new("neither", ElementType.Float32, WeightLayout.Convolution(0, 0, 3)), nothing);
        builder.Weight(new("no positions", ElementType.Float32, WeightLayout.Convolution(2, 2, 0)), x);
        var network = builder.Build();

        Descriptions.AssertSame(Descriptions.Parse(Descriptions.Write(network)), network);
        Descriptions.AssertSame(Descriptions.Parse(Descriptions.Write(new NetworkBuilder().Build())), new NetworkBuilder().Build());
    }

    [Test]
    public void Tensor_tied_across_layouts_stays_pinned()
    {
        var builder = new NetworkBuilder();
        var x = builder.Weight(new("shared", ElementType.Float32, WeightLayout.Dense(4, 2)), builder.Free("x", 2));
        builder.Weight(new("shared", ElementType.Float32, WeightLayout.DenseTransposed(2, 4)), x);
        builder.Bias("shared", ElementType.Float32, builder.Free("eight", 8));
        var network = builder.Build();

        Assert.That(network.Groups.Select(g => g.IsPinned), Is.All.True);
        Descriptions.AssertSame(Descriptions.Parse(Descriptions.Write(network)), network);
    }

    [Test]
    public void Known_shapes_are_written_and_those_that_do_not_fit_are_not()
    {
        var builder = new NetworkBuilder();
        var x = builder.Weight(new("conv", ElementType.Float32, WeightLayout.Convolution(4, 2, 9)), builder.Input("x", 2));
        x = builder.Weight(new("deep", ElementType.Float32, WeightLayout.Depthwise(4, 1)), x);
        x = builder.Weight(new("gain", ElementType.Float32, WeightLayout.Diagonal(4)), x);
        x = builder.Weight(new("fc", ElementType.Float32, WeightLayout.DenseAfterFlatten(5, 4, 6)), x);
        builder.Weight(new("back", ElementType.Float32, WeightLayout.DenseAfterFlattenTransposed(3, 5, 2)), x);
        var shapes = new Dictionary<string, IReadOnlyList<long>>
        {
            ["conv"] = [4, 2, 3, 3], ["deep"] = [4, 1, 1, 1], ["gain"] = [2, 2], ["fc"] = [5, 24], ["back"] = [10, 3],
        };
        var text = Descriptions.Write(builder.Build(), new DescriptionOptions { Shapes = shapes });

        Assert.That(text, Does.Contain("\"conv\",\"type\":\"float32\",\"shape\":[4,2,3,3]"));
        Assert.That(text, Does.Contain("\"deep\",\"type\":\"float32\",\"shape\":[4,1,1,1],\"groups\":4"));
        Assert.That(text, Does.Contain("\"gain\",\"type\":\"float32\",\"kind\":\"diagonal\",\"shape\":[4]"));
        Assert.That(text, Does.Contain("\"fc\",\"type\":\"float32\",\"shape\":[5,24]"));
        Assert.That(text, Does.Contain("\"back\",\"type\":\"float32\",\"shape\":[10,3],\"order\":\"input-output\""));
        Descriptions.AssertSame(Descriptions.Parse(text), builder.Build());
    }

    [Test]
    public void Output_scale_is_refused_by_name_unless_it_may_be_left_out()
    {
        var builder = new NetworkBuilder();
        builder.Weight(new("folded", ElementType.Float32, WeightLayout.Dense(1, 1)) { OutputScale = new double[] { 2 } }, builder.Input("x", 1));
        using var stream = new MemoryStream();

        Assert.That(() => NetworkDescription.Write(builder.Build(), stream), Throws.TypeOf<NetworkException>().With.Message.Contains("'folded'"));
        Assert.That(stream.Length, Is.Zero);
        Assert.That(Descriptions.Parse(Descriptions.Write(builder.Build(), LeaveOut)).Weights[0].OutputScale.IsEmpty);
    }
}
