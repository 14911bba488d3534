using EquiNorm.Backends.Cpu;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Quantization;
using EquiNorm.Solve;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Quantization;

/// <summary>The survey against plain loops, on random networks and on numbers that can be checked by hand.</summary>
[TestFixture]
internal sealed class Int8SurveyTests
{
    private const double Decibels = 1e-6;

    private static readonly ElementType[] Types = [ElementType.Float32, ElementType.Float64, ElementType.Float16, ElementType.BFloat16];

    [Test]
    public void Every_family_agrees_with_plain_loops(
        [ValueSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))] string family, [Values(0.0, 1.0)] double strided, [ValueSource(nameof(Types))] ElementType type)
    {
        int seed = TestSeeds.Of($"int8 {family} {type}", (int)strided);
        var options = new SketchOptions { ElementTypes = [type], Strided = strided, OutputScale = 0.5, Sparsity = 0.2 };
        var network = RandomNetworks.Create(family, seed, options, sigma: 0.5);
        double[] u = network.RandomLogFactors(new Random(seed), 0.7);
        using var tensors = network.Bind();
        var surveys = Int8Survey.Take(tensors, 2, Scalings.Identity(network.Network), new Scalings(network.Network, u));
        Assert.Multiple(() =>
        {
            Compare(network, surveys[0], new double[u.Length]);
            Compare(network, surveys[1], u);
        });
    }

    // Tiles, tails and columns: each extent that the loops cut at, in each order of storage.
    [Test]
    public void Every_order_of_storage_agrees_with_plain_loops(
        [Values(1, 2, 31, 32, 33, 65, 257)] int outputs, [Values(1, 3, 33, 257)] int inputs, [Values(ElementType.Float32, ElementType.BFloat16)] ElementType type)
    {
        // Plain loops are slow: a long kernel only where there are few channels.
        foreach (int kernel in new[] { 1, 2, 9, 49 }.Where(k => (long)outputs * inputs * k < 100_000))
        {
            Every_order_of_storage(outputs, inputs, kernel, type);
        }
    }

    private static void Every_order_of_storage(int outputs, int inputs, int kernel, ElementType type)
    {
        WeightLayout[] layouts =
        [
            WeightLayout.Convolution(outputs, inputs, kernel),
            WeightLayout.DenseAfterFlattenTransposed(outputs, inputs, kernel),
            WeightLayout.TransposedConvolution(outputs, inputs, kernel),
            WeightLayout.Convolution(outputs * 3, inputs * 3, kernel, 3),
            WeightLayout.TransposedConvolution(outputs * 3, inputs * 3, kernel, 3),
            WeightLayout.Depthwise(outputs, kernel),
            WeightLayout.Convolution(outputs, inputs, kernel) with { OutputStride = kernel * inputs, InputStride = 1, KernelStride = inputs },
        ];
        foreach (var layout in layouts)
        {
            var random = new Random(TestSeeds.Of("int8 storage", outputs + inputs + kernel));
            var network = OneWeight(layout, type, n => random.Normal() * Math.Exp(random.Normal()));
            using var tensors = network.Bind();
            Compare(network, Int8Survey.Take(tensors, 1, Scalings.Identity(network.Network))[0], new double[network.Network.ChannelCount]);
        }
    }

    [TestCase(1, 5000)]
    [TestCase(3, 4097)]
    [TestCase(70, 2049)]
    public void A_kernel_may_be_longer_than_a_tile(int channels, int kernel)
    {
        foreach (var layout in new[] { WeightLayout.DenseAfterFlatten(channels, 2, kernel), WeightLayout.TransposedConvolution(channels, 2, kernel), WeightLayout.DenseAfterFlattenTransposed(channels, 2, kernel) })
        {
            var random = new Random(TestSeeds.Of("int8 kernel", kernel));
            var network = OneWeight(layout, ElementType.Float32, _ => random.Normal());
            using var tensors = network.Bind();
            Compare(network, Int8Survey.Take(tensors, 2, Scalings.Identity(network.Network))[0], new double[network.Network.ChannelCount]);
        }
    }

    // 127 and 1/2: the scale is 1, the half is rounded to 0 and lost; by channels, each row is its own range.
    [Test]
    public void A_case_by_hand()
    {
        var noise = Noise(WeightLayout.Dense(2, 2), ElementType.Float32, 127, 0.5, 1, -3);
        double signal = 127 * 127 + 0.25 + 1 + 9;
        double second = 3.0 / 127 * 42 - 1; // 1 = 42.33 steps of 3 / 127
        Assert.Multiple(() =>
        {
            Assert.That(noise.Range, Is.EqualTo(127));
            Assert.That(noise.ChannelSpread, Is.EqualTo(127 / 3.0).Within(1e-12));
            Assert.That(noise.PerTensor.NoiseToSignal, Is.EqualTo(0.25 / signal).Within(1e-12).Percent);
            Assert.That(noise.PerTensor.Decibels, Is.EqualTo(10 * Math.Log10(signal / 0.25)).Within(1e-9));
            Assert.That(noise.PerChannel.NoiseToSignal, Is.EqualTo((0.25 + second * second) / signal).Within(1e-9).Percent);
        });
    }

    [Test]
    public void Zeros_have_no_ratio_and_what_is_exact_an_infinite_one([ValueSource(nameof(Types))] ElementType type)
    {
        var zero = Noise(WeightLayout.Dense(3, 2), type, 0, 0, 0, -0.0, 0, 0);
        var exact = Noise(WeightLayout.DenseTransposed(2, 3), type, 0.3, -0.3, 0, 0.3, 0.3, 0);
        Assert.Multiple(() =>
        {
            Assert.That((zero.Range, zero.ChannelSpread, zero.PerTensor.Decibels, zero.PerChannel.NoiseToSignal), Is.EqualTo((0.0, 1.0, (double?)null, (double?)null)));
            Assert.That((exact.PerTensor.NoiseToSignal, exact.PerChannel.NoiseToSignal), Is.EqualTo(((double?)0, (double?)0)));
            Assert.That((exact.PerTensor.Decibels, exact.PerChannel.Decibels), Is.EqualTo(((double?)double.PositiveInfinity, (double?)double.PositiveInfinity)));
        });
    }

    // Keys stand the other way round in the network: what a layer writes is still what its scales belong to.
    [Test]
    public void A_weight_that_is_turned_round_is_measured_by_the_channels_that_its_layer_writes([Values(1, 5, 33)] int inputs, [Values(1, 7, 40)] int channels)
    {
        var builder = new NetworkBuilder();
        var x = builder.Input("x", inputs);
        var (q, k) = (Dense("q"), Dense("k"));
        builder.TieInverse(q, k, "scores");
        var random = new Random(TestSeeds.Of("int8 turned round", inputs + 100 * channels));
        var elements = Enumerable.Range(0, inputs * channels).Select(_ => random.Normal() * Math.Exp(2 * random.Normal())).ToArray();
        var tensors = new[] { "q", "k" }.Select(name => new TestTensor(name, ElementType.Float64, elements.Length)).ToArray();
        var network = Filled(builder.Build(), tensors, n => elements[n % elements.Length]);
        using var bound = network.Bind();

        var noise = Int8Survey.Take(bound, 1, Scalings.Identity(network.Network))[0].Weights;

        var expected = Int8Oracle.Of([.. elements.Chunk(inputs)]);
        Assert.That(network.Network.Weight("k").IsReversed);
        foreach (var name in new[] { "q", "k" })
        {
            var got = noise[network.Network.Weight(name).Index]!;
            Assert.That(got.PerChannel.NoiseToSignal, Near(expected.ChannelNoise / expected.Signal), $"{name}, {TestSeeds.Repeat}");
            Assert.That(got.PerTensor.NoiseToSignal, Near(expected.TensorNoise / expected.Signal), $"{name}, {TestSeeds.Repeat}");
            Assert.That(got.ChannelSpread, Is.EqualTo(expected.Spread).Within(1e-9).Percent, name);
        }

        // Where one element is its own range, the oracle has the square of a rounding and the product 0.
        NUnit.Framework.Constraints.Constraint Near(double ratio) => Is.EqualTo(ratio).Within(1e-11 * ratio + 1e-25);
        ChannelAxis Dense(string name) => builder.Weight(new WeightDeclaration(name, ElementType.Float64, WeightLayout.Dense(channels, inputs)), x);
    }

    // A gain of a normalisation: each channel has one element, which is its own range.
    [Test]
    public void One_element_a_channel_loses_nothing_by_channels()
    {
        var noise = Noise(WeightLayout.Diagonal(5), ElementType.Float32, 0.1, -7, 3, 0, 1e-30);
        Assert.That((noise.PerChannel.Decibels, noise.PerTensor.Decibels is > 30 and < 60), Is.EqualTo(((double?)double.PositiveInfinity, true)));
    }

    // What 8 bits lose does not depend on the unit, down to numbers that are not normal and up to those whose squares overflow.
    [TestCase(ElementType.Float64, 1000)]
    [TestCase(ElementType.Float64, -1000)]
    [TestCase(ElementType.Float64, -1060)]
    [TestCase(ElementType.Float32, 120)]
    [TestCase(ElementType.Float32, -120)]
    [TestCase(ElementType.Float32, -140)]
    [TestCase(ElementType.BFloat16, 120)]
    [TestCase(ElementType.BFloat16, -120)]
    [TestCase(ElementType.Float16, -15)]
    public void Powers_of_two_change_nothing(ElementType type, int exponent)
    {
        double[] values = [1, 3, -200, 77, 0, 250, 13, -6];
        foreach (var layout in new[] { WeightLayout.Dense(2, 4), WeightLayout.DenseTransposed(2, 4) })
        {
            var here = Noise(layout, type, values);
            var there = Noise(layout, type, [.. values.Select(v => Math.ScaleB(v, exponent))]);
            Assert.That((there.PerTensor, there.PerChannel, there.ChannelSpread), Is.EqualTo((here.PerTensor, here.PerChannel, here.ChannelSpread)));
            Assert.That(there.Range, Is.EqualTo(Math.ScaleB(250, exponent)));
        }
    }

    [Test]
    public void Totals_do_not_overflow_where_the_squares_do()
    {
        var network = Chain(n => n < 4 ? Math.ScaleB(n + 1.3, 900) : Math.ScaleB(n - 0.7, -900));
        using var tensors = network.Bind();
        var survey = Int8Survey.Take(tensors, 1, Scalings.Identity(network.Network))[0];
        Assert.That(survey.PerTensor.Total, Is.EqualTo(survey.Weights[0]!.PerTensor), "the first weight outweighs the second");
        Assert.That(survey.Weights[1]!.PerTensor.Decibels, Is.InRange(20, 100));
    }

    [Test]
    public void The_network_is_the_sum_the_mean_and_the_worst_of_its_weights()
    {
        var network = RandomNetworks.Create("mixed", TestSeeds.Of("int8 totals", 0), new SketchOptions { ElementTypes = [ElementType.Float32] });
        using var tensors = network.Bind();
        var survey = Int8Survey.Take(tensors, 2, Scalings.Identity(network.Network))[0];
        var all = network.Network.Weights.Where(w => w.Role == WeightRole.Weight)
            .Select(w => Int8Oracle.Of(network, w, new double[network.Network.ChannelCount])).ToList();
        Assert.Multiple(() =>
        {
            Assert.That(survey.Weights.Count(n => n is null), Is.EqualTo(network.Network.Weights.Count(w => w.Role == WeightRole.Bias)));
            Assert.That(survey.PerTensor.Total.Decibels, Is.EqualTo(10 * Math.Log10(all.Sum(o => o.Signal) / all.Sum(o => o.TensorNoise))).Within(Decibels), TestSeeds.Repeat);
            Assert.That(survey.PerChannel.Total.Decibels, Is.EqualTo(10 * Math.Log10(all.Sum(o => o.Signal) / all.Sum(o => o.ChannelNoise))).Within(Decibels), TestSeeds.Repeat);
            Assert.That(survey.PerTensor.Worst!.PerTensor.Decibels, Is.EqualTo(all.Min(o => o.PerTensor)).Within(Decibels), TestSeeds.Repeat);
            Assert.That(survey.PerTensor.MeanDecibels, Is.EqualTo(all.Select(o => o.PerTensor).Where(d => d < 250).Average()).Within(Decibels).Or.Null);
            Assert.That(survey.WidestSpread!.ChannelSpread, Is.EqualTo(all.Max(o => o.Spread)).Within(1e-9).Percent);
        });
    }

    [Test]
    public void Surveying_factors_is_surveying_what_is_written([ValueSource(nameof(Types))] ElementType type)
    {
        var options = new SketchOptions { ElementTypes = [type], OutputScale = 0 };
        var network = RandomNetworks.Create("mixed", TestSeeds.Of("int8 written", (int)type), options);
        var scalings = new Scalings(network.Network, network.RandomLogFactors(new Random(1), 0.5));
        var written = network.Clone();
        using var tensors = network.Bind();
        using var copies = written.Bind();
        using var backend = new CpuBackend(1);
        RescalingSolver.Apply(scalings, copies, backend);
        var before = Int8Survey.Take(tensors, 1, scalings)[0];
        var after = Int8Survey.Take(copies, 1, Scalings.Identity(network.Network))[0];
        Assert.That(before.PerTensor.Total.Decibels, Is.EqualTo(after.PerTensor.Total.Decibels).Within(Decibels), TestSeeds.Repeat);
        Assert.That(before.PerChannel.Total.Decibels, Is.EqualTo(after.PerChannel.Total.Decibels).Within(Decibels), TestSeeds.Repeat);
    }

    [Test]
    public void The_number_of_threads_does_not_change_a_bit()
    {
        foreach (var layout in new[] { WeightLayout.Convolution(257, 65, 9), WeightLayout.DenseTransposed(700, 300) })
        {
            var random = new Random(5);
            var network = OneWeight(layout, ElementType.Float32, _ => random.Normal());
            using var tensors = network.Bind();
            var identity = Scalings.Identity(network.Network);
            Assert.That(Int8Survey.Take(tensors, 5, identity)[0].Weights[0], Is.EqualTo(Int8Survey.Take(tensors, 1, identity)[0].Weights[0]));
        }
    }

    [TestCase(double.NaN)]
    [TestCase(double.PositiveInfinity)]
    [TestCase(double.NegativeInfinity)]
    public void An_element_that_is_not_finite_is_named(double bad)
    {
        foreach (var (layout, at) in new[]
        {
            (WeightLayout.Convolution(40, 3, 9), (31 * 3 + 2) * 9 + 4), (WeightLayout.TransposedConvolution(40, 3, 9), (2 * 40 + 31) * 9 + 4),
            (WeightLayout.DenseAfterFlattenTransposed(40, 3, 9), (2 * 9 + 4) * 40 + 31),
        })
        {
            foreach (var type in Types)
            {
                var network = OneWeight(layout, type, n => n == at ? bad : n % 7);
                using var tensors = network.Bind();
                var error = Assert.Throws<NetworkException>(() => Int8Survey.Take(tensors, 2, Scalings.Identity(network.Network)));
                Assert.That(error!.Message, Does.Contain($"'w' holds {bad} at output 31, input 2, kernel position 4"));
            }
        }
    }

    [Test]
    public void An_element_that_overflows_is_named()
    {
        var network = Chain(_ => 1e4, ElementType.Float16);
        using var tensors = network.Bind();
        var u = new double[network.Network.ChannelCount];
        u[network.Network.Groups.Single(g => !g.IsPinned).FirstChannel + 1] = 3;
        var error = Assert.Throws<NetworkException>(() => Int8Survey.Take(tensors, 1, new Scalings(network.Network, u)));
        Assert.That(error!.Message, Does.Contain("'w' overflows Float16").And.Contain("output 1, input 0"));
    }

    [Test]
    public void A_weight_without_elements_is_named()
    {
        var network = Chain(_ => 1);
        using var tensors = new NetworkTensors(network.Network);
        Assert.That(Assert.Throws<TensorException>(() => Int8Survey.Take(tensors, 1, Scalings.Identity(network.Network)))!.Message, Does.Contain("'w'"));
    }

    [Test]
    public void It_can_be_cancelled()
    {
        var network = Chain(_ => 1);
        using var tensors = network.Bind();
        Assert.Throws<OperationCanceledException>(() => Int8Survey.Take(tensors, 1, new CancellationToken(true), Scalings.Identity(network.Network)));
    }

    private static void Compare(TestNetwork network, Int8Survey survey, double[] u)
    {
        foreach (var weight in network.Network.Weights.Where(w => w.Role == WeightRole.Weight))
        {
            // An element at a tie of its type may be rounded either way: exponentials may differ by a few units in the last place.
            var noise = survey.Weights[weight.Index]!;
            double[] ways = u.Any(v => v != 0) ? [1, 1 - 1e-15, 1 + 1e-15] : [1];
            var expected = ways.Select(way => Int8Oracle.Of(network, weight, u, way)).MinBy(o => Distance(noise, o))!;
            string where = $"{weight}, {weight.Layout}, {TestSeeds.Repeat}";
            Assert.That(noise.Range, Is.EqualTo(expected.Range).Within(1e-9).Percent, where);
            Assert.That(noise.ChannelSpread, Is.EqualTo(expected.Spread).Within(1e-9).Percent, where);
            Same(noise.PerTensor, expected.PerTensor, where);
            Same(noise.PerChannel, expected.PerChannel, where);
        }
    }

    private static double Distance(Int8Noise noise, Int8Oracle oracle) =>
        Math.Abs((noise.PerTensor.NoiseToSignal ?? 0) - oracle.TensorNoise / oracle.Signal) + Math.Abs((noise.PerChannel.NoiseToSignal ?? 0) - oracle.ChannelNoise / oracle.Signal);

    // The oracle has rounding noise of its own where the product has none: 250 dB and more.
    private static void Same(SignalToNoise actual, double expected, string where)
    {
        if (double.IsNaN(expected))
        {
            Assert.That(actual.Decibels, Is.Null, where);
        }
        else if (expected > 250)
        {
            Assert.That(actual.Decibels, Is.GreaterThan(250), where);
        }
        else
        {
            Assert.That(actual.Decibels, Is.EqualTo(expected).Within(Decibels), where);
        }
    }

    private static Int8Noise Noise(WeightLayout layout, ElementType type, params double[] values)
    {
        var network = OneWeight(layout, type, n => values[n]);
        using var tensors = network.Bind();
        return Int8Survey.Take(tensors, 1, Scalings.Identity(network.Network))[0].Weights[0]!;
    }

    private static TestNetwork OneWeight(WeightLayout layout, ElementType type, Func<int, double> value)
    {
        var builder = new NetworkBuilder();
        builder.Output(builder.Weight(new WeightDeclaration("w", type, layout), builder.Input("in", layout.Inputs)));
        return Filled(builder.Build(), [new TestTensor("w", type, (int)layout.RequiredElements)], value);
    }

    private static TestNetwork Chain(Func<int, double> value, ElementType type = ElementType.Float64)
    {
        var builder = new NetworkBuilder();
        var hidden = builder.Weight(new WeightDeclaration("w", type, WeightLayout.Dense(2, 2)), builder.Input("in", 2));
        builder.Output(builder.Weight(new WeightDeclaration("v", type, WeightLayout.Dense(2, 2)), hidden));
        return Filled(builder.Build(), [new TestTensor("w", type, 4), new TestTensor("v", type, 4)], value);
    }

    private static TestNetwork Filled(Network network, TestTensor[] tensors, Func<int, double> value)
    {
        int n = 0;
        foreach (var tensor in tensors)
        {
            for (int i = 0; i < tensor.Length; i++)
            {
                tensor[i] = value(n++);
            }
        }

        return TestNetwork.OfElements(network, tensors);
    }
}
