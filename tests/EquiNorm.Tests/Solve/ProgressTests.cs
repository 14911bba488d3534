using EquiNorm.Backends.Cpu;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Solve;

/// <summary>What a solve tells while it runs, and how it ends before the tolerance is met.</summary>
public sealed class ProgressTests
{
    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Progress_is_told_once_per_record_and_ends_with_the_result(string family)
    {
        var network = RandomNetworks.Create(family, TestSeeds.Of(family, 400));
        using var tensors = network.Bind();
        foreach (var options in OptimumTests.Ways())
        {
            var told = new List<SweepRecord>();
            var result = RescalingSolver.Solve(new(network.Network), tensors, options, progress: new Listener(told.Add));
            var message = $"{options}, {TestSeeds.Repeat}";

            Assert.That(told, Is.EqualTo(result.History), message);
            Assert.That(told.Select(r => r.Sweeps), Is.Ordered, message);
            var objective = result.ObjectiveBefore;
            foreach (var record in told)
            {
                Assert.That(record.Objective, Is.LessThanOrEqualTo(objective * (1 + 1e-12)), message);
                Assert.That(record.Residual, Is.GreaterThanOrEqualTo(0), message);
                objective = record.Objective;
            }

            if (told.Count > 0)
            {
                Assert.That(told[^1], Is.EqualTo(new SweepRecord(result.Sweeps, result.Objective, result.Residual, result.GapBound)), message);
            }
        }
    }

    // Wide enough that every half sweep reads something, slow enough that there are many of them.
    [Test]
    public void Sweeps_grow_from_record_to_record([Values] SweepOrder order)
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("progress", 0), [8, .. Enumerable.Repeat(8, 20), 8]);
        using var tensors = network.Bind();
        var options = new RescalingOptions { Order = order, CoarseCorrection = CoarseCorrection.Off, Acceleration = Acceleration.None, MaxSweeps = 30 };

        var history = RescalingSolver.Solve(new(network.Network), tensors, options).History;

        Assert.That(history, Has.Count.GreaterThanOrEqualTo(20), TestSeeds.Repeat);
        for (var k = 1; k < history.Count; k++)
        {
            Assert.That(history[k].Sweeps, Is.GreaterThan(history[k - 1].Sweeps), $"record {k}, {TestSeeds.Repeat}");
        }
    }

    [Test]
    public void A_solve_that_is_cancelled_throws_and_leaves_tensors_and_backend_as_they_were([Values] SweepOrder order, [Values(1, 3)] int records)
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("cancel", 0), [40, .. Enumerable.Repeat(48, 12), 10]);
        var before = network.Clone();
        using var tensors = network.Bind();
        using var backend = new CpuBackend(threads: 3);
        using var source = new CancellationTokenSource();
        var options = new RescalingOptions { Order = order, CoarseCorrection = CoarseCorrection.Off, Acceleration = Acceleration.None, MaxSweeps = 100_000 };
        var problem = new RescalingProblem(network.Network);
        var expected = RescalingSolver.Solve(problem, tensors, options, backend);
        var told = 0;
        var canceller = new Listener(_ =>
        {
            if (++told == records)
            {
                source.Cancel();
            }
        });

        Assert.That(
            () => RescalingSolver.Solve(problem, tensors, options, backend, canceller, source.Token),
            Throws.InstanceOf<OperationCanceledException>());

        Assert.That(told, Is.EqualTo(records), "half sweeps after the cancellation");
        foreach (var tensor in network.Tensors)
        {
            Assert.That(tensor.ToArray(), Is.EqualTo(before[tensor.Name].ToArray()), tensor.Name);
        }

        var again = RescalingSolver.Solve(problem, tensors, options, backend);
        Assert.That(again.Scalings!.LogFactors.SequenceEqual(expected.Scalings!.LogFactors), Is.True, "the backend solves as before");
    }

    [Test]
    public void A_solve_that_was_cancelled_before_it_began_makes_no_half_sweep()
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("cancel", 1), [3, 4, 5, 2]);
        using var tensors = network.Bind();
        var told = 0;

        Assert.That(
            () => RescalingSolver.Solve(
                new(network.Network), tensors, progress: new Listener(_ => told++), cancellation: new CancellationToken(canceled: true)),
            Throws.InstanceOf<OperationCanceledException>());

        Assert.That(told, Is.Zero);
    }

    [Test]
    public void Sweep_limit_is_kept_and_said([Values] SweepOrder order, [Values(1, 2, 3, 5, 10)] int limit, [Values] Acceleration acceleration)
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("limit", limit), [8, .. Enumerable.Repeat(8, 60), 8]);
        var solved = Solved.Run(network, options: new RescalingOptions
        {
            MaxSweeps = limit, Order = order, CoarseCorrection = CoarseCorrection.Off, Acceleration = acceleration,
        });
        var message = $"{order}, {TestSeeds.Repeat}";

        // The check of the last factors costs at most a sweep, and the first half sweep is always made.
        var updates = solved.Result.Sweeps - 1;
        Assert.That(solved.Result.Status, Is.EqualTo(RescalingStatus.SweepLimit), message);
        Assert.That(updates, Is.LessThanOrEqualTo(Math.Max(limit, 1.5)), message);
        Assert.That(solved.Result.History[^1].Sweeps, Is.EqualTo(solved.Result.Sweeps), message);
        if (acceleration == Acceleration.None)
        {
            Assert.That(solved.Result.Sweeps, Is.GreaterThan(limit - 1), message);
        }

        Assert.That(solved.Result.Advice, Does.StartWith("The sweep limit was reached"), message);
        solved.AssertHonest(message);
    }

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void Sweep_limit_is_kept_on_any_network(string family)
    {
        for (var draw = 0; draw < 5; draw++)
        {
            var network = RandomNetworks.Create(family, TestSeeds.Of(family, 410 + draw));
            using var tensors = network.Bind();
            foreach (var options in OptimumTests.Ways())
            {
                for (var limit = 1; limit <= 4; limit++)
                {
                    var result = RescalingSolver.Solve(new(network.Network), tensors, options with { MaxSweeps = limit, Tolerance = 1e-15 });

                    // The last check, both directions: 1.5. Where blocks of a weight are read apart, a half sweep can be longer than those
                    // before it, by 0.5.
                    Assert.That(result.Sweeps, Is.LessThanOrEqualTo(limit + 2), $"draw {draw}, {options}, {TestSeeds.Repeat}");
                }
            }
        }
    }

    // Rounding alone exceeds this tolerance: the solve must end at the optimum, say why, and may not claim to have converged while it can see that
    // it has not. It cannot where the rounding of log F has eaten the whole bound, or, without a bound, where few channels balance to the last bit.
    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void A_solve_that_asks_for_more_than_rounding_allows_stalls_at_the_optimum(string family)
    {
        for (var draw = 0; draw < 5; draw++)
        {
            var (result, message) = SolveBeyondRounding(RandomNetworks.Create(family, TestSeeds.Of(family, 420 + draw)), $"{family}, draw {draw}");
            var looksExact = (result.GapBound ?? result.Residual) == 0;
            Assert.That(result.Status, Is.EqualTo(looksExact ? RescalingStatus.Converged : RescalingStatus.Stalled), message);
        }
    }

    // As a rule rounding shows, and it takes few sweeps to see it: held on one network of each family, for there is no such rule for every draw.
    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void A_solve_that_stalls_ends_soon_and_claims_no_gap_below_rounding(string family)
    {
        var (result, message) = SolveBeyondRounding(RandomNetworks.Create(family, 420), family);

        Assert.That(result.Status, Is.EqualTo(RescalingStatus.Stalled), message);
        Assert.That(result.GapBound, Is.Null.Or.GreaterThanOrEqualTo(4e-16), message);
        Assert.That(result.Sweeps, Is.LessThan(100), message);
        Assert.That(result.Advice, Does.StartWith("Rounding stops further progress"), message);
    }

    private static (RescalingResult Result, string Message) SolveBeyondRounding(TestNetwork network, string context)
    {
        var solved = Solved.Run(network, options: new RescalingOptions { Tolerance = 1e-18, MaxSweeps = 10_000 });
        var result = solved.Result;
        var message = $"{context}, {result.Status}, sweeps {result.Sweeps}, bound {result.GapBound}, residual {result.Residual}, {TestSeeds.Repeat}";
        Assert.That(solved.Gap, Is.LessThan(1e-11), message);
        Assert.That(result.GapBound, Is.Null.Or.LessThanOrEqualTo(1e-10), message);
        solved.AssertHonest(message);
        return (result, message);
    }

    private sealed class Listener(Action<SweepRecord> tell) : IProgress<SweepRecord>
    {
        public void Report(SweepRecord value) => tell(value);
    }
}
