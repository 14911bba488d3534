using System.Runtime.InteropServices;
using EquiNorm.Backends;
using EquiNorm.Plan;
using EquiNorm.Problem;

namespace EquiNorm.Solve;

/// <summary>
/// One half sweep in the order asked for, with the coarse correction behind it. Sums that are still valid are not read again, which is
/// what makes forward-backward cost one read per half sweep: on the way back the row sums of the way forth still hold, and the other way
/// round.
/// </summary>
internal sealed class Sweeper
{
    private readonly RescalingState _state;
    private readonly RescalingPlan _plan;
    private readonly SweepOrder _order;
    private readonly CoarseSolver? _coarse;
    private readonly LimitedShifts? _limited;
    private readonly CoarseBalance? _balance;
    private readonly double[] _shifts;
    private readonly UpdateUnit[][] _updates;
    private readonly Swings? _swings;
    private bool _forward = true;
    private bool _isFirst;

    public Sweeper(RescalingState state, RescalingOptions options, GainLimit limit)
    {
        _state = state;
        _plan = state.Plan;
        _order = options.Order;
        var corrects = options.CoarseCorrection == CoarseCorrection.On;
        _coarse = corrects && !_plan.Problem.TakesLargest ? new CoarseSolver(_plan, CoarseEnd.Balanced) : null;
        _balance = corrects && _plan.Problem.TakesLargest && !limit.Exists ? new CoarseBalance(_plan) : null;
        _limited = _coarse is not null && limit.Exists ? new LimitedShifts(state, _coarse, limit) : null;

        // Largest magnitudes: two channels that hold each other's would exchange their places for ever if both moved all the way.
        state.Rule = new UpdateRule(limit.Log, _plan.Problem.TakesLargest && _order == SweepOrder.Jacobi ? 0.5 : 1);
        _shifts = new double[_plan.Groups.Count];
        _updates = _order switch
        {
            SweepOrder.Jacobi => [_plan.Singles.ToArray()],
            SweepOrder.Colored => [.. _plan.Colors],
            _ => [.. _plan.Units.ToArray().Select(unit => new[] { unit })],
        };
        _swings = Swings.For(_plan, _order, _updates);
    }

    /// <summary>Whether a full sweep is complete, so that u is the image of the u at its start.</summary>
    public bool AtEndOfSweep => _order != SweepOrder.ForwardBackward || _forward;

    /// <summary>
    /// Reads of a half sweep in sweeps, where no weight has blocks that are read apart: forward-backward reads every energy once, and so does
    /// a Jacobi pass; the other orders read it by rows and by columns.
    /// </summary>
    public double LeastHalfSweep => _order is SweepOrder.ForwardBackward or SweepOrder.Jacobi ? 0.5 : 1;

    /// <summary>
    /// The certificates to try: first the one that needs the fewest reads now, because its denominators are the sums that the last half
    /// sweep left valid. A channel may have a usable carrier on one side only, so the other direction may succeed where it fails.
    /// </summary>
    /// <param name="attempt">0 or 1.</param>
    public CertificateOrder? Certificate(int attempt) => (_order == SweepOrder.ForwardBackward && _forward) == (attempt == 0)
        ? _plan.ForwardCertificate
        : _plan.BackwardCertificate;

    /// <summary>Corrects the starting point; returns log F.</summary>
    public double Start(List<CoarseEdge> edges)
    {
        _forward = true;
        var logObjective = Correct(edges);
        if (_order == SweepOrder.ForwardBackward && !_plan.Problem.TakesLargest)
        {
            _isFirst = true;
            _state.BeginFirstSweep();
        }

        return logObjective;
    }

    /// <summary>One half sweep and its coarse correction.</summary>
    /// <param name="edges">Receives the norms of all blocks afterwards.</param>
    /// <param name="logObjective">Receives log F afterwards.</param>
    /// <returns>The largest residual that was met.</returns>
    public double HalfSweep(List<CoarseEdge> edges, ref double logObjective)
    {
        double residual = 0;
        var forth = _order != SweepOrder.ForwardBackward || _forward;
        for (var n = 0; n < _updates.Length; n++)
        {
            var update = forth ? n : _updates.Length - 1 - n;
            _state.Refresh(_updates[update]);
            residual = Math.Max(residual, Update(update));
        }

        if (_order == SweepOrder.Jacobi)
        {
            // Here, where rows and columns are read at once; the norms of blocks need one of them.
            _state.Refresh(_updates[0]);
        }

        if (_isFirst)
        {
            _isFirst = false;
            _state.EndFirstSweep();
        }

        _forward = _order != SweepOrder.ForwardBackward || !_forward;
        _balance?.Learn(residual);
        logObjective = Correct(edges);
        return residual;
    }

    private double Update(int update)
    {
        if (_swings is null)
        {
            return _state.Update(_updates[update]);
        }

        var rule = _state.Rule;
        _state.Rule = rule with { Damping = rule.Damping * _swings.Damping(update) };
        var residual = _state.Update(_updates[update]);
        _state.Rule = rule;
        _swings.Learn(update, residual);
        return residual;
    }

    private double Correct(List<CoarseEdge> edges)
    {
        _state.ReadNorms(edges);
        if (_coarse is null && _balance is null)
        {
            return SolveRun.LogObjective(_plan, edges);
        }

        if (_limited is not null)
        {
            _limited.Minimize(edges, _shifts);
        }
        else
        {
            _coarse?.Minimize(edges, _shifts);
            _balance?.Balance(edges, _shifts);
        }

        _state.Shift(_shifts);
        var norm = _plan.Problem.FactorExponent;
        foreach (ref var edge in CollectionsMarshal.AsSpan(edges))
        {
            var difference = (edge.OutputGroup < 0 ? 0 : _shifts[edge.OutputGroup]) - (edge.InputGroup < 0 ? 0 : _shifts[edge.InputGroup]);
            edge = edge with { LogNorm = edge.LogNorm + norm * difference };
        }

        return SolveRun.LogObjective(_plan, edges);
    }
}
