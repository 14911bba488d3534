using EquiNorm.Model;
using NUnit.Framework;

namespace EquiNorm.Tests.Model;

/// <summary>Errors name the tensor, the axis and the value.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class NetworkErrorTests
{
    private readonly NetworkBuilder _builder = new();

    [Test]
    public void Input_of_another_length_is_refused() => Assert.That(
        () => Declare(WeightLayout.Dense(4, 3), _builder.Input("x", 5)),
        Throws.TypeOf<NetworkException>().With.Message.EqualTo("Weight 'w': its input axis has 3 channels, the activation has 5."));

    [Test]
    public void Bias_of_another_length_is_refused() => Assert.That(
        () => _builder.Bias(new WeightDeclaration("b", ElementType.Float32, WeightLayout.Dense(4, 1)), _builder.Input("x", 5)),
        Throws.TypeOf<NetworkException>().With.Message.Contains("'b'").And.Message.Contains("4").And.Message.Contains("5"));

    [Test]
    public void Bias_with_several_inputs_is_refused() => Assert.That(
        () => _builder.Bias(new WeightDeclaration("b", ElementType.Float32, WeightLayout.Dense(5, 2)), _builder.Input("x", 5)),
        Throws.TypeOf<NetworkException>().With.Message.Contains("'b'").And.Message.Contains("input"));

    [Test]
    public void Addition_of_different_lengths_names_both_sides() => Assert.That(
        () => _builder.Add(_builder.Input("left", 2), _builder.Input("right", 3)),
        Throws.TypeOf<NetworkException>().With.Message.Contains("left").And.Message.Contains("right"));

    [TestCase(double.NaN)]
    [TestCase(double.PositiveInfinity)]
    public void Output_scale_that_is_not_finite_is_refused(double value) => Assert.That(
        () => _builder.Weight(
            new("w", ElementType.Float32, WeightLayout.Dense(2, 1)) { OutputScale = new[] { 1, value } }, _builder.Input("x", 1)),
        Throws.TypeOf<NetworkException>().With.Message.Contains("'w'").And.Message.Contains("output 1"));

    [Test]
    public void Output_scale_of_another_length_is_refused() => Assert.That(
        () => _builder.Weight(
            new("w", ElementType.Float32, WeightLayout.Dense(2, 1)) { OutputScale = new[] { 1.0 } }, _builder.Input("x", 1)),
        Throws.TypeOf<NetworkException>().With.Message.Contains("output scale"));

    [Test]
    public void Negative_extents_strides_and_offsets_are_refused_by_name()
    {
        var good = WeightLayout.Dense(2, 2);
        var input = _builder.Input("x", 2);
        foreach (var (bad, axis) in new[]
        {
            (good with { Offset = -1 }, "Offset"),
            (good with { OutputStride = -2 }, "OutputStride"),
            (good with { InputStride = -1 }, "InputStride"),
            (good with { Kernel = -1 }, "Kernel"),
            (good with { Groups = 0 }, "Groups"),
            (good with { OutputsPerGroup = -1 }, "OutputsPerGroup"),
        })
        {
            Assert.That(() => Declare(bad, input), Throws.TypeOf<NetworkException>().With.Message.Contains($"'w': {axis} is"));
        }
    }

    [Test]
    public void Extents_that_overflow_are_refused()
    {
        var input = _builder.Input("x", 2);
        var good = WeightLayout.Dense(2, 2);
        foreach (var bad in new[]
        {
            good with { Groups = 65536, OutputsPerGroup = 65536 },
            good with { OutputStride = long.MaxValue, Offset = 5 },
            good with { Kernel = int.MaxValue, KernelStride = long.MaxValue / 2 },
        })
        {
            Assert.That(() => Declare(bad, input), Throws.TypeOf<NetworkException>().With.Message.Contains("'w'").And.Message.Contains("overflow"));
        }
    }

    [Test]
    public void Views_whose_elements_overlap_are_refused()
    {
        var input = _builder.Input("x", 2);
        var good = WeightLayout.Convolution(2, 2, 3);
        foreach (var bad in new[]
        {
            good with { KernelStride = 0 },
            good with { OutputStride = 0 },
            good with { InputStride = 1 },
            good with { OutputStride = 5 },
        })
        {
            Assert.That(() => Declare(bad, input), Throws.TypeOf<NetworkException>().With.Message.Contains("'w'").And.Message.Contains("overlap"));
        }
    }

    [Test]
    public void Groups_that_do_not_divide_the_channels_are_refused() =>
        Assert.That(() => WeightLayout.Convolution(4, 3, 9, groups: 2), Throws.ArgumentException);

    [Test]
    public void Channels_of_another_builder_are_refused() =>
        Assert.That(() => _builder.Output(new NetworkBuilder().Input("x", 2)), Throws.ArgumentException);

    [TestCase(-1, 2)]
    [TestCase(0, -1)]
    [TestCase(1, 3)]
    [TestCase(int.MaxValue, int.MaxValue)]
    public void Slice_outside_the_axis_is_refused(int start, int count) =>
        Assert.That(() => _builder.Slice(_builder.Input("x", 3), start, count), Throws.InstanceOf<ArgumentOutOfRangeException>());

    [TestCase(-1)]
    [TestCase(3)]
    public void Selection_outside_the_axis_is_refused(int position) =>
        Assert.That(() => _builder.Select(_builder.Input("x", 3), [0, position]), Throws.InstanceOf<ArgumentOutOfRangeException>());

    [Test]
    public void Unknown_weight_is_named() =>
        Assert.That(() => _builder.Build().Weight("nope"), Throws.TypeOf<NetworkException>().With.Message.Contains("'nope'"));

    [Test]
    public void Freezing_an_unknown_name_is_refused() =>
        Assert.That(() => _builder.Build().Freeze(["nope"]), Throws.TypeOf<NetworkException>().With.Message.Contains("'nope'"));

    [Test]
    public void Freezing_a_weight_pins_both_its_ends_and_leaves_the_original_alone()
    {
        var x = _builder.Input("x", 2);
        for (var k = 0; k < 5; k++)
        {
            x = _builder.Weight(new($"w{k}", ElementType.Float32, WeightLayout.Dense(2, 2)), x);
        }

        _builder.Output(x);
        var network = _builder.Build();

        var frozen = network.Freeze(["w2"]);

        Assert.That(frozen.Groups.Select(g => g.IsPinned), Is.EqualTo(new[] { true, false, true, true, false, true }));
        Assert.That(frozen.Groups[2].PinnedBecause, Does.Contain("w2"));
        Assert.That(network.Groups.Select(g => g.IsPinned), Is.EqualTo(new[] { true, false, false, false, false, true }));
        Assert.That(network.Freeze([network.Groups[1].Name]).Groups.Select(g => g.IsPinned), Is.EqualTo(new[] { true, true, false, false, false, true }));
    }

    private ChannelAxis Declare(WeightLayout layout, ChannelAxis input) => _builder.Weight(new("w", ElementType.Float32, layout), input);
}
