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
    public void Outputs_stay_in_float64(string family) => AssertFunction(family, ElementType.Float64, 1e-12);

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Outputs_stay_in_float32(string family) => AssertFunction(family, ElementType.Float32, 2e-5);

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
            // The smallest normal float16 is 6.1e-5: below it multiplying rounds, and the promise ends.
            var exact = type != ElementType.Float16
                || rescaled.Tensors.SelectMany(t => t.ToArray()).All(w => w == 0 || Math.Abs(w) is >= 6.2e-5 and < 65504);
            Assert.That(
                RandomExtensions.Deviation(network.Run(1), rescaled.Run(1)), Is.LessThanOrEqualTo(exact ? 0 : 1e-3), $"{type}, {TestSeeds.Repeat}");
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

    private static void AssertFunction(string family, ElementType type, double tolerance)
    {
        for (var draw = 0; draw < 5; draw++)
        {
            var network = RandomNetworks.Create(family, TestSeeds.Of(family, 100 + draw), new SketchOptions { ElementTypes = [type] });
            var rescaled = Applied(network, Solved.Run(network).Result.Scalings!);

            Assert.That(RandomExtensions.Deviation(network.Run(draw), rescaled.Run(draw)), Is.LessThan(tolerance), $"draw {draw}, {TestSeeds.Repeat}");
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
