using EquiNorm.Model;
using EquiNorm.Problem;

namespace EquiNorm.Solve;

/// <summary>How a solve ended.</summary>
public enum RescalingStatus
{
    /// <summary>
    /// The certified gap (or, where no bound can be had, and at p = infinity, the residual) is within the tolerance; for powers of two,
    /// before rounding.
    /// </summary>
    Converged,

    /// <summary>The sweep limit was reached. The factors are a valid rescaling, with a smaller objective than before (p finite).</summary>
    SweepLimit,

    /// <summary>Rounding keeps the objective from falling further before the tolerance is met. The factors are valid.</summary>
    Stalled,

    /// <summary>A weight holds a NaN or an infinity. There are no factors.</summary>
    NonFinite,
}

/// <summary>The state after a half sweep (or a pass, for the Jacobi order).</summary>
/// <param name="Sweeps">Energies read so far, in sweeps: reads of all energies divided by two.</param>
/// <param name="Objective">F at the factors of this moment.</param>
/// <param name="Residual">The largest |log(a/b)| / p that the half sweep met, each channel just before its update.</param>
/// <param name="GapBound">Certified bound on F / F* - 1 at this moment, where one was computed.</param>
public readonly record struct SweepRecord(double Sweeps, double Objective, double Residual, double? GapBound);

/// <summary>Why a channel of a free group keeps its factor of 1.</summary>
public enum FrozenReason
{
    /// <summary>All weights that write it are zero.</summary>
    NoIncoming,

    /// <summary>All weights that read it are zero.</summary>
    NoOutgoing,

    /// <summary>Only channels that are cut off themselves write it, or read it: its factor could move without limit.</summary>
    Disconnected,
}

/// <summary>A channel of a free group that keeps its factor of 1.</summary>
/// <param name="Group">Its group.</param>
/// <param name="Channel">Its index within the group.</param>
/// <param name="Reason">Why.</param>
public readonly record struct FrozenChannel(ChannelGroup Group, int Channel, FrozenReason Reason);

/// <summary>Which limit a factor is at.</summary>
public enum GainSide
{
    /// <summary>d = G.</summary>
    Largest,

    /// <summary>d = 1/G.</summary>
    Smallest,
}

/// <summary>A channel whose factor is at the limit <see cref="Problem.RescalingOptions.MaxGain"/>.</summary>
/// <param name="Group">Its group.</param>
/// <param name="Channel">Its index within the group.</param>
/// <param name="Side">Which limit.</param>
public readonly record struct LimitedChannel(ChannelGroup Group, int Channel, GainSide Side);

/// <summary>A NaN or an infinity in a weight.</summary>
/// <param name="Weight">Which weight.</param>
/// <param name="Output">Output channel.</param>
/// <param name="Input">Input channel (within the block, for grouped weights).</param>
/// <param name="Kernel">Kernel position.</param>
/// <param name="Value">The element.</param>
public readonly record struct NonFiniteElement(Weight Weight, int Output, int Input, int Kernel, double Value)
{
    internal static NonFiniteElement? Of(Weight weight, (int Output, int Input, int Kernel, double Value)? place) =>
        place is { } p ? new NonFiniteElement(weight, p.Output, p.Input, p.Kernel, p.Value) : null;
}

/// <summary>Wall time of the parts of a solve.</summary>
/// <param name="Read">Planning, and the one pass over the weights.</param>
/// <param name="Solve">Sweeps and certificate.</param>
public readonly record struct SolveTimings(TimeSpan Read, TimeSpan Solve);

/// <summary>The factors, and how good they are. Objective, residual and gap belong to exactly the factors that are returned.</summary>
public sealed record RescalingResult
{
    /// <summary>How the solve ended.</summary>
    public required RescalingStatus Status { get; init; }

    /// <summary>The factors; null if <see cref="Status"/> is <see cref="RescalingStatus.NonFinite"/>.</summary>
    public Scalings? Scalings { get; init; }

    /// <summary>Reads of all energies divided by two, certificate included.</summary>
    public double Sweeps { get; init; }

    /// <summary>
    /// F before (factors of 1). At p = infinity the sum over all weights of lambda_t max |W_t|, which is reported and not minimised: it falls
    /// as a rule, and need not.
    /// </summary>
    public double ObjectiveBefore { get; init; }

    /// <summary>The same at the returned factors.</summary>
    public double Objective { get; init; }

    /// <summary>
    /// max |log(a/b)| / p over all channels that may move: the largest |log(norm in / norm out)|. A channel that the limit on factors stops
    /// counts with twice the way that it may still go: 0 at the limit.
    /// </summary>
    public double Residual { get; init; }

    /// <summary>
    /// Certified bound on F / F* - 1, F* the optimum within the limit on factors; null where no bound can be had (then the residual decides)
    /// and at p = infinity, where there is no optimum.
    /// </summary>
    public double? GapBound { get; init; }

    /// <summary>Objective, residual and gap after each half sweep.</summary>
    public IReadOnlyList<SweepRecord> History { get; init; } = [];

    /// <summary>Dead and disconnected channels, which keep factor 1.</summary>
    public IReadOnlyList<FrozenChannel> Frozen { get; init; } = [];

    /// <summary>
    /// Channels whose factors are at the limit <see cref="Problem.RescalingOptions.MaxGain"/>; for powers of two, before rounding.
    /// </summary>
    public IReadOnlyList<LimitedChannel> Limited { get; init; } = [];

    /// <summary>The element that makes the problem meaningless, if there is one.</summary>
    public NonFiniteElement? NonFinite { get; init; }

    /// <summary>What the status means for the user, and what to do about it.</summary>
    public string Advice { get; init; } = "";

    /// <summary>The order that was used.</summary>
    public SweepOrder Order { get; init; }

    /// <summary>Name of the backend.</summary>
    public string Backend { get; init; } = "";

    /// <summary>Threads of the backend.</summary>
    public int Threads { get; init; }

    /// <summary>Wall time.</summary>
    public SolveTimings Timings { get; init; }
}
