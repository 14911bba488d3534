namespace EquiNorm.Problem;

/// <summary>
/// The order in which channel groups are updated within a sweep. Every order ends at the same optimum; at p = infinity where it ends may
/// depend on the order in networks with residual streams.
/// </summary>
public enum SweepOrder
{
    /// <summary>The backend's best order: forward-backward on the CPU, fused Jacobi on a GPU. At p = infinity forward-backward on both.</summary>
    Auto,

    /// <summary>The cycle of the paper: every group once, in network order, each with current neighbours.</summary>
    Sequential,

    /// <summary>All groups at once from one read of the energies. At p = infinity by half a step, as whole steps can swing for ever.</summary>
    Jacobi,

    /// <summary>Groups that share no weight at once, colour by colour.</summary>
    Colored,

    /// <summary>In network order forth and back; sums of the way forth serve the way back, so a half sweep reads the energies once.</summary>
    ForwardBackward,
}

/// <summary>Whether one scalar per group is minimised exactly after each half sweep.</summary>
public enum CoarseCorrection
{
    /// <summary>Yes: the number of sweeps does not grow with depth.</summary>
    On,

    /// <summary>No: plain block coordinate descent.</summary>
    Off,
}

/// <summary>Extrapolation over several sweeps.</summary>
public enum Acceleration
{
    /// <summary>Anderson's, once convergence is slow; a step that raises the objective is taken back.</summary>
    Anderson,

    /// <summary>None.</summary>
    None,
}

/// <summary>Which factors may be returned.</summary>
public enum FactorSet
{
    /// <summary>Any positive factors: the optimum.</summary>
    Real,

    /// <summary>Powers of two, rounded from the optimum: multiplying is exact in floating point, so the function keeps every bit.</summary>
    PowersOfTwo,
}

/// <summary>How the problem is solved. The defaults need no tuning.</summary>
public sealed record RescalingOptions
{
    /// <summary>The defaults.</summary>
    public static RescalingOptions Default { get; } = new();

    /// <summary>
    /// Largest relative gap F / F* - 1, certified by a lower bound, at which the solve ends. Where no bound can be had, and at p = infinity
    /// always, the residual is compared with it instead. Null, the default: 1e-8, and 1e-4 at p = infinity.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not positive and finite.</exception>
    public double? Tolerance
    {
        get;
        init => field = value is null || (double.IsFinite(value.Value) && value > 0)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(Tolerance), value, "The tolerance must be positive and finite.");
    }

    /// <summary>
    /// G > 1 with 1/G &lt;= d &lt;= G for every factor d; null, the default, for no limit. The optimum is then that of all factors within it.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not finite and above 1.</exception>
    public double? MaxGain
    {
        get;
        init => field = value is null || (double.IsFinite(value.Value) && value > 1)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(MaxGain), value, "The largest gain must be finite and above 1.");
    }

    /// <summary>
    /// Largest number of sweeps (reads of all energies, divided by two). A half sweep that would go beyond it, by the longest so far, is
    /// not begun, except the first. The certificate and the residual of the factors that are returned come on top: half a sweep as a rule,
    /// one and a half where the flow must be tried in both directions.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is less than 1.</exception>
    public int MaxSweeps
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(MaxSweeps), value, "At least one sweep is needed.");
    } = 1000;

    /// <summary>The order of updates.</summary>
    public SweepOrder Order { get; init; } = SweepOrder.Auto;

    /// <summary>The coarse correction.</summary>
    public CoarseCorrection CoarseCorrection { get; init; } = CoarseCorrection.On;

    /// <summary>The acceleration.</summary>
    public Acceleration Acceleration { get; init; } = Acceleration.Anderson;

    /// <summary>The factors that may be returned.</summary>
    public FactorSet Factors { get; init; } = FactorSet.Real;

    /// <summary>The tolerance at exponent <paramref name="norm"/>: what was asked for, or that exponent's default.</summary>
    public double ToleranceFor(double norm) => Tolerance ?? (double.IsPositiveInfinity(norm) ? 1e-4 : 1e-8);
}
