namespace EquiNorm.Problem;

/// <summary>How a step between updates of a training loop is made.</summary>
public sealed record StepOptions
{
    /// <summary>The defaults: one sweep, whole groups corrected.</summary>
    public static StepOptions Default { get; } = new();

    /// <summary>Sweeps before the factors are applied.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is less than 1.</exception>
    public int Sweeps
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(Sweeps), value, "A step has at least one sweep.");
    } = 1;

    /// <summary>
    /// Whether whole groups are corrected before single channels are updated. Without it a step is the plain Jacobi update, in which each
    /// norm is that of the start of the step.
    /// </summary>
    public CoarseCorrection CoarseCorrection { get; init; } = CoarseCorrection.On;
}
