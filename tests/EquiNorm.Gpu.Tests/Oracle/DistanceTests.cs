using EquiNorm.Backends.Cpu;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;

namespace EquiNorm.Gpu.Tests.Oracle;

/// <summary>What the comparisons of solves and steps would find, and what they let pass.</summary>
public sealed class DistanceTests
{
    private const double Off = 1e-4;

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void A_solve_with_one_factor_a_ten_thousandth_off_is_found(string family)
    {
        var network = RandomNetworks.Create(family, TestSeeds.Of(family, 1700));
        using var tensors = network.Bind();
        var problem = new RescalingProblem(network.Network);
        using var cpu = new CpuBackend(1);
        var result = RescalingSolver.Solve(problem, tensors, new RescalingOptions { Tolerance = 1e-13 }, cpu);
        var oracle = OptimumDistance.OracleOf(problem, tensors);
        var u = result.Scalings!.LogFactors.ToArray();
        var allowed = 2 * oracle.GapOf(result) + OptimumDistance.Rounding;
        Assert.That(allowed, Is.InRange(0, 1e-12), TestSeeds.Repeat);
        Assert.That(oracle.LargestGain(u), Is.LessThanOrEqualTo(allowed), TestSeeds.Repeat);
        var (incoming, _) = oracle.LogSums(u);
        var logObjective = oracle.LogObjective(u);
        for (var c = 0; c < u.Length; c++)
        {
            // p = 2: (1e-4)^2 times the two shares of F that the channel has in front and behind.
            if (oracle.IsFree[c] && Math.Exp(incoming[c] - logObjective) > 1e-3)
            {
                double[] v = [.. u];
                v[c] += Off;
                Assert.That(oracle.Separation(u, v), Is.GreaterThan(allowed), $"channel {c}, {TestSeeds.Repeat}");
                Assert.That(oracle.LargestGain(v), Is.GreaterThan(allowed), $"channel {c}, {TestSeeds.Repeat}");
                v[c] = double.NaN;
                Assert.That(oracle.Separation(u, v), Is.GreaterThan(allowed), TestSeeds.Repeat);
                Assert.That(oracle.LargestGain(v), Is.GreaterThan(allowed), TestSeeds.Repeat);
            }
        }
    }

    [Test]
    public void The_distance_of_two_points_is_what_F_gains_in_their_middle([Values(1, 1.5, 2, 6)] double norm)
    {
        var network = RandomNetworks.Create("mixed", TestSeeds.Of("mixed", 1701));
        using var tensors = network.Bind();
        var oracle = new OracleProblem(tensors, norm);
        var random = new Random(TestSeeds.Of("mixed", 1702));
        var (a, b) = (network.RandomLogFactors(random, 0.5), network.RandomLogFactors(random, 0.5));
        double[] middle = [.. a.Zip(b, (x, y) => (x + y) / 2)];
        var expected = (oracle.Objective(a) + oracle.Objective(b)) / oracle.Objective(middle) - 2;
        Assert.That(oracle.Separation(a, b), Is.EqualTo(expected).Within(1e-9 * (1 + expected)), TestSeeds.Repeat);
    }

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void A_step_with_one_factor_a_ten_thousandth_off_is_found(string family)
    {
        var (found, all) = (0, 0);
        for (var draw = 0; draw < 4; draw++)
        {
            var network = RandomNetworks.Create(family, TestSeeds.Of(family, 1710 + draw), new SketchOptions { OutputScale = 0 });
            using var tensors = network.Bind();
            var problem = new RescalingProblem(network.Network);
            var oracle = OptimumDistance.OracleOf(problem, tensors);
            var law = new StepLaw(oracle);
            using var cpu = new CpuBackend(1);
            using var stepper = new RescalingStepper(problem, tensors, cpu);
            stepper.Step();
            var u = stepper.ReadScalings().LogFactors.ToArray();
            Assert.That(law.Excess(u), Is.LessThanOrEqualTo(1), $"draw {draw}, {TestSeeds.Repeat}");
            for (var c = 0; c < u.Length; c++)
            {
                double[] v = [.. u];
                v[c] += Off;
                all++;
                found += law.Excess(v) > 1 ? 1 : 0;
                v[c] = double.NaN;
                Assert.That(law.Excess(v), Is.GreaterThan(1), $"draw {draw}, channel {c}, {TestSeeds.Repeat}");
            }
        }

        // Some are next to groups of little flow alone, and so not determined: few.
        Assert.That(found, Is.GreaterThanOrEqualTo(0.75 * all), TestSeeds.Repeat);
    }
}
