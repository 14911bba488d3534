using System.Diagnostics;

namespace EquiNorm.Gpu.Bench.Measure;

/// <summary>The time that a run may take. Asked before each part; a part that has begun is not interrupted.</summary>
/// <param name="total">All of it.</param>
/// <param name="elapsed">The time since the start; null for a stopwatch that starts now.</param>
internal sealed class TimeBudget(TimeSpan total, Func<TimeSpan>? elapsed = null)
{
    private readonly Func<TimeSpan> _elapsed = elapsed ?? CreateClock();

    /// <summary>Time since the start.</summary>
    public TimeSpan Elapsed => _elapsed();

    /// <summary>What is left, never negative.</summary>
    public TimeSpan Left => Elapsed < total ? total - Elapsed : TimeSpan.Zero;

    /// <summary>Whether a part that takes some seconds still ends in time.</summary>
    public bool Allows(double seconds) => Left.TotalSeconds > seconds;

    private static Func<TimeSpan> CreateClock()
    {
        var clock = Stopwatch.StartNew();
        return () => clock.Elapsed;
    }
}
