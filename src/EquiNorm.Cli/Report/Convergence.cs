using EquiNorm.Problem;
using EquiNorm.Solve;

namespace EquiNorm.Cli.Report;

/// <summary>
/// The way of the objective down. The certificate at the end is a lower bound L of the optimum, F_end = (1 + gap) L, and it holds for every
/// point on the way: F_k / L - 1 bounds the distance of point k from the optimum, without another certificate. Where there is no bound, the
/// smallest objective of the run takes the place of L, and the curve shows what was still to come, not the distance from the optimum.
/// </summary>
/// <param name="Points">From the start (0 sweeps) to the end.</param>
/// <param name="IsCertified">Whether <see cref="ConvergencePoint.Excess"/> is a certified bound.</param>
/// <param name="Tolerance">The tolerance that was asked for.</param>
internal sealed record Convergence(IReadOnlyList<ConvergencePoint> Points, bool IsCertified, double Tolerance)
{
    private const int MostPoints = 400;

    // Below this two objectives differ by rounding only.
    private const double Rounding = 1e-16;

    /// <summary>Checks of the solve that the points stand for.</summary>
    public int Checks { get; private init; }

    /// <summary>Whether the last point is that of factors rounded to powers of two.</summary>
    public bool EndsWithRounding { get; private init; }

    /// <summary>The convergence of a solve.</summary>
    /// <param name="result">The solve.</param>
    /// <param name="startResidual">The residual before, where it is known in the units of the solve.</param>
    /// <param name="options">What was asked for.</param>
    /// <param name="norm">The exponent that was solved for.</param>
    public static Convergence Of(RescalingResult result, double? startResidual, RescalingOptions options, double norm)
    {
        bool certified = result.GapBound is { } g && double.IsFinite(g);
        double bound = certified
            ? result.Objective / (1 + result.GapBound!.Value)
            : result.History.Select(h => h.Objective).Append(result.Objective).Where(double.IsFinite).DefaultIfEmpty(0).Min();
        var points = new List<ConvergencePoint> { Point(0, result.ObjectiveBefore, startResidual, null) };
        points.AddRange(result.History.Select(h => Point(h.Sweeps, h.Objective, h.Residual, h.GapBound)));
        bool rounded = options.Factors == FactorSet.PowersOfTwo;
        if (rounded)
        {
            points.Add(Point(result.Sweeps, result.Objective, result.Residual, result.GapBound));
        }

        return new Convergence(Thin(points), certified, options.ToleranceFor(norm)) { Checks = points.Count, EndsWithRounding = rounded };

        ConvergencePoint Point(double sweeps, double objective, double? residual, double? gap)
        {
            double excess = bound > 0 && double.IsFinite(objective) ? Math.Max(objective / bound - 1, Rounding) : double.NaN;
            bool isLastOfUncertified = !certified && objective <= bound;
            return new ConvergencePoint(sweeps, objective, residual, isLastOfUncertified ? double.NaN : gap is { } own && certified ? Math.Min(own, excess) : excess);
        }
    }

    // The first, the last, and evenly spread ones between them.
    private static List<ConvergencePoint> Thin(List<ConvergencePoint> points) => points.Count <= MostPoints
        ? points
        : [.. Enumerable.Range(0, MostPoints).Select(n => points[(int)((long)n * (points.Count - 1) / (MostPoints - 1))])];
}

/// <summary>One point on the way.</summary>
/// <param name="Sweeps">Sweeps so far.</param>
/// <param name="Objective">F.</param>
/// <param name="Residual">The largest imbalance that was met; null where none was measured.</param>
/// <param name="Excess">F over the bound, minus 1; NaN where it means nothing.</param>
internal readonly record struct ConvergencePoint(double Sweeps, double Objective, double? Residual, double Excess);
