namespace EquiNorm.Gpu.Bench.Check;

/// <summary>Checks that share a line of the table.</summary>
/// <param name="name">What the line is called.</param>
internal sealed class CheckGroup(string name)
{
    // More would only repeat what the first ones say.
    private const int MostFailures = 5;

    private readonly List<string> _failures = [];

    /// <summary>What the line is called.</summary>
    public string Name { get; } = name;

    /// <summary>Checks that passed.</summary>
    public int Passed { get; private set; }

    /// <summary>Checks that failed.</summary>
    public int Failed { get; private set; }

    /// <summary>Comparisons that do not apply.</summary>
    public int Skipped { get; private set; }

    /// <summary>The largest relative difference of objectives that was seen.</summary>
    public double Objective { get; private set; }

    /// <summary>The largest difference of log factors that was seen.</summary>
    public double Factors { get; private set; }

    /// <summary>The first failures.</summary>
    public IReadOnlyList<string> Failures => _failures;

    /// <summary>Counts a check.</summary>
    public void That(bool holds, string what)
    {
        if (holds)
        {
            Passed++;
            return;
        }

        Failed++;
        if (_failures.Count < MostFailures)
        {
            _failures.Add(what);
        }
    }

    /// <summary>Counts a comparison that does not apply.</summary>
    public void Skip() => Skipped++;

    /// <summary>Objectives agree.</summary>
    public void SameObjective(double expected, double actual, double tolerance, string context)
    {
        var difference = expected == actual ? 0 : Math.Abs(actual - expected) / Math.Abs(expected);
        Objective = Math.Max(Objective, difference);
        That(difference <= tolerance, FormattableString.Invariant($"{context}: objective {actual:R} instead of {expected:R}"));
    }

    /// <summary>Log factors agree.</summary>
    public void SameFactors(ReadOnlySpan<double> expected, ReadOnlySpan<double> actual, double tolerance, string context)
    {
        var (worst, channel) = (0.0, 0);
        for (var c = 0; c < expected.Length; c++)
        {
            var difference = Math.Abs(actual[c] - expected[c]);
            if (!(difference <= worst))
            {
                (worst, channel) = (difference, c);
            }
        }

        Factors = Math.Max(Factors, worst);
        That(worst <= tolerance, FormattableString.Invariant(
            $"{context}: log factor of channel {channel} is {(actual.IsEmpty ? 0 : actual[channel]):R} instead of {(expected.IsEmpty ? 0 : expected[channel]):R} (allowed: {tolerance:G2})"));
    }
}
