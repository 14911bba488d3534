using EquiNorm.Model;
using NUnit.Framework;

namespace EquiNorm.Tests.Model;

/// <summary>Height = further weights on the longest path to the end of the network.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class HeightTests
{
    private readonly NetworkBuilder _builder = new();

    [Test]
    public void Chain_counts_down_to_zero()
    {
        var x = _builder.Input("x", 1);
        for (var k = 0; k < 2000; k++)
        {
            x = Dense($"w{k}", x);
        }

        Assert.That(_builder.Build().Weights.Select(w => w.Height), Is.EqualTo(Enumerable.Range(0, 2000).Reverse()));
    }

    [Test]
    public void Residual_stream_takes_the_way_through_the_branches()
    {
        var x = Dense("stem", _builder.Input("x", 1));
        for (var block = 0; block < 2; block++)
        {
            x = _builder.Add(x, Dense($"up{block}", Dense($"down{block}", x)));
        }

        Dense("head", x);

        Assert.That(Heights(), Is.EqualTo(new Dictionary<string, int>
        {
            ["stem"] = 5, ["down0"] = 4, ["up0"] = 3, ["down1"] = 2, ["up1"] = 1, ["head"] = 0,
        }));
    }

    [Test]
    public void Concat_and_slice_pass_heights_on()
    {
        var input = _builder.Input("x", 1);
        var shortcut = Dense("shortcut", input);
        var deep = Dense("deep2", Dense("deep1", input));
        var both = _builder.Concat(shortcut, deep);
        Dense("head2", Dense("head1", _builder.Slice(both, 0, 1)));

        Assert.That(Heights(), Is.EqualTo(new Dictionary<string, int>
        {
            ["shortcut"] = 2, ["deep1"] = 3, ["deep2"] = 2, ["head1"] = 1, ["head2"] = 0,
        }));
    }

    [Test]
    public void Bias_has_the_height_of_its_weight()
    {
        var x = Dense("first", _builder.Input("x", 1));
        _builder.Bias("bias", ElementType.Float32, x);
        Dense("second", x);

        Assert.That(Heights(), Is.EqualTo(new Dictionary<string, int> { ["first"] = 1, ["bias"] = 1, ["second"] = 0 }));
    }

    [Test]
    public void Tied_tensor_has_the_height_of_its_first_use()
    {
        Dense("end", Dense("shared", Dense("between", Dense("shared", _builder.Input("x", 1)))));

        Assert.That(Heights(), Is.EqualTo(new Dictionary<string, int> { ["shared"] = 3, ["between"] = 2, ["end"] = 0 }));
    }

    private Dictionary<string, int> Heights() => _builder.Build().Weights.ToDictionary(w => w.Name, w => w.Height);

    private ChannelAxis Dense(string name, ChannelAxis input) =>
        _builder.Weight(new(name, ElementType.Float32, WeightLayout.Dense(1, input.Length)), input);
}
