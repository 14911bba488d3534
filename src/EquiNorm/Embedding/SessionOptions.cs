using EquiNorm.Problem;

namespace EquiNorm.Embedding;

/// <summary>How a session makes its steps.</summary>
public sealed record SessionOptions
{
    /// <summary>The defaults: one sweep at every call.</summary>
    public static SessionOptions Default { get; } = new();

    /// <summary>How a step is made.</summary>
    public StepOptions Step { get; init; } = StepOptions.Default;

    /// <summary>Only every n-th call of <see cref="RescalingSession.Step"/> does something.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is less than 1.</exception>
    public int Every
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(Every), value, "A step can be made at every call at most.");
    } = 1;
}

/// <summary>Where a solve starts.</summary>
public enum SolveStart
{
    /// <summary>At factors of 1.</summary>
    Cold,

    /// <summary>At the factors of the session's last solve, if the weights were not rescaled since; else at factors of 1.</summary>
    Warm,
}
