using EquiNorm.Backends;
using EquiNorm.Plan;

namespace EquiNorm.Solve;

/// <summary>
/// The coarse correction at p = infinity. Where every channel is balanced so is every group: the largest of all blocks that write it equals
/// the largest of all that read it. This solves that small problem for one scalar s_g per group, the largest of log N_e + s_out - s_in over
/// sources and over sinks, with the blocks' largest energies N_e as they are. It moves nothing at a balanced point.
/// </summary>
/// <remarks>
/// Nothing is minimised that would say whether a correction helped. It is given up for good once the residual has not fallen for some half
/// sweeps: the iteration without it comes to an end by itself.
/// </remarks>
internal sealed class CoarseBalance
{
    private const int MostPasses = 300;
    private const double Enough = 1e-9;
    private const int HalfSweepsOfPatience = 12;

    private readonly CoarseSolver _fit;
    private readonly List<CoarseEdge>[] _sources;
    private readonly List<CoarseEdge>[] _sinks;
    private readonly int[] _free;
    private readonly double[] _trial;
    private double _best = double.PositiveInfinity;
    private int _idle;

    public CoarseBalance(RescalingPlan plan)
    {
        _fit = new CoarseSolver(plan, CoarseEnd.Flat); // only fitted
        _sources = [.. plan.Groups.Select(_ => new List<CoarseEdge>())];
        _sinks = [.. plan.Groups.Select(_ => new List<CoarseEdge>())];
        _free = [.. plan.Groups.Where(g => !g.Group.IsPinned && g.Group.Count > 0).Select(g => g.Group.Index)];
        _trial = new double[plan.Groups.Count];
    }

    /// <summary>Takes the residual of a half sweep into account.</summary>
    public void Learn(double residual)
    {
        _idle = residual < 0.95 * _best ? 0 : _idle + 1;
        _best = Math.Min(_best, residual);
    }

    /// <summary>Writes the shift of each group, 0 where nothing moves.</summary>
    public void Balance(List<CoarseEdge> edges, Span<double> shifts)
    {
        shifts.Clear();
        if (_idle >= HalfSweepsOfPatience)
        {
            return;
        }

        Collect(edges);
        var start = Residual(shifts);

        // On a chain the fit that makes all blocks equal is the answer.
        if (_fit.Fit(edges, _trial) && Residual(_trial) < start)
        {
            _trial.CopyTo(shifts);
        }

        for (var pass = 0; pass < MostPasses && Sweep(shifts, pass % 2 == 0) > Enough; pass++)
        {
        }

        if (!(Residual(shifts) < start))
        {
            shifts.Clear();
        }
    }

    private double Sweep(Span<double> shifts, bool forward)
    {
        double moved = 0;
        for (var n = 0; n < _free.Length; n++)
        {
            var g = _free[forward ? n : _free.Length - 1 - n];
            if (Difference(g, shifts) is var difference && double.IsFinite(difference))
            {
                shifts[g] += difference / 2;
                moved = Math.Max(moved, Math.Abs(difference));
            }
        }

        return moved;
    }

    private double Residual(ReadOnlySpan<double> shifts)
    {
        double largest = 0;
        foreach (var g in _free)
        {
            var difference = Math.Abs(Difference(g, shifts));
            largest = double.IsFinite(difference) ? Math.Max(largest, difference) : largest;
        }

        return largest;
    }

    private double Difference(int group, ReadOnlySpan<double> shifts) => Largest(_sinks[group], shifts) - Largest(_sources[group], shifts);

    private static double Largest(List<CoarseEdge> edges, ReadOnlySpan<double> shifts)
    {
        var largest = double.NegativeInfinity;
        foreach (var edge in edges)
        {
            var output = edge.OutputGroup < 0 ? 0 : shifts[edge.OutputGroup];
            var input = edge.InputGroup < 0 ? 0 : shifts[edge.InputGroup];
            largest = Math.Max(largest, edge.LogNorm + output - input);
        }

        return largest;
    }

    private void Collect(List<CoarseEdge> edges)
    {
        foreach (var g in _free)
        {
            _sources[g].Clear();
            _sinks[g].Clear();
        }

        foreach (var edge in edges)
        {
            if (edge.OutputGroup == edge.InputGroup)
            {
                continue;
            }

            if (edge.OutputGroup >= 0)
            {
                _sources[edge.OutputGroup].Add(edge);
            }

            if (edge.InputGroup >= 0)
            {
                _sinks[edge.InputGroup].Add(edge);
            }
        }
    }
}
