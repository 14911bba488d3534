using System.Diagnostics;
using EquiNorm.Solve;

namespace EquiNorm.Cli.Text;

/// <summary>One line on standard error that follows a long solve; nothing if nobody watches, or if the solve is short.</summary>
internal sealed class ProgressLine(Streams streams) : IProgress<SweepRecord>, IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(100);
    private readonly long _start = Stopwatch.GetTimestamp();
    private TimeSpan _last;
    private int _length;

    /// <inheritdoc/>
    public void Report(SweepRecord value)
    {
        var elapsed = Stopwatch.GetElapsedTime(_start);
        if (!streams.Watched || elapsed < Patience || elapsed - _last < Interval)
        {
            return;
        }

        _last = elapsed;
        string gap = value.GapBound is { } g ? FormattableString.Invariant($", gap at most {g:G2}") : "";
        string text = FormattableString.Invariant($"sweep {value.Sweeps:0.#}: objective {value.Objective:G8}, imbalance {value.Residual:G2}{gap}");
        streams.Error.Write($"\r{text.PadRight(_length)}");
        _length = text.Length;
    }

    /// <summary>Wipes the line.</summary>
    public void Dispose()
    {
        if (_length > 0)
        {
            streams.Error.Write($"\r{new string(' ', _length)}\r");
        }
    }
}
