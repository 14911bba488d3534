using EquiNorm.Embedding;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Embedding;

/// <summary>
/// What moves with the weights, by the equivalences of training: a run that is rescaled at every step, with state by the rules and its
/// gradient or its step put back into the old parametrisation, is the run that is never rescaled. Over 20 steps.
/// </summary>
public class TrainingTests
{
    private const int Steps = 20;
    private static readonly int[] Widths = [5, 9, 7, 8, 3];

    [TestCase(ElementType.Float64, false, 1e-12)]
    [TestCase(ElementType.Float64, true, 1e-12)]
    [TestCase(ElementType.Float32, false, 1e-4)]
    [TestCase(ElementType.Float32, true, 1e-4)]
    public void Sgd_with_the_gradient_times_s_squared_and_the_buffer_times_s(ElementType type, bool nesterov, double tolerance)
    {
        const double rate = 0.01, momentum = 0.9;
        Train(type, tolerance, [CompanionKind.Copy], (parameter, gradient, state, s, _) =>
        {
            var g = gradient * s * s;
            state[0] = momentum * state[0] + g;
            return parameter - rate * (nesterov ? g + momentum * state[0] : state[0]);
        });
    }

    [TestCase(ElementType.Float64, 1e-12)]
    [TestCase(ElementType.Float32, 1e-4)]
    public void Adam_with_amsgrad_with_the_step_times_s(ElementType type, double tolerance)
    {
        const double rate = 0.003, beta1 = 0.9, beta2 = 0.99;
        Train(type, tolerance, [CompanionKind.FirstMoment, CompanionKind.SecondMoment, CompanionKind.SecondMoment], (parameter, gradient, state, s, step) =>
        {
            state[0] = beta1 * state[0] + (1 - beta1) * gradient;
            state[1] = beta2 * state[1] + (1 - beta2) * gradient * gradient;
            state[2] = Math.Max(state[2], state[1]);
            var first = state[0] / (1 - Math.Pow(beta1, step));
            var second = Math.Sqrt(state[2] / (1 - Math.Pow(beta2, step)));
            return parameter - (second == 0 ? 0 : rate * s * first / second);
        });
    }

    [TestCase(ElementType.Float64, 1e-12)]
    [TestCase(ElementType.Float32, 1e-4)]
    public void RmsProp_with_the_step_times_s(ElementType type, double tolerance)
    {
        const double rate = 0.002, alpha = 0.95;
        Train(type, tolerance, [CompanionKind.SecondMoment], (parameter, gradient, state, s, _) =>
        {
            state[0] = alpha * state[0] + (1 - alpha) * gradient * gradient;
            return parameter - (state[0] == 0 ? 0 : rate * s * gradient / Math.Sqrt(state[0]));
        });
    }

    [TestCase(ElementType.Float64, 1e-12)]
    [TestCase(ElementType.Float32, 1e-4)]
    public void A_moving_average_stays_that_of_the_unscaled_run(ElementType type, double tolerance) =>
        Train(type, tolerance, [CompanionKind.Copy, CompanionKind.Copy], (parameter, gradient, state, s, _) =>
        {
            var next = parameter - 0.01 * gradient * s * s;
            state[0] = 0.9 * state[0] + 0.1 * next;
            state[1] = next;
            return next;
        });

    [TestCase(ElementType.Float64, 1e-12)]
    [TestCase(ElementType.Float32, 1e-4)]
    public void A_gradient_is_the_gradient_of_the_rescaled_network(ElementType type, double tolerance)
    {
        var random = new Random(TestSeeds.Of("gradient", (int)type));
        var mlp = new Mlp(random, Widths);
        var (input, target) = Sample(random, mlp);
        while (mlp.Gradient(input, target).Any(g => g.All(v => v == 0)))
        {
            // A dead layer: nothing to see.
            mlp = new Mlp(random, Widths);
            (input, target) = Sample(random, mlp);
        }

        var tensors = mlp.Parameters.Select(p => Stored(type, p)).ToList();
        var gradients = mlp.Gradient(input, target).Select(g => Stored(type, g)).ToList();
        using var session = new RescalingSession(new RescalingProblem(Declare(type)));
        using var pins = new Pins();
        for (var t = 0; t < tensors.Count; t++)
        {
            session.Bind(Mlp.Name(t), pins.View(tensors[t], Shape(t)));
            session.BindCompanion(Mlp.Name(t), CompanionKind.FirstMoment, pins.View(gradients[t], Shape(t)));
        }

        session.Step();
        Load(mlp, tensors);
        var expected = mlp.Gradient(input, target);
        for (var t = 0; t < tensors.Count; t++)
        {
            Assert.That(RandomExtensions.Deviation(expected[t], gradients[t].ToArray()), Is.LessThan(tolerance), $"{Mlp.Name(t)}, {TestSeeds.Repeat}");
        }
    }

    // One parameter's update: old value, gradient of the network as it is, state of its companions, its factor so far, number of the step.
    private delegate double Update(double parameter, double gradient, double[] state, double factor, int step);

    private static void Train(ElementType type, double tolerance, CompanionKind[] kinds, Update update)
    {
        var seed = TestSeeds.Of("training", (int)type + 10 * kinds.Length);
        var random = new Random(seed);
        var plain = new Mlp(new Random(seed), Widths);
        var rescaled = new Mlp(new Random(seed), Widths);
        var plainTensors = plain.Parameters.Select(p => Stored(type, p)).ToList();
        var tensors = rescaled.Parameters.Select(p => Stored(type, p)).ToList();
        var plainState = plain.Parameters.Select(p => kinds.Select(_ => Stored(type, new double[p.Length])).ToArray()).ToList();
        var state = plain.Parameters.Select(p => kinds.Select(_ => Stored(type, new double[p.Length])).ToArray()).ToList();
        var network = Declare(type);
        using var session = new RescalingSession(new RescalingProblem(network));
        using var pins = new Pins();
        for (var t = 0; t < tensors.Count; t++)
        {
            session.Bind(Mlp.Name(t), pins.View(tensors[t], Shape(t)));
            for (var k = 0; k < kinds.Length; k++)
            {
                session.BindCompanion(Mlp.Name(t), kinds[k], pins.View(state[t][k], Shape(t)), slot: k);
            }
        }

        var u = new double[network.ChannelCount];
        for (var step = 1; step <= Steps; step++)
        {
            Load(plain, plainTensors);
            var (input, target) = Sample(random, plain);
            Advance(plain, plainTensors, plainState, input, target, update, new double[network.ChannelCount], network, step);
            Advance(rescaled, tensors, state, input, target, update, u, network, step);
            session.Step();
            foreach (var (c, change) in session.ReadScalings().LogFactors.ToArray().Index())
            {
                u[c] += change;
            }
        }

        Load(plain, plainTensors);
        Load(rescaled, tensors);
        Assert.That(u.Max(Math.Abs), Is.GreaterThan(0.05), "the factors are far from 1, or nothing is tested");
        for (var t = 0; t < tensors.Count; t++)
        {
            var factors = Factors(network, t, u);
            var back = rescaled.Parameters[t].Select((w, e) => w / factors[e]).ToArray();
            Assert.That(RandomExtensions.Deviation(plain.Parameters[t], back), Is.LessThan(tolerance), $"{Mlp.Name(t)}, {TestSeeds.Repeat}");
        }

        var probe = Vector(random, Widths[0]);
        Assert.That(RandomExtensions.Deviation(plain.Forward(probe), rescaled.Forward(probe)), Is.LessThan(10 * tolerance), TestSeeds.Repeat);
    }

    private static void Advance(
        Mlp mlp, List<TestTensor> tensors, List<TestTensor[]> state, double[] input, double[] target, Update update, double[] u, Network network, int step)
    {
        Load(mlp, tensors);
        var gradients = mlp.Gradient(input, target);
        for (var t = 0; t < tensors.Count; t++)
        {
            var factors = Factors(network, t, u);
            for (var e = 0; e < tensors[t].Length; e++)
            {
                var numbers = state[t].Select(s => s[e]).ToArray();
                tensors[t][e] = update(tensors[t][e], gradients[t][e], numbers, factors[e], step);
                for (var k = 0; k < numbers.Length; k++)
                {
                    state[t][k][e] = numbers[k];
                }
            }
        }
    }

    private static void Load(Mlp mlp, List<TestTensor> tensors)
    {
        for (var t = 0; t < tensors.Count; t++)
        {
            tensors[t].ToArray().CopyTo(mlp.Parameters[t], 0);
        }
    }

    private static double[] Factors(Network network, int parameter, double[] u)
    {
        var weight = network.Weight(Mlp.Name(parameter));
        var outputs = weight.Outputs.ToChannels(network.Groups);
        var inputs = weight.Inputs.ToChannels(network.Groups);
        return [.. from o in outputs from i in inputs select Math.Exp(u[o] - u[i])];
    }

    private static Network Declare(ElementType type)
    {
        var builder = new NetworkBuilder();
        var axis = builder.Input("x", Widths[0]);
        for (var l = 0; l + 1 < Widths.Length; l++)
        {
            axis = builder.Weight(new($"w{l}", type, WeightLayout.Dense(Widths[l + 1], Widths[l])), axis);
            builder.Bias($"b{l}", type, axis);
        }

        builder.Output(axis);
        return builder.Build();
    }

    private static long[] Shape(int parameter) => parameter % 2 == 0
        ? [Widths[parameter / 2 + 1], Widths[parameter / 2]]
        : [Widths[parameter / 2 + 1]];

    private static TestTensor Stored(ElementType type, double[] values)
    {
        var tensor = new TestTensor("", type, values.Length);
        for (var n = 0; n < values.Length; n++)
        {
            tensor[n] = values[n];
        }

        return tensor;
    }

    private static double[] Vector(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => 2 * random.NextDouble() - 1)];

    // Away from the kinks of ReLU and from errors that are 0, where the gradient or its sign jumps: two runs that differ by rounding may not be told
    // to go two ways. (Adam's first step is the sign.)
    private static (double[] Input, double[] Target) Sample(Random random, Mlp mlp)
    {
        const double margin = 1e-4;
        while (true)
        {
            double[] input = Vector(random, Widths[0]), target = Vector(random, Widths[^1]);
            var biases = mlp.Gradient(input, target).Where((_, t) => t % 2 == 1).SelectMany(g => g);
            if (mlp.Sums(input)[..^1].SelectMany(s => s).All(v => Math.Abs(v) > margin) && biases.All(g => g == 0 || Math.Abs(g) > margin))
            {
                return (input, target);
            }
        }
    }
}
