using EquiNorm.Backends.Cpu;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Solve;

/// <summary>Limits on factors: every way ends at the optimum within them, and the bound is one on the gap to that optimum.</summary>
public sealed class GainLimitTests
{
    // An oracle that crawls, where little flow holds channels together, judges nothing.
    private const double OracleResidual = 1e-11;

    private static readonly ElementType[] Types = [ElementType.Float32, ElementType.Float64, ElementType.Float16, ElementType.BFloat16];

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Every_way_ends_at_the_optimum_within_the_limit(string family)
    {
        var judged = 0;
        for (var draw = 0; draw < 4; draw++)
        {
            var seed = TestSeeds.Of(family, 800 + draw);
            var random = new Random(seed);
            var network = RandomNetworks.Create(family, seed, new SketchOptions { ElementTypes = Types });
            if (draw == 3)
            {
                RandomNetworks.Kill(network, random, channels: 3);
            }

            using var tensors = network.Bind();
            var problem = RandomProblem(network.Network, random);
            var gain = random.Pick(1.05, 1.5, 2, 4, 20);
            var oracle = Solved.OracleOf(tensors, problem);
            var optimum = OracleSolver.ProjectedDescent(oracle, Math.Log(gain));
            if (optimum.Residual >= OracleResidual)
            {
                continue;
            }

            judged++;
            foreach (var options in OptimumTests.Ways())
            {
                var result = RescalingSolver.Solve(problem, tensors, options with { MaxGain = gain });
                var context = $"draw {draw}, p = {problem.Norm}, G = {gain}, {options.Order}, {options.CoarseCorrection}, {options.Acceleration}";
                AssertOptimal(result, oracle, optimum, gain, context);
            }
        }

        Assert.That(judged, Is.GreaterThanOrEqualTo(3), $"draws on which the oracle ended, {TestSeeds.Repeat}");
    }

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Bound_holds_after_any_number_of_sweeps(string family)
    {
        var judged = 0;
        for (var draw = 0; draw < 4; draw++)
        {
            var random = new Random(TestSeeds.Of(family, 810 + draw));
            var network = RandomNetworks.Create(family, random.Next());
            using var tensors = network.Bind();
            var problem = new RescalingProblem(network.Network) { Norm = random.Pick(1.0, 2, 1.5, 3) };
            var gain = random.Pick(1.1, 1.5, 2, 5);
            var oracle = Solved.OracleOf(tensors, problem);
            var optimum = OracleSolver.ProjectedDescent(oracle, Math.Log(gain));
            if (optimum.Residual >= OracleResidual)
            {
                continue;
            }

            judged++;
            foreach (var order in Enum.GetValues<SweepOrder>())
            {
                for (var sweeps = 1; sweeps <= 4; sweeps++)
                {
                    var options = new RescalingOptions { MaxSweeps = sweeps, Tolerance = 1e-15, Order = order, MaxGain = gain };
                    AssertHonest(RescalingSolver.Solve(problem, tensors, options), oracle, optimum, gain, $"draw {draw}, G = {gain}, {order}, {sweeps} sweeps");
                }
            }
        }

        Assert.That(judged, Is.GreaterThanOrEqualTo(3), $"draws on which the oracle ended, {TestSeeds.Repeat}");
    }

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void At_infinity_no_channel_wants_to_move_within_the_limit(string family)
    {
        for (var draw = 0; draw < 4; draw++)
        {
            var random = new Random(TestSeeds.Of(family, 820 + draw));
            var network = RandomNetworks.Create(family, random.Next());
            using var tensors = network.Bind();
            var problem = new RescalingProblem(network.Network) { Norm = double.PositiveInfinity };
            var gain = random.Pick(1.1, 1.5, 2, 5);
            var oracle = Solved.OracleOf(tensors, problem);
            foreach (var order in Enum.GetValues<SweepOrder>())
            {
                var options = new RescalingOptions { Order = order, MaxGain = gain, Tolerance = 1e-9, MaxSweeps = 100_000 };
                var result = RescalingSolver.Solve(problem, tensors, options);
                var message = $"draw {draw}, G = {gain}, {order}, {result.Status}, {TestSeeds.Repeat}";
                Assert.That(result.Status, Is.EqualTo(RescalingStatus.Converged), message);
                Assert.That(oracle.Residual(result.Scalings!.LogFactors, Math.Log(gain)), Is.LessThan(1.1e-9), message);
                AssertWithin(result, gain, message);
            }
        }
    }

    [TestCase(1.2, 0)]
    [TestCase(2, 1)]
    [TestCase(3.9, 1)]
    [TestCase(4, 2)]
    public void Powers_of_two_stay_within_the_limit(double gain, int largest)
    {
        foreach (var family in RandomNetworks.Families)
        {
            var network = RandomNetworks.Create(family, TestSeeds.Of(family, 830));
            using var tensors = network.Bind();
            var problem = new RescalingProblem(network.Network);
            var result = RescalingSolver.Solve(problem, tensors, new RescalingOptions { MaxGain = gain, Factors = FactorSet.PowersOfTwo });
            foreach (var u in result.Scalings!.LogFactors)
            {
                Assert.That(Math.Abs(u / Math.Log(2)), Is.EqualTo(Math.Round(Math.Abs(u / Math.Log(2)))).And.LessThanOrEqualTo(largest), family);
            }

            var oracle = Solved.OracleOf(tensors, problem);
            var optimum = OracleSolver.ProjectedDescent(oracle, Math.Log(gain));
            Assert.That(result.Objective, Is.EqualTo(oracle.Objective(result.Scalings.LogFactors)).Within(1e-8).Percent, family);
            if (result.GapBound is { } bound)
            {
                Assert.That(oracle.Objective(result.Scalings.LogFactors) / optimum.Objective - 1, Is.LessThanOrEqualTo(bound + 1e-12), $"{family}, {TestSeeds.Repeat}");
            }
        }
    }

    [Test]
    public void A_limit_that_nothing_reaches_changes_nothing()
    {
        foreach (var family in RandomNetworks.Families)
        {
            var network = RandomNetworks.Create(family, TestSeeds.Of(family, 840));
            using var tensors = network.Bind();
            var options = new RescalingOptions { Tolerance = 1e-11 };
            var free = RescalingSolver.Solve(new RescalingProblem(network.Network), tensors, options);
            var limited = RescalingSolver.Solve(new RescalingProblem(network.Network), tensors, options with { MaxGain = 1e30 });
            Assert.That(limited.Limited, Is.Empty, family);
            Assert.That(limited.Objective / free.Objective, Is.EqualTo(1).Within(1e-10), $"{family}, {TestSeeds.Repeat}");
        }
    }

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void A_start_beyond_the_limit_begins_at_it(string family)
    {
        var network = RandomNetworks.Create(family, TestSeeds.Of(family, 850));
        using var tensors = network.Bind();
        var problem = new RescalingProblem(network.Network);
        var far = RescalingSolver.Solve(problem, tensors);
        const double gain = 1.4;
        var result = RescalingSolver.Solve(problem, tensors, new RescalingOptions { MaxGain = gain }, start: far.Scalings);

        var oracle = Solved.OracleOf(tensors, problem);
        var optimum = OracleSolver.ProjectedDescent(oracle, Math.Log(gain));
        AssertGap(result, oracle, optimum, "start beyond the limit");
        AssertWithin(result, gain, TestSeeds.Repeat);
    }

    [Test]
    public void Threads_do_not_change_a_bit([Values] SweepOrder order)
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("limit", 0), [301, 257, 512, 33, 7]);
        var expected = Run(1);
        Assert.That(Run(2).SequenceEqual(expected), TestSeeds.Repeat);
        Assert.That(Run(5).SequenceEqual(expected), TestSeeds.Repeat);

        double[] Run(int threads)
        {
            using var tensors = network.Bind();
            using var backend = new CpuBackend(threads);
            var result = RescalingSolver.Solve(new RescalingProblem(network.Network), tensors, new RescalingOptions { Order = order, MaxGain = 2 }, backend);
            return [.. result.Scalings!.LogFactors, result.Objective, result.GapBound ?? -1];
        }
    }

    private static void AssertOptimal(RescalingResult result, OracleProblem oracle, OracleSolution optimum, double gain, string context)
    {
        AssertGap(result, oracle, optimum, context);
        AssertHonest(result, oracle, optimum, gain, context);
    }

    private static void AssertGap(RescalingResult result, OracleProblem oracle, OracleSolution optimum, string context)
    {
        Assert.That(result.Status, Is.EqualTo(RescalingStatus.Converged), $"{context}, gap {result.GapBound}, residual {result.Residual}, {TestSeeds.Repeat}");

        // Without a bound the residual is what is promised; F follows as its square over the smallest share of flow by which a channel is held.
        Assert.That(result.GapBound ?? result.Residual, Is.LessThanOrEqualTo(1e-8), $"{context}, {TestSeeds.Repeat}");
        Assert.That(Gap(result, oracle, optimum), Is.LessThan(result.GapBound is null ? 1e-6 : 1e-8), $"{context}, {TestSeeds.Repeat}");
    }

    private static double Gap(RescalingResult result, OracleProblem oracle, OracleSolution optimum) =>
        double.IsNegativeInfinity(optimum.LogObjective) ? 0
            : Math.Exp(oracle.LogObjective(result.Scalings!.LogFactors) - optimum.LogObjective) - 1;

    // The objective, the residual, the bound and the list of limited channels are what the oracle finds.
    private static void AssertHonest(RescalingResult result, OracleProblem oracle, OracleSolution optimum, double gain, string context)
    {
        var u = result.Scalings!.LogFactors.ToArray();
        var limit = Math.Log(gain);
        var message = $"{context}, {result.Status}, bound {result.GapBound:e3}, gap {Gap(result, oracle, optimum):e3}, {TestSeeds.Repeat}";
        Assert.That(result.Objective, Is.EqualTo(oracle.Objective(u)).Within(1e-8).Percent, message);
        Assert.That(result.Residual, Is.EqualTo(oracle.Residual(u, limit)).Within(1e-10 * result.Residual + 1e-11), message);
        if (result.GapBound is { } bound)
        {
            Assert.That(Gap(result, oracle, optimum), Is.LessThanOrEqualTo(bound + 1e-12), message);
        }

        for (var k = 1; k < result.History.Count; k++)
        {
            Assert.That(result.History[k].Objective, Is.LessThanOrEqualTo(result.History[k - 1].Objective * (1 + 1e-12)), $"record {k}; {message}");
        }

        AssertWithin(result, gain, message);
    }

    private static void AssertWithin(RescalingResult result, double gain, string message)
    {
        var listed = result.Limited.ToDictionary(l => l.Group.FirstChannel + l.Channel, l => l.Side);
        var u = result.Scalings!.LogFactors;
        for (var c = 0; c < u.Length; c++)
        {
            Assert.That(Math.Max(Math.Exp(u[c]), Math.Exp(-u[c])), Is.LessThanOrEqualTo(gain), message);
            var atLimit = Math.Abs(u[c]) > Math.Log(gain) * (1 - 1e-11);
            Assert.That(listed.TryGetValue(c, out var side), Is.EqualTo(atLimit), message);
            if (atLimit)
            {
                Assert.That(side, Is.EqualTo(u[c] > 0 ? GainSide.Largest : GainSide.Smallest), message);
            }
        }
    }

    private static RescalingProblem RandomProblem(Network network, Random random) => new(network)
    {
        Norm = random.Pick(0.5, 1.0, 1.5, 2, 2, 3),
        BiasNorm = random.Pick(BiasNorm.Excluded, BiasNorm.Included),
        Penalty = random.Pick(WeightPenalty.Uniform, WeightPenalty.Uniform, WeightPenalty.Size, WeightPenalty.Depth(1.3)),
    };
}
