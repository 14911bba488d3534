using EquiNorm.Model;
using NUnit.Framework;

namespace EquiNorm.Tests.Model;

/// <summary>One stored tensor with several uses.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class TiedWeightTests
{
    private readonly NetworkBuilder _builder = new();

    [Test]
    public void Uses_of_one_tensor_merge_inputs_with_inputs_and_outputs_with_outputs()
    {
        var x = Dense("a", 4, _builder.Input("x", 2));
        var first = Dense("shared", 4, x);
        var between = Dense("b", 4, first);
        var second = Dense("shared", 4, between);
        _builder.Output(Dense("c", 1, second));

        var network = _builder.Build();

        Assert.That(network.Weights.Select(w => w.Name), Is.EqualTo(new[] { "a", "shared", "b", "c" }));
        Assert.That(network.Weight("b").Outputs.Ranges, Is.EqualTo(network.Weight("a").Outputs.Ranges));
        Assert.That(network.Weight("c").Inputs.Ranges, Is.EqualTo(network.Weight("shared").Outputs.Ranges));
        Assert.That(network.FreeChannelCount, Is.EqualTo(8));
    }

    [Test]
    public void Tensor_used_twice_in_a_row_reads_and_writes_the_same_group()
    {
        var x = Dense("shared", 3, Dense("shared", 3, Dense("a", 3, _builder.Input("x", 2))));
        _builder.Output(Dense("b", 1, x));

        var network = _builder.Build();

        Assert.That(network.FreeChannelCount, Is.EqualTo(3));
        Assert.That(network.Weight("shared").Outputs.Ranges, Is.EqualTo(network.Weight("shared").Inputs.Ranges));
    }

    [Test]
    public void Tensor_that_also_reads_the_network_input_has_a_pinned_input_everywhere()
    {
        var x = Dense("shared", 3, _builder.Input("x", 3));
        var y = Dense("shared", 3, Dense("a", 3, x));
        _builder.Output(Dense("b", 1, y));

        var network = _builder.Build();

        Assert.That(network.Groups[network.Weight("a").Outputs.Ranges[0].Group].PinnedBecause, Is.EqualTo("network input x"));
        Assert.That(network.FreeChannelCount, Is.EqualTo(3));
    }

    [Test]
    public void Uses_with_different_layouts_are_pinned_and_named()
    {
        var x = Dense("a", 4, _builder.Input("x", 2));
        var y = Dense("shared", 6, x);
        var z = _builder.Weight(new("shared", ElementType.Float32, WeightLayout.DenseTransposed(4, 6)), y);
        _builder.Output(Dense("b", 1, z));

        var network = _builder.Build();

        Assert.That(network.FreeChannelCount, Is.Zero);
        Assert.That(network.Notes, Has.Exactly(1).Contains("'shared'"));
        Assert.That(network.Groups[1].PinnedBecause, Does.Contain("shared"));
        Assert.That(network.Weights, Has.Exactly(1).Property("Name").EqualTo("shared"));
    }

    [Test]
    public void Uses_with_different_output_scales_are_refused_because_one_tensor_cannot_hold_both()
    {
        var x = _builder.Input("x", 2);
        var once = _builder.Weight(Scaled(1, 3), Dense("a", 2, x));

        Assert.That(() => _builder.Weight(Scaled(1, 2), once), Throws.TypeOf<NetworkException>().With.Message.Contains("'shared'"));

        static WeightDeclaration Scaled(params double[] scale) =>
            new("shared", ElementType.Float32, WeightLayout.Dense(2, 2)) { OutputScale = scale };
    }

    [Test]
    public void Shared_bias_ties_the_channels_it_is_added_to()
    {
        var x = _builder.Input("x", 2);
        var (a, b) = (Dense("a", 3, x), Dense("b", 3, x));
        _builder.Bias("shared", ElementType.Float32, a);
        _builder.Bias("shared", ElementType.Float32, b);

        var network = _builder.Build();

        Assert.That(network.Weight("a").Outputs.Ranges, Is.EqualTo(network.Weight("b").Outputs.Ranges));
    }

    [Test]
    public void Uses_with_different_element_types_are_refused()
    {
        var x = Dense("shared", 2, _builder.Input("x", 2));

        Assert.That(
            () => _builder.Weight(new("shared", ElementType.Float64, WeightLayout.Dense(2, 2)), x),
            Throws.TypeOf<NetworkException>().With.Message.Contains("shared").And.Message.Contains("Float64"));
    }

    private ChannelAxis Dense(string name, int outputs, ChannelAxis input) =>
        _builder.Weight(new(name, ElementType.Float32, WeightLayout.Dense(outputs, input.Length)), input);
}
