using EquiNorm.Backends;
using EquiNorm.Plan;
using EquiNorm.Problem;

namespace EquiNorm.Solve;

/// <summary>
/// The iteration: { half sweep; coarse correction; now and then an extrapolation } until the certificate says that the gap is small
/// enough. The certificate costs about half a sweep, so it is computed only when the decrease of F predicts that it will be met.
/// At p = infinity nothing is minimised and there is no certificate: half sweeps until the residual is small enough.
/// </summary>
internal sealed class SolveRun
{
    // A sweep from an extrapolated point finds every sum stale, and must be finished before it can be judged; if it is taken back, the
    // half sweep from the plain point finds every sum stale, too.
    private const double SweepsOfExtrapolation = 3;

    // A residual of largest magnitudes below this is rounding, if it no longer falls.
    private const double RoundingOfResidual = 1e-11;
    private const int HalfSweepsBeforeStall = 8;

    private readonly RescalingState _state;
    private readonly RescalingPlan _plan;
    private readonly RescalingOptions _options;
    private readonly GainLimit _limit;
    private readonly double _tolerance;
    private readonly IProgress<SweepRecord>? _progress;
    private readonly CancellationToken _cancellation;
    private readonly Sweeper _sweeper;
    private readonly Certificate _certificate;
    private Extrapolation? _extrapolation;
    private readonly List<CoarseEdge> _edges = [];
    private readonly List<SweepRecord> _history = [];
    private readonly GapForecast _forecast;
    private double _logObjective;
    private double _logLowerBound = double.NegativeInfinity;
    private double _residual;
    private double _longestHalfSweep;

    public SolveRun(RescalingState state, RescalingOptions options, IProgress<SweepRecord>? progress, CancellationToken cancellation)
    {
        _state = state;
        _plan = state.Plan;
        _options = options;
        _limit = new GainLimit(options.MaxGain);
        _tolerance = options.ToleranceFor(_plan.Problem.Norm);
        _progress = progress;
        _cancellation = cancellation;
        _sweeper = new Sweeper(state, options, _limit);
        _certificate = new Certificate(state, _limit);
        _forecast = new GapForecast(_tolerance);
    }

    public RescalingResult Run()
    {
        _state.ReadNorms(_edges);
        var before = Objective(_logObjective = LogObjective(_plan, _edges));
        var frozen = Liveness.FreezeDeadChannels(_state);
        var status = _plan.Problem.TakesLargest ? Equalize() : Iterate();
        var factors = new double[_plan.Problem.Network.ChannelCount];
        _state.ReadLogFactors(factors);
        _limit.Clamp(factors);
        var limited = _limit.Find(_state, factors);
        var scalings = new Scalings(_plan.Problem.Network, factors);
        var advice = SolveAdvice.For(status, this);
        if (_options.Factors == FactorSet.PowersOfTwo)
        {
            scalings = _limit.PowersOfTwo(scalings);
            Evaluate(scalings);
            advice = SolveAdvice.ForPowersOfTwo(advice, this);
        }

        return new RescalingResult
        {
            Status = status,
            Scalings = scalings,
            Sweeps = Sweeps,
            ObjectiveBefore = before,
            Objective = Objective(_logObjective),
            Residual = _residual,
            GapBound = Gap(),
            History = _history,
            Frozen = frozen,
            Limited = limited,
            Advice = advice,
        };
    }

    /// <summary>Reads of all energies divided by two.</summary>
    public double Sweeps => _plan.Edges == 0 ? 0 : _state.EdgesRead / (2.0 * _plan.Edges);

    /// <summary>Whether what is reported is a residual of largest magnitudes.</summary>
    public bool TakesLargest => _plan.Problem.TakesLargest;

    /// <summary>Certified bound on F / F* - 1, or null.</summary>
    public double? Gap() => !TakesLargest && (double.IsFinite(_logLowerBound) || _plan.Edges == 0)
        ? Math.Max(0, ExpMinusOne(_logObjective - (_plan.Edges == 0 ? _logObjective : _logLowerBound)))
        : null;

    /// <summary>The tolerance asked for.</summary>
    public double Tolerance => _tolerance;

    /// <summary>The residual at the factors of the last check.</summary>
    public double Residual => _residual;

    private RescalingStatus Iterate()
    {
        if (_plan.Singles.IsEmpty || double.IsNegativeInfinity(_logObjective))
        {
            // Nothing is free, or all weights are zero: the factors are optimal as they are.
            _logLowerBound = _logObjective;
            return RescalingStatus.Converged;
        }

        _extrapolation = _options.Acceleration == Acceleration.Anderson ? new Extrapolation(_state, _limit) : null;
        _logObjective = _sweeper.Start(_edges);
        var accepted = _logObjective;
        double residual = 0;
        while (true)
        {
            _cancellation.ThrowIfCancellationRequested();
            var start = Sweeps;
            residual = Math.Max(residual, _sweeper.HalfSweep(_edges, ref _logObjective));
            _longestHalfSweep = Math.Max(_longestHalfSweep, Sweeps - start);
            if (_extrapolation is { IsPending: true } && !_sweeper.AtEndOfSweep)
            {
                continue; // not a point to speak of until the sweep from the extrapolated point is judged
            }

            if (_extrapolation?.TakeBack(ref _logObjective) == true)
            {
                _forecast.Forget();
                residual = 0;
                continue;
            }

            var predicted = _forecast.Next(accepted, _logObjective, residual);
            accepted = _logObjective;
            if (predicted || Stop() is not null)
            {
                var converged = Check();
                Record(_residual);
                if (converged || Stop() is not null)
                {
                    return converged ? RescalingStatus.Converged : Stop()!.Value;
                }
            }
            else
            {
                Record(residual);
            }

            residual = 0;
            if (_sweeper.AtEndOfSweep && (_forecast.IsSlowing || _extrapolation?.HasPoints == true))
            {
                _extrapolation?.Advance(_logObjective, _forecast.IsSlow && Sweeps + SweepsOfExtrapolation < _options.MaxSweeps);
            }
        }
    }

    private RescalingStatus Equalize()
    {
        if (_plan.Singles.IsEmpty || double.IsNegativeInfinity(_logObjective))
        {
            return RescalingStatus.Converged;
        }

        _logObjective = _sweeper.Start(_edges);
        var (best, idle) = (double.PositiveInfinity, 0);
        while (true)
        {
            _cancellation.ThrowIfCancellationRequested();
            var start = Sweeps;
            var residual = _sweeper.HalfSweep(_edges, ref _logObjective);
            _longestHalfSweep = Math.Max(_longestHalfSweep, Sweeps - start);

            // What the half sweep met belongs to factors before their updates, and is next to nothing where it meets what the last one left:
            // before it counts as the end, or as the best so far, the residual is measured.
            var measured = residual <= Math.Max(_tolerance, RoundingOfResidual);
            if (measured)
            {
                MeasureResidual();
                residual = _residual;
            }

            (best, idle) = residual < 0.999 * best ? (residual, 0) : (best, idle + 1);
            RescalingStatus? stop = best < RoundingOfResidual && idle >= HalfSweepsBeforeStall ? RescalingStatus.Stalled
                : HasRoomForHalfSweep ? null : RescalingStatus.SweepLimit;
            if (stop is not null && !measured)
            {
                MeasureResidual();
                residual = _residual;
            }

            Record(residual);
            if (residual <= _tolerance || stop is not null)
            {
                return residual <= _tolerance ? RescalingStatus.Converged : stop!.Value;
            }
        }
    }

    // The next half sweep is taken to be as long as the longest so far, and no shorter than one that finds only stale what it made stale.
    private bool HasRoomForHalfSweep => Sweeps + Math.Max(_longestHalfSweep, _sweeper.LeastHalfSweep) <= _options.MaxSweeps;

    private RescalingStatus? Stop() =>
        !HasRoomForHalfSweep ? RescalingStatus.SweepLimit
        : _forecast.HasStalled ? RescalingStatus.Stalled : null;

    // Certificate, and the residual at the same factors.
    private bool Check()
    {
        _state.ReadNorms(_edges);
        _logObjective = LogSum(_edges);
        if ((Bound(_sweeper.Certificate(0)) ?? Bound(_sweeper.Certificate(1))) is { } bound)
        {
            // Rounding may have raised the bound, even above F: no gap below rounding is claimed.
            _logLowerBound = Math.Max(_logLowerBound, Math.Min(bound, _logObjective) - GapForecast.Rounding(_logObjective));
        }

        MeasureResidual();
        _forecast.Checked(Gap(), _residual);
        return (Gap() ?? _residual) <= _tolerance;
    }

    // Null where the flow cannot be balanced: for good without an order, else perhaps only here, far from the optimum.
    private double? Bound(CertificateOrder? order) =>
        order is null ? null : _certificate.LogLowerBound(order, _edges, _logObjective);

    private void Evaluate(Scalings scalings)
    {
        _state.WriteLogFactors(scalings.LogFactors);
        MeasureResidual();
        _state.ReadNorms(_edges);
        _logObjective = LogObjective(_plan, _edges);
    }

    private void MeasureResidual()
    {
        _state.Refresh(_plan.Singles.Span);
        _residual = _state.Residual(_plan.Singles.Span);
    }

    private void Record(double residual)
    {
        var record = new SweepRecord(Sweeps, Objective(_logObjective), residual, Gap());
        _history.Add(record);
        _progress?.Report(record);
    }

    /// <summary>log F from the norms of all blocks; at p = infinity the logarithm of the sum of every weight's largest magnitude.</summary>
    internal static double LogObjective(RescalingPlan plan, List<CoarseEdge> edges)
    {
        if (!plan.Problem.TakesLargest)
        {
            return LogSum(edges);
        }

        var largest = new double[plan.Weights.Count];
        Array.Fill(largest, double.NegativeInfinity);
        foreach (var edge in edges)
        {
            largest[edge.Weight] = Math.Max(largest[edge.Weight], edge.LogNorm);
        }

        return LogSum([.. largest.Select((norm, t) => new CoarseEdge(-1, -1, norm, t))]);
    }

    internal static double LogSum(List<CoarseEdge> edges)
    {
        var largest = double.NegativeInfinity;
        foreach (var edge in edges)
        {
            largest = Math.Max(largest, edge.LogNorm);
        }

        if (!double.IsFinite(largest))
        {
            return largest;
        }

        double sum = 0;
        foreach (var edge in edges)
        {
            sum += Math.Exp(edge.LogNorm - largest);
        }

        return largest + Math.Log(sum);
    }

    private static double Objective(double logObjective) => Math.Exp(logObjective);

    // exp(x) - 1 without cancellation for small x.
    private static double ExpMinusOne(double x) => Math.Abs(x) < 1e-5 ? x + x * x / 2 + x * x * x / 6 : Math.Exp(x) - 1;
}
