using EquiNorm.Embedding;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Embedding;

/// <summary>
/// A step without the correction of groups is the step of the reference implementation (facebookresearch/enorm) where that is right: a
/// bias-free convolutional network, p = 2, each norm taken at the start of the step, d = sqrt(R / L) / sqrt(c), momentum by 1/s. The
/// reference leaves the last hidden group alone; it is not compared.
/// </summary>
public class ReferenceStepTests
{
    private static readonly int[] Channels = [3, 16, 24, 8, 12, 10];

    [TestCase(1.0)]
    [TestCase(1.2)]
    public void Factors_and_momentum_of_the_first_hidden_groups(double c)
    {
        var random = new Random(TestSeeds.Of("reference", (int)(10 * c)));
        var layers = Channels.Length - 1;
        var weights = new TestTensor[layers];
        var momenta = new TestTensor[layers];
        var builder = new NetworkBuilder();
        var axis = builder.Input("image", Channels[0]);
        for (var l = 0; l < layers; l++)
        {
            weights[l] = Random(random, Channels[l + 1] * Channels[l] * 9, Math.Exp(random.NextDouble() * 4 - 2));
            momenta[l] = Random(random, weights[l].Length, 0.1);
            axis = builder.Weight(new($"conv{l}", ElementType.Float32, WeightLayout.Convolution(Channels[l + 1], Channels[l], 9)), axis);
        }

        builder.Output(axis);
        var before = (Weights: weights.Select(w => w.ToArray()).ToArray(), Momenta: momenta.Select(m => m.ToArray()).ToArray());
        using var session = new RescalingSession(
            new RescalingProblem(builder.Build()) { Penalty = WeightPenalty.Depth(c) },
            options: new SessionOptions { Step = new StepOptions { CoarseCorrection = CoarseCorrection.Off } });
        using var pins = new Pins();
        for (var l = 0; l < layers; l++)
        {
            session.Bind($"conv{l}", pins.View(weights[l], Channels[l + 1], Channels[l], 3, 3));
            session.BindCompanion($"conv{l}", CompanionKind.FirstMoment, pins.View(momenta[l], Channels[l + 1], Channels[l], 3, 3));
        }

        session.Step();
        var balancers = new double[layers + 1][];
        balancers[0] = [.. Enumerable.Repeat(1.0, Channels[0])];
        for (var l = 0; l < layers - 2; l++)
        {
            balancers[l + 1] = Balancers(before.Weights, l, c);
            var output = session.Network.Weight($"conv{l}").Outputs.ToChannels(session.Network.Groups);
            var factors = session.ReadScalings().LogFactors;
            for (var o = 0; o < output.Length; o++)
            {
                Assert.That(Math.Exp(factors[output[o]]), Is.EqualTo(balancers[l + 1][o]).Within(1e-6 * balancers[l + 1][o]), $"conv{l}, {TestSeeds.Repeat}");
            }

            for (var e = 0; e < weights[l].Length; e++)
            {
                var s = balancers[l + 1][e / (9 * Channels[l])] / balancers[l][e / 9 % Channels[l]];
                Assert.That(weights[l][e], Is.EqualTo(before.Weights[l][e] * s).Within(1e-6 * Math.Abs(before.Weights[l][e] * s)), TestSeeds.Repeat);
                Assert.That(momenta[l][e], Is.EqualTo(before.Momenta[l][e] / s).Within(1e-6 * Math.Abs(before.Momenta[l][e] / s)), TestSeeds.Repeat);
            }
        }
    }

    // The balancer of the group between layer l and the next: outgoing over incoming norm, both of the start of the step.
    private static double[] Balancers(double[][] weights, int layer, double c)
    {
        var (inputs, hidden, outputs) = (Channels[layer], Channels[layer + 1], Channels[layer + 2]);
        var balancers = new double[hidden];
        for (var h = 0; h < hidden; h++)
        {
            double left = 0, right = 0;
            for (var e = 0; e < 9 * inputs; e++)
            {
                left += Math.Pow(weights[layer][h * 9 * inputs + e], 2);
            }

            for (var o = 0; o < outputs; o++)
            {
                for (var k = 0; k < 9; k++)
                {
                    right += Math.Pow(weights[layer + 1][(o * hidden + h) * 9 + k], 2);
                }
            }

            balancers[h] = Math.Sqrt(Math.Sqrt(right) / (Math.Sqrt(left) * c));
        }

        return balancers;
    }

    private static TestTensor Random(Random random, int count, double deviation)
    {
        var tensor = new TestTensor("", ElementType.Float32, count);
        for (var e = 0; e < count; e++)
        {
            tensor[e] = deviation * random.Normal();
        }

        return tensor;
    }
}
