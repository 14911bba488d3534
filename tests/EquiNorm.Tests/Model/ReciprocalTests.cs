using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;
using EquiNorm.Tests.Solve;
using NUnit.Framework;

namespace EquiNorm.Tests.Model;

/// <summary>Channels that take the reciprocal factors of others: queries and keys, of which only products with each other are used.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class ReciprocalTests
{
    private readonly NetworkBuilder _builder = new();

    [Test]
    public void Keys_read_the_channels_of_the_queries()
    {
        var x = _builder.Input("x", 3);
        var (q, k) = (Dense("q", 4, x), Dense("k", 4, x));
        _builder.Bias("q.bias", ElementType.Float64, q);
        _builder.Bias("k.bias", ElementType.Float64, k);
        _builder.TieInverse(q, k, "scores");

        var network = _builder.Build();

        Assert.That(network.FreeChannelCount, Is.EqualTo(4));
        Assert.That(network.Weights.Select(w => w.IsReversed), Is.EqualTo([false, true, false, true]));
        Assert.That(network.Weight("k").Inputs.Ranges, Is.EqualTo(network.Weight("q").Outputs.Ranges));
        Assert.That(network.Weight("k").Outputs.Ranges, Is.EqualTo(network.Weight("q").Inputs.Ranges));
        Assert.That(network.Weight("k").Layout, Is.EqualTo(WeightLayout.DenseTransposed(3, 4)));
        Assert.That(network.Weight("k.bias").Inputs.Ranges, Is.EqualTo(network.Weight("q").Outputs.Ranges));
        Assert.That(network.Weight("k.bias").Outputs.Ranges, Is.EqualTo(network.Weight("q.bias").Inputs.Ranges));
    }

    [TestCase("q")]
    [TestCase("k")]
    public void The_weight_that_reads_free_channels_stays_as_it_is(string free)
    {
        var x = _builder.Input("x", 3);
        var y = Dense("first", 5, x);
        var (q, k) = (Dense("q", 4, free == "q" ? y : x), Dense("k", 4, free == "k" ? y : x));
        _builder.TieInverse(q, k, "scores");

        var network = _builder.Build();

        Assert.That(network.FreeChannelCount, Is.EqualTo(9));
        Assert.That(network.Weights.Where(w => w.IsReversed).Select(w => w.Name), Is.EqualTo([free == "q" ? "k" : "q"]));
    }

    [Test]
    public void Queries_and_keys_that_read_the_same_free_channels_are_pinned_and_named()
    {
        var y = Dense("first", 5, _builder.Input("x", 3));
        var (q, k) = (Dense("q", 4, y), Dense("k", 4, y));
        _builder.TieInverse(q, k, "scores");

        var network = _builder.Build();

        Assert.That(network.FreeChannelCount, Is.EqualTo(5));
        Assert.That(network.Groups[network.Weight("q").Outputs.Ranges[0].Group].PinnedBecause, Is.EqualTo(
            "scores: it would need factors and their reciprocals (queries and keys), and weight 'k' reads 'output of first', which is rescaled by itself"));
        Assert.That(network.Weights.Any(w => w.IsReversed), Is.False);
    }

    [Test]
    public void A_weight_that_holds_queries_and_keys_pins_both_and_leaves_the_values()
    {
        var all = Dense("packed", 12, _builder.Input("x", 3));
        _builder.TieInverse(_builder.Slice(all, 0, 4), _builder.Slice(all, 4, 4), "scores");

        var network = _builder.Build();

        Assert.That(network.FreeChannelCount, Is.EqualTo(4));
        Assert.That(network.Groups.Select(g => g.PinnedBecause ?? ""), Has.Some.Contains("weight 'packed' holds them together"));
    }

    [Test]
    public void A_channel_that_is_its_own_reciprocal_is_pinned()
    {
        var q = Dense("q", 4, _builder.Input("x", 3));
        _builder.TieInverse(q, q, "square");
        Assert.That(_builder.Build().FreeChannelCount, Is.Zero);
    }

    [Test]
    public void The_reciprocal_of_a_reciprocal_is_the_factor()
    {
        var x = _builder.Input("x", 3);
        var (a, b, c) = (Dense("a", 4, x), Dense("b", 4, x), Dense("c", 4, x));
        _builder.TieInverse(a, b, "first");
        _builder.TieInverse(b, c, "second");

        var network = _builder.Build();

        Assert.That(network.Weights.Select(w => w.IsReversed), Is.EqualTo([false, true, false]));
        _builder.Tie(a, b);
        Assert.That(_builder.Build().FreeChannelCount, Is.Zero);
    }

    [Test]
    public void Links_to_pinned_channels_pin_and_an_output_scale_is_not_reversed()
    {
        var x = _builder.Input("x", 2);
        var q = _builder.Weight(new("q", ElementType.Float32, WeightLayout.Dense(2, 2)) { OutputScale = new double[] { 1, 2 } }, x);
        var k = _builder.Weight(new("k", ElementType.Float32, WeightLayout.Dense(2, 2)) { OutputScale = new double[] { 1, 2 } }, x);
        _builder.TieInverse(q, k, "scores");
        Assert.That(_builder.Build().FreeChannelCount, Is.Zero);
        Assert.That(() => _builder.TieInverse(q, _builder.Free("three", 3), "scores"), Throws.TypeOf<NetworkException>().With.Message.Contains("3 channels (three)"));
    }

    [Test]
    public void Products_of_queries_and_keys_stay_and_their_norms_become_equal()
    {
        var random = new Random(TestSeeds.Of("reciprocal", 1));
        double[] q = Normal(random, 4 * 3), k = Normal(random, 3 * 4), qBias = Normal(random, 4), kBias = Normal(random, 4);
        var x = _builder.Input("x", 3);
        var queries = Dense("q", 4, x);
        var keys = _builder.Weight(new("k", ElementType.Float64, WeightLayout.DenseTransposed(4, 3)), x);
        _builder.Bias("q.bias", ElementType.Float64, queries);
        _builder.Bias("k.bias", ElementType.Float64, keys);
        _builder.TieInverse(queries, keys, "scores");
        var network = _builder.Build();
        double[] input = Normal(random, 3), other = Normal(random, 3);
        double Score() => Enumerable.Range(0, 4).Sum(c =>
            (qBias[c] + Enumerable.Range(0, 3).Sum(i => q[c * 3 + i] * input[i])) * (kBias[c] + Enumerable.Range(0, 3).Sum(i => k[i * 4 + c] * other[i])));
        double Size(double[] w, int row, int column, double[] bias, double[] x, int c) =>
            Math.Abs(bias[c]) + Enumerable.Range(0, 3).Sum(i => Math.Abs(w[c * row + i * column] * x[i]));
        var before = Score();
        var size = Enumerable.Range(0, 4).Sum(c => Size(q, 3, 1, qBias, input, c) * Size(k, 1, 4, kBias, other, c));
        using var tensors = new NetworkTensors(network);
        tensors.Bind("q", q).Bind("k", k).Bind("q.bias", qBias).Bind("k.bias", kBias);

        var solved = Solved.Run(tensors, new RescalingProblem(network) { BiasNorm = BiasNorm.Excluded });
        solved.AssertOptimal();
        RescalingSolver.Apply(solved.Result.Scalings!, tensors);

        // The terms cancel. Each is a product of four elements and factors, and in two sums of some terms: 32 roundings, before and after.
        Assert.That(Score(), Is.EqualTo(before).Within(32 * Math.ScaleB(size, -53)), TestSeeds.Repeat);
        for (var c = 0; c < 4; c++)
        {
            var norm = Enumerable.Range(0, 3).Sum(i => q[c * 3 + i] * q[c * 3 + i]);
            Assert.That(Enumerable.Range(0, 3).Sum(i => k[i * 4 + c] * k[i * 4 + c]), Is.EqualTo(norm).Within(1e-6).Percent, TestSeeds.Repeat);
        }
    }

    private static double[] Normal(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => random.Normal())];

    private ChannelAxis Dense(string name, int outputs, ChannelAxis input) =>
        _builder.Weight(new(name, ElementType.Float64, WeightLayout.Dense(outputs, input.Length)), input);
}
