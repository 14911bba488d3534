namespace EquiNorm.Solve;

/// <summary>
/// Predicts from the decrease of F whether the certificate would be met. With decreases that shrink by a factor r, what is left is
/// decrease * r / (1 - r); a certificate that was not met teaches by how much the forecast was too hopeful.
/// </summary>
internal sealed class GapForecast
{
    // A relative change of F that is only rounding.
    private const double Rounding = 1e-15;
    private const int HalfSweepsBeforeStall = 8;

    private readonly double _tolerance;
    private double _previousDecrease = double.NaN;
    private double _rate = double.NaN;
    private double _estimate = double.PositiveInfinity;
    private double _margin = 4;
    private double _bestResidual = double.PositiveInfinity;
    private int _idle;
    private int _slow;
    private bool _byResidual;

    public GapForecast(double tolerance) => _tolerance = tolerance;

    /// <summary>Whether F has not fallen, nor the residual, for several half sweeps.</summary>
    public bool HasStalled => _idle >= HalfSweepsBeforeStall;

    /// <summary>Whether F falls so slowly that an extrapolation should pay.</summary>
    public bool IsSlow => _slow >= 3;

    /// <summary>Takes a half sweep into account.</summary>
    /// <returns>Whether the tolerance is probably met.</returns>
    public bool Next(double logBefore, double logNow, double residual)
    {
        var decrease = Math.Max(0, logBefore - logNow);
        var improved = decrease > Rounding || residual < 0.999 * _bestResidual;
        _idle = improved ? 0 : _idle + 1;
        _bestResidual = Math.Min(_bestResidual, residual);
        if (double.IsFinite(_previousDecrease))
        {
            _rate = Math.Clamp(decrease / Math.Max(_previousDecrease, Rounding), 1e-3, 0.999);
        }

        // Three half sweeps in a row that keep more than three tenths of the gap. Once slow, always slow: what converges fast from then
        // on does so because of the extrapolation.
        _slow = _rate > 0.3 ? _slow + 1 : 0;
        _previousDecrease = decrease;
        _estimate = decrease <= Rounding ? 0 : double.IsNaN(_rate) ? double.PositiveInfinity : decrease * _rate / (1 - _rate);
        return _byResidual ? residual <= 2 * _tolerance : _estimate * _margin <= _tolerance;
    }

    /// <summary>Takes the outcome of a check into account.</summary>
    public void Checked(double? gap, double residual)
    {
        _bestResidual = Math.Min(_bestResidual, residual);
        _byResidual = gap is null;
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
