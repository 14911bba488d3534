using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;

namespace EquiNorm.Testing;

/// <summary>
/// How far apart two points may be whose objectives are within gaps g_a and g_b of the optimum. F is a sum of exponentials, so with m the
/// middle of a and b, and delta_e = (a_out - a_in) - (b_out - b_in), exactly
///
///     F(a) + F(b) - 2 F(m) = sum_e x_e(m) 4 sinh^2(p delta_e / 4)  &lt;=  (g_a + g_b) F*,
///
/// because F(m) &gt;= F*: within limits on factors too, as m keeps them. Where an edge carries a share s of F this allows
/// p |delta_e| = 2 sqrt((g_a + g_b) / s): factors are compared as sharply as the objective determines them, and no more sharply.
/// </summary>
public static class OptimumDistance
{
    /// <summary>
    /// What rounding adds to a gap: energies and sums of two devices differ by some units in the last place, and with them F and F*.
    /// </summary>
    public const double Rounding = 5e-14;

    /// <summary>The oracle's view of a problem.</summary>
    public static OracleProblem OracleOf(RescalingProblem problem, NetworkTensors tensors) =>
        new(tensors, problem.Norm, problem.Penalty.LogPenalties(problem.Network, problem.Norm), problem.IsInNorm);

    /// <summary>The gap that a result claims; where it claims none, the one to the oracle's own optimum.</summary>
    public static double GapOf(this OracleProblem problem, RescalingResult result, double limit = double.PositiveInfinity) => result.GapBound
        ?? Math.Max(0, result.Objective / (double.IsFinite(limit) ? OracleSolver.ProjectedDescent(problem, limit) : OracleSolver.Newton(problem)).Objective - 1);

    /// <summary>sum_e x_e(m) 4 sinh^2(p delta_e / 4) / F(m); infinite where something is not a number.</summary>
    public static double Separation(this OracleProblem problem, ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        var middle = new double[a.Length];
        for (var c = 0; c < middle.Length; c++)
        {
            middle[c] = a[c] + (b[c] - a[c]) / 2;
        }

        var logObjective = problem.LogObjective(middle);
        var sum = 0.0;
        foreach (var edge in problem.Edges)
        {
            var sinh = Math.Sinh(problem.Exponent / 4 * (a[edge.Output] - b[edge.Output] - (a[edge.Input] - b[edge.Input])));
            sum += 4 * Math.Exp(problem.LogFlow(edge, middle) - logObjective) * sinh * sinh;
        }

        return double.IsNaN(sum) ? double.PositiveInfinity : sum;
    }

    /// <summary>
    /// By how much, relative to F, some free channel alone could still lower F: max_c (sqrt(a_c) - sqrt(b_c))^2 / F without a limit. At most the
    /// gap. Infinite where something is not a number.
    /// </summary>
    public static double LargestGain(this OracleProblem problem, ReadOnlySpan<double> u, double limit = double.PositiveInfinity)
    {
        var (incoming, outgoing) = problem.LogSums(u);
        var logObjective = problem.LogObjective(u);
        var largest = 0.0;
        for (var c = 0; c < u.Length; c++)
        {
            if (problem.IsFree[c])
            {
                var wanted = u[c] + (outgoing[c] - incoming[c]) / (2 * problem.Exponent);
                var way = problem.Exponent * (Math.Clamp(wanted, -limit, limit) - u[c]);
                var gain = -Math.Exp(incoming[c] - logObjective) * ExpMinusOne(way) - Math.Exp(outgoing[c] - logObjective) * ExpMinusOne(-way);
                largest = double.IsNaN(gain) ? double.PositiveInfinity : Math.Max(largest, gain);
            }
        }

        return largest;
    }

    // exp(x) - 1 without cancellation.
    private static double ExpMinusOne(double x) => 2 * Math.Exp(x / 2) * Math.Sinh(x / 2);
}
