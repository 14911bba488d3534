// The numbers behind a report, against sums made here.
using EquiNorm.Cli.Report;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;
using EquiNorm.Testing.Onnx;
using NUnit.Framework;

namespace EquiNorm.Cli.Tests.Report;

[TestFixture]
internal sealed class ReportDataTests
{
    [Test]
    public void The_curve_ends_at_the_certified_gap_and_never_rises()
    {
        using var directory = new TemporaryDirectory();
        var data = ReportPageTests.Data(new ResidualModel().Save(directory["in.onnx"]));
        var points = data.Convergence.Points;
        double optimum = data.Result.ObjectiveAfter!.Value;
        Assert.Multiple(() =>
        {
            Assert.That(data.Convergence.IsCertified, Is.True);
            Assert.That(points[0].Sweeps, Is.Zero);
            Assert.That(points[0].Objective, Is.EqualTo(data.Result.ObjectiveBefore));
            Assert.That(points[0].Excess, Is.EqualTo(data.Result.ObjectiveBefore!.Value / optimum - 1).Within(1e-6).Percent);

            // A ratio of objectives less one: exact to the rounding of one, however small the gap.
            Assert.That(points[^1].Excess, Is.EqualTo(data.Result.GapBound!.Value).Within(1e-15));
            Assert.That(points.Select(p => p.Excess), Is.Ordered.Descending);
        });
    }

    [Test]
    public void Without_a_certificate_the_curve_claims_none()
    {
        var result = Result(gap: null, (1, 5.0), (2, 4.0), (3, 4.0));
        var curve = Convergence.Of(result, null, RescalingOptions.Default, 2);
        Assert.That(curve.IsCertified, Is.False);
        Assert.That(curve.Points.Select(p => p.Excess), Is.EqualTo([1.5, 0.25, double.NaN, double.NaN]));
    }

    [Test]
    public void Rounding_to_powers_of_two_is_a_point_of_its_own()
    {
        var result = Result(gap: 0.25, (1, 5.0), (2, 4.0)) with { Objective = 5, Sweeps = 2.5 };
        var curve = Convergence.Of(result, null, new RescalingOptions { Factors = FactorSet.PowersOfTwo }, 2);
        Assert.That(curve.EndsWithRounding, Is.True);
        Assert.That(curve.Points.Select(p => (p.Sweeps, p.Excess)), Is.EqualTo([(0, 1.5), (1, 0.25), (2, 1e-16), (2.5, 0.25)]));
    }

    [Test]
    public void Long_histories_keep_their_ends()
    {
        var result = Result(gap: 1e-9, [.. Enumerable.Range(1, 5000).Select(n => ((double)n, 4 + 6.0 / n))]);
        var curve = Convergence.Of(result, 1, RescalingOptions.Default, 2);
        Assert.Multiple(() =>
        {
            Assert.That(curve.Points, Has.Count.EqualTo(400));
            Assert.That(curve.Checks, Is.EqualTo(5001));
            Assert.That((curve.Points[0].Sweeps, curve.Points[^1].Sweeps), Is.EqualTo((0, 5000)));
        });
    }

    // 300 channels in 128 cells: a cell has the level of its largest norm, a cell of dead channels has none.
    [Test]
    public void Cells_show_the_largest_norm_of_their_channels()
    {
        const int Channels = 300, Cells = 128;
        using var directory = new TemporaryDirectory();
        var random = new Random(TestSeeds.Of(nameof(ReportDataTests), 1));
        float[] norms = [.. Enumerable.Range(0, Channels).Select(_ => MathF.Exp(4 * random.NextSingle() - 2))];
        Array.Clear(norms, 0, 6);
        var model = new OnnxModelWriter().Input("x", -1, 1).Output("y", -1, 1).Floats("a", [1, Channels], norms)
            .Floats("b", [Channels, 1], [.. Enumerable.Repeat(1f, Channels)]).Node("MatMul", ["x", "a"], ["h"]).Node("Relu", ["h"], ["r"]).Node("MatMul", ["r", "b"], ["y"]);
        var strips = ReportPageTests.Data(model.Save(directory["in.onnx"])).Channels;
        int[] levels = strips.Groups.Single().Rows[0];
        Assert.That((levels.Length, strips.Groups[0].Cells, levels[0], levels[1]), Is.EqualTo((Cells, Cells, ChannelStrips.Dead, ChannelStrips.Dead)));
        for (int n = 0; n < Cells; n++)
        {
            float largest = norms[(n * Channels / Cells)..((n + 1) * Channels / Cells)].Max();
            double place = ChannelStrips.Levels * Math.Log(largest / strips.Low) / Math.Log(strips.High / strips.Low);
            int level = largest == 0 ? ChannelStrips.Dead : (int)Math.Clamp(Math.Floor(place), 0, ChannelStrips.Levels - 1);
            Assert.That(levels[n], Is.EqualTo(level).Within(Math.Abs(place - Math.Round(place)) < 1e-6 ? 1 : 0), $"cell {n}; {TestSeeds.Repeat}");
        }
    }

    [Test]
    public void Every_factor_is_in_its_bin()
    {
        using var directory = new TemporaryDirectory();
        var random = new Random(TestSeeds.Of(nameof(ReportDataTests), 2));
        const int Channels = 257;
        double[] gains = [.. Enumerable.Range(0, Channels).Select(_ => 20 * random.NextDouble() - 10)];
        var model = new OnnxModelWriter().Input("x", -1, 1).Output("y", -1, 1)
            .Floats("a", [1, Channels], [.. gains.Select(g => (float)Math.Pow(2, -g))]).Floats("b", [Channels, 1], [.. gains.Select(g => (float)Math.Pow(2, g))])
            .Node("MatMul", ["x", "a"], ["h"]).Node("Relu", ["h"], ["r"]).Node("MatMul", ["r", "b"], ["y"]);
        var shown = ReportPageTests.Data(model.Save(directory["in.onnx"])).Gains;
        var bins = gains.GroupBy(g => (int)Math.Floor((g - shown.First) / shown.Width)).ToDictionary(g => g.Key, g => g.Count());
        Assert.Multiple(() =>
        {
            Assert.That(shown.Channels, Is.EqualTo(Channels));
            Assert.That(shown.Counts.Sum(), Is.EqualTo(Channels));
            Assert.That(shown.Counts, Has.Count.LessThanOrEqualTo(48));
            Assert.That(shown.Counts.Index().Count(b => b.Item != bins.GetValueOrDefault(b.Index)), Is.LessThanOrEqualTo(2), $"float32 may move one over an edge; {TestSeeds.Repeat}");
            Assert.That(shown.Largest[0].Log2, Is.EqualTo(gains.MaxBy(Math.Abs)).Within(1e-5));
            Assert.That(Math.Round(shown.First / shown.Width - 0.5, 9) % 1, Is.Zero, "one bin is centred on a factor of 1");
        });
    }

    private static RescalingResult Result(double? gap, params (double Sweeps, double Objective)[] history) => new()
    {
        Status = RescalingStatus.Converged,
        ObjectiveBefore = 10,
        Objective = history[^1].Objective,
        Sweeps = history[^1].Sweeps,
        GapBound = gap,
        History = [.. history.Select(h => new SweepRecord(h.Sweeps, h.Objective, 0.1, null))],
    };
}
