namespace EquiNorm.Solve;

/// <summary>
/// Predicts from the decrease of F whether the certificate would be met. With decreases that shrink by a factor r, what is left is
/// decrease * r / (1 - r); a certificate that was not met teaches by how much the forecast was too hopeful.
/// </summary>
internal sealed class GapForecast
{
    // A change of log F that is only rounding: a few units in the last place of log F itself, which exceeds 1 for most networks.
    private const double RelativeRounding = 4.5e-16;
    private const double LeastRounding = 1e-15;
    private const int HalfSweepsBeforeStall = 8;

    // A residual or bound that has fallen to less than this share of the smallest so far has improved.
    private const double Progress = 0.999;

    private readonly double _tolerance;
    private double _previousDecrease = double.NaN;
    private double _rate = double.NaN;
    private double _estimate = double.PositiveInfinity;
    private double _margin = 4;
    private double _bestResidual = double.PositiveInfinity;
    private double _bestGap = double.PositiveInfinity;
    private double _residualWithoutBound;
    private double _lastResidual = double.PositiveInfinity;
    private int _idle;
    private int _slow;
    private bool _byResidual;

    public GapForecast(double tolerance) => _tolerance = tolerance;

    /// <summary>Whether F has not fallen, nor the residual, for several half sweeps.</summary>
    public bool HasStalled => _idle >= HalfSweepsBeforeStall;

    /// <summary>Whether F may be about to fall slowly: points for an extrapolation are worth keeping.</summary>
    public bool IsSlowing => _slow >= 1;

    /// <summary>Whether F falls so slowly that an extrapolation should pay.</summary>
    public bool IsSlow => _slow >= 3;

    /// <summary>The change of log F below which it is only rounding.</summary>
    public static double Rounding(double logObjective) => Math.Max(LeastRounding, RelativeRounding * Math.Abs(logObjective));

    /// <summary>Takes a half sweep into account.</summary>
    /// <returns>Whether the tolerance is probably met.</returns>
    public bool Next(double logBefore, double logNow, double residual)
    {
        var decrease = Math.Max(0, logBefore - logNow);
        var rounding = Rounding(logNow);
        var isFlat = decrease <= rounding;
        var improved = !isFlat || residual < Progress * _bestResidual;
        _idle = improved ? 0 : _idle + 1;
        _bestResidual = Math.Min(_bestResidual, residual);
        if (double.IsFinite(_previousDecrease))
        {
            _rate = Math.Clamp(decrease / Math.Max(_previousDecrease, rounding), 1e-3, 0.999);
        }

        // Three half sweeps in a row that keep more than three tenths of the gap. A success of the extrapolation starts the count anew:
        // plain sweeps between extrapolations paid on clustered networks (23 to 29 sweeps against 26 to 32). Where F is flat the residual tells.
        _slow = (isFlat ? residual > 0.3 * _lastResidual : _rate > 0.3) ? _slow + 1 : 0;
        _lastResidual = residual;
        _previousDecrease = decrease;
        _estimate = isFlat ? 0 : double.IsNaN(_rate) ? double.PositiveInfinity : decrease * _rate / (1 - _rate);
        return _byResidual ? residual <= Math.Max(2 * _tolerance, 0.1 * _residualWithoutBound) : _estimate * _margin <= _tolerance;
    }

    /// <summary>Takes the outcome of a check into account.</summary>
    public void Checked(double? gap, double residual)
    {
        // F is flat to second order, the certificate to first: where F falls by no more than rounding, a bound that still tightens is progress;
        // one that is rounding itself tightens no more. A smaller residual is counted once, when the next half sweep meets it.
        _idle = gap is { } bound && bound < Progress * _bestGap ? 0 : _idle;
        _bestGap = Math.Min(_bestGap, gap ?? _bestGap);
        _byResidual = gap is null;
        _residualWithoutBound = residual; // a flow that cannot be balanced here may be, nearer to the optimum: try again ten times nearer
        if (gap > _tolerance && _estimate > 0)
        {
            _margin = Math.Max(_margin, 1.5 * gap.Value / _estimate);
        }
    }

    /// <summary>Forgets the rate (after an extrapolation was taken back).</summary>
    public void Forget()
    {
        _previousDecrease = double.NaN;
        _rate = double.NaN;
    }
}
