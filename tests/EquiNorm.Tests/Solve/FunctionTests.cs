using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Solve;

/// <summary>Applying factors changes the weights and not the function.</summary>
public sealed class FunctionTests
{
    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Outputs_stay_in_float64(string family) => AssertFunction(family, ElementType.Float64);

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Outputs_stay_in_float32(string family) => AssertFunction(family, ElementType.Float32);

    // What the two tests above can see. The seeds are fixed: where the inputs leave a channel dead, nothing shows that its factors are wrong.
    [TestCase(ElementType.Float32, 1e-5)]
    [TestCase(ElementType.Float64, 1e-11)]
    public void A_factor_that_is_a_little_wrong_is_found(ElementType type, double error)
    {
        var found = 0;
        foreach (var family in RandomNetworks.Families)
        {
            var network = RandomNetworks.Create(family, 1, new SketchOptions { ElementTypes = [type], OutputScale = 0 });
            var rescaled = Applied(network, Solved.Run(network).Result.Scalings!);
            var weight = network.Network.Weights.First(w => w.Role == WeightRole.Weight && w.Outputs.ToChannels(network.Network.Groups).All(c => !IsPinned(network.Network, c)));
            var wrong = rescaled.WithElements(w => (o, _, element) => w == weight && o == 0 ? element * (1 + error) : element);

            Assert.That(RoundedFunction.Excess(network.Run(2), rescaled, 2), Is.LessThanOrEqualTo(1), family);
            found += RoundedFunction.Excess(network.Run(2), wrong, 2) > 1 ? 1 : 0;
        }

        TestContext.Out.WriteLine($"{found} of {RandomNetworks.Families.Count}");
        Assert.That(found, Is.GreaterThanOrEqualTo(RandomNetworks.Families.Count / 2));

        static bool IsPinned(Network network, int channel) =>
            network.Groups.Any(g => g.IsPinned && channel >= g.FirstChannel && channel < g.FirstChannel + g.Count);
    }

    [Test]
    public void Outputs_that_are_no_numbers_are_found()
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("no numbers", 0), [3, 4, 2]);
        var broken = network.WithElements(_ => (o, _, element) => o == 0 ? double.NaN : element);
        Assert.That(RoundedFunction.Excess(network.Run(0), broken, 0), Is.EqualTo(double.PositiveInfinity));
        Assert.That(RandomExtensions.Deviation(network.Run(0), broken.Run(0)), Is.EqualTo(double.PositiveInfinity));
    }

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Inverse_takes_the_weights_back(string family)
    {
        var network = RandomNetworks.Create(family, TestSeeds.Of(family, 110), new SketchOptions { OutputScale = 0 });
        var original = network.Clone();
        using var tensors = network.Bind();
        var scalings = RescalingSolver.Solve(new(network.Network), tensors).Scalings!;

        RescalingSolver.Apply(scalings, tensors);
        RescalingSolver.Apply(scalings.Inverse(), tensors);

        foreach (var tensor in network.Tensors)
        {
            Assert.That(tensor.ToArray(), Is.EqualTo(original[tensor.Name].ToArray()).Within(1e-13).Percent, TestSeeds.Repeat);
        }
    }

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Powers_of_two_keep_every_bit_of_the_outputs(string family)
    {
        foreach (var type in Enum.GetValues<ElementType>())
        {
            var network = RandomNetworks.Create(
                family, TestSeeds.Of(family, 120), new SketchOptions { OutputScale = 0, ElementTypes = [type] }, sigma: 0.7);
            var solved = Solved.Run(network, options: new RescalingOptions { Factors = FactorSet.PowersOfTwo });
            var rescaled = Applied(network, solved.Result.Scalings!);

            Assert.That(solved.Factors.Select(u => u / Math.Log(2)), Is.All.Matches<double>(e => Math.Abs(e - Math.Round(e)) < 1e-9));
            // Below the smallest normal float16 multiplying rounds, and the promise ends.
            var exact = type != ElementType.Float16 || network.Tensors.All(t => t.ToArray().Zip(rescaled[t.Name].ToArray()).All(w => w.First == 0 || Math.Abs(w.Second) >= Math.ScaleB(1, -14)));
            var (before, after) = (network.Run(1), rescaled.Run(1));
            Assert.That(exact ? RandomExtensions.Deviation(before, after) : 0, Is.Zero, $"{type}, {TestSeeds.Repeat}");
            Assert.That(RoundedFunction.Excess(before, rescaled, 1), Is.LessThanOrEqualTo(1), $"{type}, {TestSeeds.Repeat}");
            solved.AssertHonest($"{type}");
        }
    }

    [Test]
    public void Powers_of_two_stay_within_the_predicted_distance_of_the_optimum([Values(1, 2)] double norm)
    {
        // Each edge is off by at most a factor 2^p; on average (sinh y / y)^2, y = p ln 2 / 2.
        var network = RandomNetworks.Chain(TestSeeds.Of("exact", 0), [33, 65, 65, 65, 10]);
        var solved = Solved.Run(
            network, new RescalingProblem(network.Network) { Norm = norm }, new RescalingOptions { Factors = FactorSet.PowersOfTwo });
        var y = norm * Math.Log(2) / 2;

        Assert.That(solved.Result.Status, Is.EqualTo(RescalingStatus.Converged));
        Assert.That(solved.Gap, Is.GreaterThan(0).And.LessThan(1.6 * (Math.Pow(Math.Sinh(y) / y, 2) - 1)), TestSeeds.Repeat);
    }

    [Test]
    public void Solving_reads_only()
    {
        var network = RandomNetworks.Create("mixed", TestSeeds.Of("reads", 0));
        var original = network.Clone();
        Solved.Run(network);

        Assert.That(network.Tensors.SelectMany(t => t.ToArray()), Is.EqualTo(original.Tensors.SelectMany(t => t.ToArray())));
    }

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Every_element_is_multiplied_once_and_gaps_of_views_are_left_alone(string family)
    {
        foreach (var type in Enum.GetValues<ElementType>())
        {
            var network = RandomNetworks.Create(family, TestSeeds.Of(family, 130), new SketchOptions { Strided = 0.7, ElementTypes = [type] }, sigma: 0.7);
            var scalings = new Scalings(network.Network, network.RandomLogFactors(new Random(1), 0.7));
            var expected = network.Clone();
            foreach (var weight in network.Network.Weights.Where(w => !w.OutputScale.IsEmpty))
            {
                foreach (var (o, _, at) in TestNetwork.Elements(weight.Layout))
                {
                    expected[weight.Name][at] = weight.OutputScale.Span[o] * network[weight.Name][at];
                }
            }

            expected.Rescale(scalings.LogFactors);
            var actual = Applied(network, scalings);

            // Storage is rounded once by the product and, with an output scale, twice here.
            var tolerance = 2.5 * type.UnitRoundoff() + 1e-14;
            foreach (var tensor in actual.Tensors)
            {
                var smallest = type == ElementType.Float16 ? 1e-6 : 0;
                var wanted = expected[tensor.Name].ToArray();
                Assert.That(
                    tensor.ToArray().Zip(wanted, (a, b) => Math.Abs(a - b) - tolerance * Math.Abs(b) * 1.01 - smallest),
                    Is.All.LessThanOrEqualTo(0),
                    $"{tensor.Name}, {type}, {TestSeeds.Repeat}");
            }
        }
    }

    private static void AssertFunction(string family, ElementType type)
    {
        for (var draw = 0; draw < 5; draw++)
        {
            var network = RandomNetworks.Create(family, TestSeeds.Of(family, 100 + draw), new SketchOptions { ElementTypes = [type] });
            var rescaled = Applied(network, Solved.Run(network).Result.Scalings!);

            Assert.That(RoundedFunction.Excess(network.Run(draw), rescaled, draw), Is.LessThanOrEqualTo(1), $"draw {draw}, {TestSeeds.Repeat}");
        }
    }

    private static TestNetwork Applied(TestNetwork network, Scalings scalings)
    {
        var rescaled = network.With(OutputScales.BakedIn);
        using var tensors = rescaled.Bind();
        RescalingSolver.Apply(scalings, tensors);
        return rescaled;
    }
}
