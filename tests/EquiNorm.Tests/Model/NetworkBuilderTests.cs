using EquiNorm.Model;
using NUnit.Framework;

namespace EquiNorm.Tests.Model;

/// <summary>How activations become channel groups.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class NetworkBuilderTests
{
    private readonly NetworkBuilder _builder = new();

    [Test]
    public void Chain_has_one_free_group_per_hidden_layer_and_pinned_ends()
    {
        var hidden = Dense("first", 4, _builder.Input("x", 3));
        _builder.Output(Dense("second", 2, hidden), "y");

        var network = _builder.Build();

        Assert.That(network.Groups.Select(g => g.Name), Is.EqualTo(new[] { "x", "output of first", "output of second" }));
        Assert.That(network.Groups.Select(g => g.Count), Is.EqualTo(new[] { 3, 4, 2 }));
        Assert.That(network.Groups.Select(g => g.FirstChannel), Is.EqualTo(new[] { 0, 3, 7 }));
        Assert.That(network.Groups.Select(g => g.PinnedBecause), Is.EqualTo(new[] { "network input x", null, "network output y" }));
        Assert.That(network.ChannelCount, Is.EqualTo(9));
        Assert.That(network.FreeChannelCount, Is.EqualTo(4));
    }

    [Test]
    public void Addition_ties_everything_that_writes_the_stream_into_one_group()
    {
        var stream = Dense("stem", 4, _builder.Input("x", 3));
        for (var block = 0; block < 3; block++)
        {
            stream = _builder.Add(stream, Dense($"up{block}", 4, Dense($"down{block}", 2, stream)));
        }

        var network = _builder.Build();

        Assert.That(network.Groups.Select(g => g.Count), Is.EqualTo(new[] { 3, 4, 2, 2, 2 }));
        Assert.That(GroupsOf(network.Weight("up2").Outputs), Is.EqualTo(GroupsOf(network.Weight("stem").Outputs)));
        Assert.That(GroupsOf(network.Weight("down2").Inputs), Is.EqualTo(GroupsOf(network.Weight("stem").Outputs)));
    }

    [Test]
    public void Concat_is_read_as_one_range_per_part()
    {
        var input = _builder.Input("x", 3);
        var (a, b) = (Dense("a", 4, input), Dense("b", 5, input));
        Dense("reader", 2, _builder.Concat(a, b, a));

        var network = _builder.Build();

        Assert.That(network.Weight("reader").Inputs.Ranges, Is.EqualTo(new[]
        {
            new ChannelRange(1, 0, 4), new ChannelRange(2, 0, 5), new ChannelRange(1, 0, 4),
        }));
        Assert.That(network.Weight("reader").Inputs.ToChannels(network.Groups), Is.EqualTo(new[] { 3, 4, 5, 6, 7, 8, 9, 10, 11, 3, 4, 5, 6 }));
    }

    [Test]
    public void Addition_to_a_concat_falls_apart_into_the_parts_that_move_independently()
    {
        var input = _builder.Input("x", 3);
        var (a, b) = (Dense("a", 4, input), Dense("b", 5, input));
        _builder.Add(_builder.Concat(a, b), Dense("whole", 9, input));

        var network = _builder.Build();

        Assert.That(network.Groups.Select(g => g.Count), Is.EqualTo(new[] { 3, 4, 5 }));
        Assert.That(network.Weight("whole").Outputs.Ranges, Is.EqualTo(new[] { new ChannelRange(1, 0, 4), new ChannelRange(2, 0, 5) }));
    }

    [Test]
    public void Addition_of_two_halves_of_one_activation_halves_its_unknowns()
    {
        var whole = Dense("whole", 4, _builder.Input("x", 3));
        _builder.Add(_builder.Slice(whole, 0, 2), _builder.Slice(whole, 2, 2));

        var network = _builder.Build();

        Assert.That(network.FreeChannelCount, Is.EqualTo(2));
        Assert.That(network.Weight("whole").Outputs.ToChannels(network.Groups), Is.EqualTo(new[] { 3, 4, 3, 4 }));
    }

    [Test]
    public void Overlapping_ties_chain_into_one_unknown()
    {
        var whole = Dense("whole", 5, _builder.Input("x", 1));
        _builder.Tie(_builder.Slice(whole, 0, 4), _builder.Slice(whole, 1, 4));

        Assert.That(_builder.Build().FreeChannelCount, Is.EqualTo(1));
    }

    [Test]
    public void Shuffle_is_read_position_by_position()
    {
        var whole = Dense("whole", 4, _builder.Input("x", 1));
        Dense("reader", 1, _builder.Select(whole, [0, 2, 1, 3]));

        var network = _builder.Build();

        Assert.That(network.Weight("reader").Inputs.ToChannels(network.Groups), Is.EqualTo(new[] { 1, 3, 2, 4 }));
    }

    [Test]
    public void Pinning_some_channels_leaves_the_others_free()
    {
        var whole = Dense("whole", 5, _builder.Input("x", 1));
        _builder.Pin(_builder.Slice(whole, 1, 2), "gate");

        var network = _builder.Build();

        Assert.That(network.FreeChannelCount, Is.EqualTo(3));
        var pinned = network.Groups.Single(g => g.PinnedBecause == "gate");
        Assert.That(pinned.Count, Is.EqualTo(2));
        Assert.That(network.Weight("whole").Outputs.ToChannels(network.Groups)[1..3], Is.EqualTo(new[] { pinned.FirstChannel, pinned.FirstChannel + 1 }));
    }

    [Test]
    public void Pin_reaches_what_is_tied_to_it_before_and_after()
    {
        var input = _builder.Input("x", 2);
        var (before, after) = (Dense("before", 2, input), Dense("after", 2, input));
        var pinned = Dense("pinned", 2, input);
        _builder.Tie(pinned, before);
        _builder.Pin(pinned, "softmax");
        _builder.Tie(after, pinned);

        var network = _builder.Build();

        Assert.That(network.FreeChannelCount, Is.Zero);
        Assert.That(network.Groups.Select(g => g.PinnedBecause), Is.EqualTo(new[] { "network input x", "softmax" }));
    }

    [Test]
    public void Pin_of_a_younger_activation_survives_the_merge_into_an_older_one()
    {
        var older = Dense("older", 2, _builder.Input("x", 2));
        _builder.Add(older, _builder.Input("late", 2));

        Assert.That(_builder.Build().Groups[1].PinnedBecause, Is.EqualTo("network input late"));
    }

    [Test]
    public void First_reason_for_a_pin_is_kept()
    {
        var axis = Dense("w", 2, _builder.Input("x", 2));
        _builder.Pin(axis, "first");
        _builder.Pin(axis, "second");

        Assert.That(_builder.Build().Groups[1].PinnedBecause, Is.EqualTo("first"));
    }

    [Test]
    public void Biases_share_one_pinned_input()
    {
        var hidden = Dense("w", 4, _builder.Input("x", 2));
        _builder.Bias("b", ElementType.Float32, hidden);
        _builder.Bias("c", ElementType.Float32, Dense("v", 3, hidden));

        var network = _builder.Build();

        Assert.That(network.Weight("b").Role, Is.EqualTo(WeightRole.Bias));
        Assert.That(network.Weight("b").Inputs.Ranges, Is.EqualTo(network.Weight("c").Inputs.Ranges));
        Assert.That(network.Groups[network.Weight("b").Inputs.Ranges[0].Group].IsPinned, Is.True);
        Assert.That(network.Weight("b").Outputs.Ranges, Is.EqualTo(network.Weight("w").Outputs.Ranges));
    }

    [Test]
    public void Map_of_an_axis_is_where_it_lies_in_the_network()
    {
        var input = _builder.Input("x", 2);
        var (a, b) = (Dense("a", 3, input), Dense("b", 3, input));
        var sum = _builder.Add(a, b);

        Assert.That(_builder.MapOf(b).Ranges, Is.EqualTo(_builder.Build().Weight("a").Outputs.Ranges));
        Assert.That(_builder.MapOf(sum).Length, Is.EqualTo(3));
    }

    [Test]
    public void Parts_of_one_axis_have_names_of_their_own()
    {
        var whole = Dense("whole", 6, _builder.Input("x", 1));
        _builder.Pin(_builder.Slice(whole, 0, 2), "gate");
        _builder.Tie(_builder.Slice(whole, 2, 2), Dense("other", 2, _builder.Input("z", 1)));

        var names = _builder.Build().Groups.Select(g => g.Name).ToArray();

        Assert.That(names, Is.Unique);
        Assert.That(names, Has.Member("output of whole").And.Member("output of whole #2").And.Member("output of whole #3"));
    }

    [Test]
    public void Layers_without_channels_are_allowed()
    {
        var empty = Dense("empty", 0, _builder.Input("x", 3));
        _builder.Output(Dense("reader", 2, empty));

        var network = _builder.Build();

        Assert.That(network.FreeChannelCount, Is.Zero);
        Assert.That(network.Weight("empty").Outputs.Length, Is.Zero);
        Assert.That(network.Weight("reader").Inputs.Length, Is.Zero);
    }

    [Test]
    public void Notes_travel_with_the_network()
    {
        _builder.Note("odd");
        Assert.That(_builder.Build().Notes, Is.EqualTo(new[] { "odd" }));
    }

    [Test]
    public void Batch_normalisation_pins_what_it_reads_and_its_gain_writes_new_channels()
    {
        var x = Dense("conv", 4, _builder.Input("x", 3));
        var y = _builder.BatchNormalization(
            new("gamma", ElementType.Float32, WeightLayout.Diagonal(4)), new("beta", ElementType.Float32, WeightLayout.Dense(4, 1)), x);
        _builder.Output(Dense("head", 2, y), "y");

        var network = _builder.Build();

        Assert.That(network.Groups.Select(g => g.PinnedBecause), Is.EqualTo(
            new[] { "network input x", "read by batch normalisation gamma in training", null, "network output y", "constant input of biases" }));
        Assert.That(GroupsOf(network.Weight("gamma").Inputs), Is.EqualTo(GroupsOf(network.Weight("conv").Outputs)));
        Assert.That(GroupsOf(network.Weight("beta").Outputs), Is.EqualTo(GroupsOf(network.Weight("gamma").Outputs)));
        Assert.That(network.Weights.Select(w => (w.Role, w.Height)), Is.EqualTo(
            new[] { (WeightRole.Weight, 2), (WeightRole.Weight, 1), (WeightRole.Bias, 1), (WeightRole.Weight, 0) }));
    }

    [Test]
    public void Batch_normalisation_without_a_diagonal_is_refused() =>
        Assert.That(
            () => _builder.BatchNormalization(new("gamma", ElementType.Float32, WeightLayout.Dense(4, 4)), null, _builder.Free("x", 4)),
            Throws.TypeOf<NetworkException>().With.Message.Contains("'gamma'"));

    [Test]
    public void Weight_between_channels_that_exist_is_added_to_them()
    {
        var stream = Dense("stem", 4, _builder.Input("x", 3));
        stream = _builder.Weight(new("loop", ElementType.Float32, WeightLayout.Dense(4, 4)), stream, stream);
        Dense("head", 2, stream);

        var network = _builder.Build();

        Assert.That(network.Groups.Select(g => g.Name), Is.EqualTo(new[] { "x", "output of stem", "output of head" }));
        Assert.That(network.Weights.Select(w => w.Height), Is.EqualTo(new[] { 2, 1, 0 }));
        Assert.That(
            () => _builder.Weight(new("wide", ElementType.Float32, WeightLayout.Dense(5, 4)), stream, stream),
            Throws.TypeOf<NetworkException>().With.Message.Contains("'wide': its output axis has 5 channels"));
    }

    [Test]
    public void Height_can_be_given_once_and_not_be_negative()
    {
        var x = _builder.Input("x", 2);
        _builder.Weight(new("w", ElementType.Float32, WeightLayout.Dense(2, 2)) { Height = 5 }, x);

        Assert.That(_builder.Build().Weights[0].Height, Is.EqualTo(5));
        Assert.That(
            () => _builder.Weight(new("w", ElementType.Float32, WeightLayout.Dense(2, 2)), x), Throws.TypeOf<NetworkException>().With.Message.Contains("two heights"));
        Assert.That(
            () => _builder.Weight(new("v", ElementType.Float32, WeightLayout.Dense(2, 2)) { Height = -1 }, x),
            Throws.TypeOf<NetworkException>().With.Message.Contains("-1"));
    }

    private ChannelAxis Dense(string name, int outputs, ChannelAxis input) =>
        _builder.Weight(new(name, ElementType.Float32, WeightLayout.Dense(outputs, input.Length)), input);

    private static int[] GroupsOf(ChannelMap map) => [.. map.Ranges.Select(r => r.Group)];

}
