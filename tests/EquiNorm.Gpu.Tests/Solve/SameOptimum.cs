using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;

namespace EquiNorm.Gpu.Tests.Solve;

/// <summary>
/// Two solves end at the same optimum, p finite: their factors differ by no more than their certified gaps allow, and no channel
/// alone could lower F by more than the gap that is claimed.
/// </summary>
internal static class SameOptimum
{
    // Both are asked for 1e-13; rounding may keep one from it.
    private const double LargestGap = 1e-11;

    public static void Check(
        RescalingProblem problem, NetworkTensors tensors, RescalingResult expected, RescalingResult actual, string context, double? maxGain = null)
    {
        var oracle = OptimumDistance.OracleOf(problem, tensors);
        var limit = maxGain is { } gain ? Math.Log(gain) : double.PositiveInfinity;
        var v = actual.Scalings!.LogFactors.ToArray();
        var (gap, own) = (oracle.GapOf(expected, limit), oracle.GapOf(actual, limit));
        var allowed = gap + own + OptimumDistance.Rounding;
        context = $"{context}, gaps {gap:e1} and {own:e1}, {TestSeeds.Repeat}";
        Assert.Multiple(() =>
        {
            Assert.That(gap, Is.InRange(0, LargestGap), context);
            Assert.That(own, Is.InRange(0, LargestGap), context);
            Assert.That(oracle.Separation(expected.Scalings!.LogFactors, v), Is.LessThanOrEqualTo(allowed), context);
            Assert.That(oracle.LargestGain(v, limit), Is.LessThanOrEqualTo(own + OptimumDistance.Rounding), context);
            Assert.That(actual.Objective, Is.EqualTo(expected.Objective).Within((allowed + 1e-13) * expected.Objective), context);
        });
    }
}
