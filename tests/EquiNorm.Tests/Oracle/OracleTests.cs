using EquiNorm.Model;
using EquiNorm.Testing;
using EquiNorm.Testing.Golden;
using NUnit.Framework;

namespace EquiNorm.Tests.Oracle;

/// <summary>The oracle is held against closed forms, finite differences, golden optima and itself.</summary>
public sealed class OracleTests
{
    [Test]
    public void Newton_on_one_hidden_layer_is_the_closed_form([Values(0.5, 1, 2, 3)] double norm, [Values(1, 4)] int width)
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("closed form", width), [3, width, 2]);
        using var tensors = network.Bind();
        var (incoming, outgoing) = (new double[width], new double[width]);
        foreach (var (o, _, at) in TestNetwork.Elements(network.Network.Weight("layer1").Layout))
        {
            incoming[o] += Math.Pow(Math.Abs(network["layer1"][at]), norm);
        }

        foreach (var (_, i, at) in TestNetwork.Elements(network.Network.Weight("layer2").Layout))
        {
            outgoing[i] += Math.Pow(Math.Abs(network["layer2"][at]), norm);
        }

        var solution = OracleSolver.Newton(new OracleProblem(tensors, norm));

        // exp(log w^p + p u) carries the rounding of its exponent: 2^-53 of the largest terms in it.
        var elements = new[] { "layer1", "layer2" }.SelectMany(n => network[n].ToArray()).Max(w => Math.Abs(Math.Log(Math.Abs(w))));
        var rounding = Math.ScaleB(8 + 2 * norm * (elements + 2 * solution.LogFactors.Max(Math.Abs)), -53);
        Assert.That(
            solution.Objective / incoming.Zip(outgoing, (a, b) => 2 * Math.Sqrt(a * b)).Sum(), Is.EqualTo(1).Within(rounding), TestSeeds.Repeat);
    }

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Newton_and_cyclic_descent_end_at_the_same_objective(string family)
    {
        // Descent may crawl where little flow holds channels together: then another network is drawn.
        const int Cycles = 20_000;
        var (draw, reached) = (0, false);
        for (; draw < 3 && !reached; draw++)
        {
            var network = RandomNetworks.Create(family, TestSeeds.Of(family, 2 * draw));
            RandomNetworks.Kill(network, new Random(TestSeeds.Of(family, 2 * draw + 1)), channels: 2);
            using var tensors = network.Bind();
            var penalties = network.Network.Weights.Select(w => Math.Sin(w.Index)).ToArray();
            var problem = new OracleProblem(tensors, 1.5, penalties);

            var newton = OracleSolver.Newton(problem);
            var descent = OracleSolver.CyclicDescent(problem, residual: 1e-9, Cycles);

            TestContext.Out.WriteLine($"{problem.IsFree.Count(f => f)} unknowns, Newton {newton.Iterations}, descent {descent.Iterations}, {TestSeeds.Repeat}");
            Assert.That(newton.Residual, Is.LessThan(1e-11), TestSeeds.Repeat);
            Assert.That(newton.Objective, Is.LessThanOrEqualTo(descent.Objective * (1 + 1e-13)), TestSeeds.Repeat);
            reached = descent.Iterations < Cycles;
            Assert.That(reached ? descent.Objective / newton.Objective - 1 : 0, Is.LessThan(1e-9), TestSeeds.Repeat);
        }

        Assert.That(reached, Is.True, $"descent reached the optimum of none of {draw}, {TestSeeds.Repeat}");
    }

    [Test]
    public void Newton_does_not_care_how_the_network_was_rescaled([Values("dense chain", "mixed")] string family)
    {
        var network = RandomNetworks.Create(family, TestSeeds.Of(family, 2), sigma: 0);
        var rescaled = network.Clone();
        rescaled.Rescale(rescaled.RandomLogFactors(new Random(TestSeeds.Of(family, 3)), sigma: 12));
        using var tensors = network.Bind();
        using var rescaledTensors = rescaled.Bind();

        var expected = OracleSolver.Newton(new OracleProblem(tensors)).Objective;
        var actual = OracleSolver.Newton(new OracleProblem(rescaledTensors)).Objective;

        Assert.That(actual / expected - 1, Is.EqualTo(0).Within(1e-12), TestSeeds.Repeat);
    }

    [Test]
    public void Newton_solves_a_thousand_layers_with_a_steep_penalty()
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("deep", 0), [5, .. Enumerable.Repeat(6, 1000), 4]);
        using var tensors = network.Bind();
        var problem = new OracleProblem(tensors, 2, [.. network.Network.Weights.Select(w => 2 * w.Height * Math.Log(1.5))]);

        var solution = OracleSolver.Newton(problem);

        TestContext.Out.WriteLine($"Newton {solution.Iterations}, residual {solution.Residual}, log F {solution.LogObjective}");
        Assert.That(solution.Residual, Is.LessThan(1e-9), TestSeeds.Repeat);
    }

    [Test]
    public void Sums_are_the_derivatives_of_the_objective()
    {
        var network = RandomNetworks.Create("mixed", TestSeeds.Of("derivatives", 0));
        using var tensors = network.Bind();
        var problem = new OracleProblem(tensors, 1.5);
        var u = network.RandomLogFactors(new Random(TestSeeds.Of("derivatives", 1)), 0.1);
        var (incoming, outgoing) = problem.LogSums(u);
        foreach (var c in Enumerable.Range(0, u.Length).Where(c => problem.IsFree[c]))
        {
            var (up, down) = ((double[])u.Clone(), (double[])u.Clone());
            up[c] += 1e-5;
            down[c] -= 1e-5;
            var slope = (problem.Objective(up) - problem.Objective(down)) / 2e-5;
            var expected = 1.5 * (Math.Exp(incoming[c]) - Math.Exp(outgoing[c]));
            Assert.That(slope, Is.EqualTo(expected).Within(1e-6 * problem.Objective(u)), TestSeeds.Repeat);
        }
    }

    [Test]
    public void Golden_optima_are_reproduced()
    {
        using var small = GoldenNetworks.Small();
        using var large = GoldenNetworks.Large();
        Assert.That(OracleSolver.Newton(new OracleProblem(small)).Objective / GoldenNetworks.SmallOptimum, Is.EqualTo(1).Within(1e-12));
        Assert.That(OracleSolver.Newton(new OracleProblem(large)).Objective / GoldenNetworks.LargeOptimum, Is.EqualTo(1).Within(1e-12));
    }

    [Test]
    public void Dead_channels_are_frozen_and_those_that_only_reach_each_other_too()
    {
        // input -> a (2) -> a stream of 3 that reads itself; channel 2 of the stream is written and read by nothing but itself and channel 1.
        var builder = new NetworkBuilder();
        var input = builder.Input("input", 1);
        var stream = builder.Weight(new("stem", ElementType.Float64, WeightLayout.Dense(3, 1)), input);
        stream = builder.Add(stream, builder.Weight(new("loop", ElementType.Float64, WeightLayout.Dense(3, 3)), stream));
        builder.Output(builder.Weight(new("head", ElementType.Float64, WeightLayout.Dense(1, 3)), stream));
        using var tensors = new NetworkTensors(builder.Build());
        tensors.Bind("stem", new double[] { 1, 0, 0 }.AsMemory());
        tensors.Bind("loop", new double[] { 0, 0, 0, 0, 0, 1, 0, 1, 5 }.AsMemory());
        tensors.Bind("head", new double[] { 1, 0, 0 }.AsMemory());

        var frozen = new OracleProblem(tensors).Frozen;

        Assert.That(frozen, Is.EqualTo(new[] { OracleFreeze.None, OracleFreeze.None, OracleFreeze.Unreachable, OracleFreeze.Unreachable, OracleFreeze.None }));
    }

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Rescaling_by_plain_loops_keeps_the_function(string family)
    {
        for (var draw = 0; draw < 5; draw++)
        {
            var network = RandomNetworks.Create(family, TestSeeds.Of(family, draw));
            var rescaled = network.Clone();
            rescaled.Rescale(network.RandomLogFactors(new Random(draw), 1.5));

            Assert.That(rescaled.Tensors.Any(t => !t.ToArray().SequenceEqual(network[t.Name].ToArray())), Is.True, TestSeeds.Repeat);
            Assert.That(RoundedFunction.Excess(network.Run(draw), rescaled, draw), Is.LessThanOrEqualTo(1), TestSeeds.Repeat);
        }
    }
}
