using EquiNorm.Backends;
using EquiNorm.Backends.Cpu;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Solve;

/// <summary>p = infinity: every way ends where largest incoming and outgoing magnitudes agree, by an oracle that shares no code.</summary>
public sealed class LargestNormTests
{
    private static readonly ElementType[] Types = [ElementType.Float32, ElementType.Float64, ElementType.Float16, ElementType.BFloat16];

    // No walk of weights leads from a group back to itself: the map from u to the next u contracts, and has one fixed point.
    private static readonly string[] FamiliesWithoutCycles =
        ["dense chain", "convolution 1-D", "convolution 2-D", "dense blocks", "depthwise multiplier", "grouped", "batch normalisation", "repeated channels"];

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Every_order_balances_a_random_network(string family)
    {
        for (var draw = 0; draw < 5; draw++)
        {
            var seed = TestSeeds.Of(family, 700 + draw);
            var random = new Random(seed);
            var network = RandomNetworks.Create(family, seed, new SketchOptions { ElementTypes = Types, Sparsity = draw == 4 ? 0.5 : 0 });
            if (draw == 3)
            {
                RandomNetworks.Kill(network, random, channels: 3);
            }

            using var tensors = network.Bind();
            var problem = new RescalingProblem(network.Network)
            {
                Norm = double.PositiveInfinity,
                BiasNorm = random.Pick(BiasNorm.Excluded, BiasNorm.Included),
                Penalty = random.Pick(WeightPenalty.Uniform, WeightPenalty.Uniform, WeightPenalty.Size, WeightPenalty.Depth(1.3)),
            };
            var oracle = Solved.OracleOf(tensors, problem);
            foreach (var order in Enum.GetValues<SweepOrder>())
            {
                foreach (var tolerance in (double?[])[null, 1e-9])
                {
                    var options = new RescalingOptions { Order = order, Tolerance = tolerance, MaxSweeps = 100_000 };
                    AssertBalanced(RescalingSolver.Solve(problem, tensors, options), oracle, tolerance ?? 1e-4, $"draw {draw}, {order}");
                }
            }
        }
    }

    // The way back meets what the way forth has just balanced, a residual of 1e-15, while the factors are 1e-3 away: that is no best residual, below
    // which nothing falls any more.
    [Test]
    public void A_half_sweep_that_meets_nothing_is_not_the_end([Values(1e-9, 1e-13)] double tolerance)
    {
        var network = RandomNetworks.Create("depthwise pairs", 1511080808, new SketchOptions { ElementTypes = Types });
        using var tensors = network.Bind();
        foreach (var bias in Enum.GetValues<BiasNorm>())
        {
            foreach (var penalty in new[] { WeightPenalty.Uniform, WeightPenalty.Size, WeightPenalty.Depth(1.3) })
            {
                var problem = new RescalingProblem(network.Network) { Norm = double.PositiveInfinity, BiasNorm = bias, Penalty = penalty };
                var result = RescalingSolver.Solve(problem, tensors, new RescalingOptions { Tolerance = tolerance });
                AssertBalanced(result, Solved.OracleOf(tensors, problem), tolerance, $"{bias}, {penalty}");
            }
        }
    }

    [TestCaseSource(nameof(FamiliesWithoutCycles))]
    public void Without_cycles_every_order_ends_at_the_same_point(string family)
    {
        for (var draw = 0; draw < 3; draw++)
        {
            var network = RandomNetworks.Create(family, TestSeeds.Of(family, 720 + draw));
            using var tensors = network.Bind();
            var problem = new RescalingProblem(network.Network) { Norm = double.PositiveInfinity };
            var expected = OracleSolver.ProjectedDescent(Solved.OracleOf(tensors, problem), double.PositiveInfinity);
            foreach (var order in Enum.GetValues<SweepOrder>())
            {
                var result = RescalingSolver.Solve(
                    problem, tensors, new RescalingOptions { Order = order, Tolerance = 1e-12, MaxSweeps = 100_000 });
                var distance = result.Scalings!.LogFactors.ToArray().Zip(expected.LogFactors, (a, b) => Math.Abs(a - b)).Max();
                Assert.That(distance, Is.LessThan(1e-9), $"{order}, draw {draw}, {TestSeeds.Repeat}");
            }
        }
    }

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void The_function_stays_and_a_second_solve_has_nothing_to_do(string family)
    {
        var network = RandomNetworks.Create(family, TestSeeds.Of(family, 730));
        var before = network.Run(3);
        using var tensors = network.Bind();
        var problem = new RescalingProblem(network.Network) { Norm = double.PositiveInfinity };
        var options = new RescalingOptions { Tolerance = 1e-10, MaxSweeps = 100_000 };
        RescalingSolver.Apply(RescalingSolver.Solve(problem, tensors, options).Scalings!, tensors);
        Assert.That(RoundedFunction.Excess(before, network.With(OutputScales.BakedIn), 3), Is.LessThanOrEqualTo(1), TestSeeds.Repeat);
        if (network.Network.Weights.All(w => w.OutputScale.IsEmpty))
        {
            var again = RescalingSolver.Solve(problem, tensors, options);
            Assert.That(again.Scalings!.LogFactors.ToArray(), Is.All.EqualTo(0).Within(1e-9), TestSeeds.Repeat);
        }
    }

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Powers_of_two_are_the_nearest(string family)
    {
        var network = RandomNetworks.Create(family, TestSeeds.Of(family, 740));
        using var tensors = network.Bind();
        var problem = new RescalingProblem(network.Network) { Norm = double.PositiveInfinity };
        var real = RescalingSolver.Solve(problem, tensors);
        var exact = RescalingSolver.Solve(problem, tensors, new RescalingOptions { Factors = FactorSet.PowersOfTwo });

        Assert.That(
            exact.Scalings!.LogFactors.ToArray(), Is.EqualTo(real.Scalings!.PowerOfTwo().LogFactors.ToArray()), TestSeeds.Repeat);
        var oracle = Solved.OracleOf(tensors, problem);
        Assert.That(exact.Residual, Is.EqualTo(oracle.Residual(exact.Scalings.LogFactors)).Within(1e-9), TestSeeds.Repeat);
        Assert.That(exact.Objective, Is.EqualTo(oracle.Objective(exact.Scalings.LogFactors)).Within(1e-9).Percent, TestSeeds.Repeat);
        Assert.That(exact.Residual, Is.LessThan(4 * Math.Log(2)), "each channel moved by at most half a power of two");
    }

    [Test]
    public void Threads_do_not_change_a_bit([Values] SweepOrder order)
    {
        foreach (var network in new[]
        {
            RandomNetworks.Chain(TestSeeds.Of("largest", 0), [301, 257, 512, 33, 7], new SketchOptions { ElementTypes = Types }),
            RandomNetworks.Create("mixed", TestSeeds.Of("largest", 1)),
        })
        {
            var expected = Run(network, 1);
            Assert.That(Run(network, 2).SequenceEqual(expected), TestSeeds.Repeat);
            Assert.That(Run(network, 5).SequenceEqual(expected), TestSeeds.Repeat);
        }

        double[] Run(TestNetwork network, int threads)
        {
            using var tensors = network.Bind();
            using var backend = new CpuBackend(threads);
            var problem = new RescalingProblem(network.Network) { Norm = double.PositiveInfinity };
            var result = RescalingSolver.Solve(problem, tensors, new RescalingOptions { Order = order }, backend);
            AssertBalanced(result, Solved.OracleOf(tensors, problem), 1e-4, $"{order}, {threads} threads"); // partial sums are combined here
            return [.. result.Scalings!.LogFactors, result.Objective, result.Residual];
        }
    }

    // Two channels, each of which holds the other's largest incoming and outgoing magnitude: whole Jacobi steps exchange them for ever.
    [Test]
    public void Channels_that_hold_each_other_do_not_swing([Values] SweepOrder order)
    {
        var builder = new NetworkBuilder();
        var stream = builder.Weight(Dense("stem", 1, 1), builder.Input("x", 1));
        var branch = builder.Weight(Dense("out", 1, 1), builder.Weight(Dense("in", 1, 1), stream));
        builder.Output(builder.Weight(Dense("head", 1, 1), builder.Add(stream, branch)));
        using var tensors = new NetworkTensors(builder.Build())
            .Bind("stem", new float[] { 0.01f }).Bind("in", new float[] { 100 }).Bind("out", new float[] { 1 }).Bind("head", new float[] { 0.01f });

        var problem = new RescalingProblem(tensors.Network) { Norm = double.PositiveInfinity };
        var result = RescalingSolver.Solve(problem, tensors, new RescalingOptions { Order = order, Tolerance = 1e-9 });

        AssertBalanced(result, Solved.OracleOf(tensors, problem), 1e-9, $"{order}");
        Assert.That(result.Sweeps, Is.LessThan(20));
    }

    [TestCase(float.NaN)]
    [TestCase(float.PositiveInfinity)]
    [TestCase(float.NegativeInfinity)]
    public void What_is_not_finite_is_found_wherever_it_is(float bad)
    {
        foreach (var family in RandomNetworks.Families)
        {
            var network = RandomNetworks.Create(family, TestSeeds.Of(family, 750), new SketchOptions { Strided = 0 });
            var random = new Random(TestSeeds.Of(family, 751));
            var weight = random.Pick([.. network.Network.Weights.Where(w => w.Role == WeightRole.Weight)]);
            var elements = TestNetwork.Elements(weight.Layout).ToArray();
            var place = random.Pick(elements);
            network[weight.Name][place.Address] = bad;
            using var tensors = network.Bind();

            var result = RescalingSolver.Solve(new RescalingProblem(network.Network) { Norm = double.PositiveInfinity }, tensors);

            Assert.That(result.Status, Is.EqualTo(RescalingStatus.NonFinite), $"{family}, {weight.Name}, {TestSeeds.Repeat}");
            Assert.That(result.NonFinite!.Value.Weight.Name, Is.EqualTo(weight.Name), $"{family}, {TestSeeds.Repeat}");
            Assert.That(result.NonFinite!.Value.Output, Is.EqualTo(place.Output), $"{family}, {TestSeeds.Repeat}");
        }
    }

    [Test]
    public void A_scale_of_zero_does_not_hide_a_NaN()
    {
        var builder = new NetworkBuilder();
        var hidden = builder.Weight(Dense("a", 2, 1) with { OutputScale = (double[])[1, 0] }, builder.Input("x", 1));
        builder.Output(builder.Weight(Dense("b", 1, 2), hidden));
        using var tensors = new NetworkTensors(builder.Build()).Bind("a", new float[] { 1, float.NaN }).Bind("b", new float[] { 1, 1 });
        var result = RescalingSolver.Solve(new RescalingProblem(tensors.Network) { Norm = double.PositiveInfinity }, tensors);
        Assert.That(result.Status, Is.EqualTo(RescalingStatus.NonFinite));
    }

    [TestCase(1e-310, 1e308)]
    [TestCase(double.Epsilon, 1)]
    [TestCase(1e200, 1e-200)]
    public void Extreme_magnitudes_neither_overflow_nor_die(double first, double second)
    {
        var builder = new NetworkBuilder();
        var hidden = builder.Weight(new("a", ElementType.Float64, WeightLayout.Dense(2, 2)), builder.Input("x", 2));
        builder.Output(builder.Weight(new("b", ElementType.Float64, WeightLayout.Dense(2, 2)), hidden));
        using var tensors = new NetworkTensors(builder.Build()).Bind("a", new[] { first, first / 2, first, 0 }).Bind("b", new[] { second, 0, second, second / 4 });

        var problem = new RescalingProblem(tensors.Network) { Norm = double.PositiveInfinity };
        var result = RescalingSolver.Solve(problem, tensors);

        Assert.That(result.Frozen, Is.Empty);
        AssertBalanced(result, Solved.OracleOf(tensors, problem), 1e-4, "");
    }

    [Test]
    public void Zeros_leave_everything_alone()
    {
        var network = RandomNetworks.Create("residual", TestSeeds.Of("zeros", 7));
        foreach (var weight in network.Network.Weights)
        {
            foreach (var (_, _, at) in TestNetwork.Elements(weight.Layout))
            {
                network[weight.Name][at] = 0;
            }
        }

        using var tensors = network.Bind();
        var result = RescalingSolver.Solve(new RescalingProblem(network.Network) { Norm = double.PositiveInfinity }, tensors);

        Assert.That(result.Status, Is.EqualTo(RescalingStatus.Converged));
        Assert.That(result.Scalings!.LogFactors.ToArray(), Is.All.Zero);
    }

    [Test]
    public void Steps_refuse_it()
    {
        var network = RandomNetworks.Create("dense chain", 3);
        using var tensors = network.Bind();
        Assert.That(
            () => new RescalingStepper(new RescalingProblem(network.Network) { Norm = double.PositiveInfinity }, tensors),
            Throws.InstanceOf<UnsupportedProblemException>());
    }

    [Test]
    public void Survey_and_solver_agree([ValueSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))] string family)
    {
        var network = RandomNetworks.Create(family, TestSeeds.Of(family, 760));
        using var tensors = network.Bind();
        var result = RescalingSolver.Solve(new RescalingProblem(network.Network) { Norm = double.PositiveInfinity }, tensors);
        var surveys = NetworkSurvey.Take(tensors, double.PositiveInfinity, 1, Scalings.Identity(network.Network), result.Scalings!);
        Assert.Multiple(() =>
        {
            Assert.That(surveys[0].Objective, Is.EqualTo(result.ObjectiveBefore).Within(1e-9).Percent, TestSeeds.Repeat);
            Assert.That(surveys[1].Objective, Is.EqualTo(result.Objective).Within(1e-9).Percent, TestSeeds.Repeat);
            Assert.That(surveys[1].Objective, Is.EqualTo(surveys[1].WeightNorms.Sum()).Within(1e-9).Percent, TestSeeds.Repeat);
            if (result.Frozen.Count == 0)
            {
                Assert.That(surveys[1].Residual, Is.EqualTo(result.Residual).Within(1e-9), TestSeeds.Repeat);
            }
        });
    }

    private static void AssertBalanced(RescalingResult result, OracleProblem oracle, double tolerance, string context)
    {
        var message = $"{context}; {result.Status}, {result.Sweeps} sweeps, residual {result.Residual:e2}, {TestSeeds.Repeat}";
        var u = result.Scalings!.LogFactors.ToArray();
        Assert.That(result.Status, Is.EqualTo(RescalingStatus.Converged), message);
        Assert.That(oracle.Residual(u), Is.LessThanOrEqualTo(tolerance + 1e-12), message);
        Assert.That(result.Residual, Is.EqualTo(oracle.Residual(u)).Within(1e-11), message);
        Assert.That(result.GapBound, Is.Null, message);
        Assert.That(result.Objective, Is.EqualTo(oracle.Objective(u)).Within(1e-9).Percent, message);
        Assert.That(result.ObjectiveBefore, Is.EqualTo(oracle.Objective(new double[u.Length])).Within(1e-9).Percent, message);
        for (var c = 0; c < u.Length; c++)
        {
            if (!oracle.IsFree[c])
            {
                Assert.That(u[c], Is.Zero, message);
            }
        }
    }

    private static WeightDeclaration Dense(string name, int outputs, int inputs) => new(name, ElementType.Float32, WeightLayout.Dense(outputs, inputs));
}
