namespace EquiNorm.Cli.Report.Html;

/// <summary>A logarithmic axis: ends at round numbers, and few ticks: powers of ten, or 1, 2, 5 where there are less than three decades.</summary>
internal sealed class LogAxis
{
    private const int MostTicks = 7;
    private readonly double _low;
    private readonly double _high;

    /// <summary>An axis that holds the positive finite values among some.</summary>
    public LogAxis(IEnumerable<double> values)
    {
        var (low, high) = (double.PositiveInfinity, 0.0);
        foreach (double value in values.Where(v => v > 0 && double.IsFinite(v)))
        {
            (low, high) = (Math.Min(low, value), Math.Max(high, value));
        }

        (low, high) = high > 0 ? (low, high) : (1, 10);
        double decades = Math.Log10(high) - Math.Log10(low);
        if (decades < 2.5)
        {
            (_low, _high) = (Round(low, Math.Floor), Round(high, Math.Ceiling));
            _high = _high <= _low ? _low + Math.Log10(2) : _high;
            Ticks = [.. Fine(_low, _high).Select(e => Math.Pow(10, e))];
            return;
        }

        int step = (int)Math.Max(1, Math.Ceiling((Math.Ceiling(Math.Log10(high)) - Math.Floor(Math.Log10(low))) / (MostTicks - 1)));
        int from = (int)Math.Floor(Math.Floor(Math.Log10(low)) / step) * step;
        int to = (int)Math.Ceiling(Math.Ceiling(Math.Log10(high)) / step) * step;
        (_low, _high) = (from, to);
        Ticks = [.. Enumerable.Range(0, (to - from) / step + 1).Select(n => Math.Pow(10, from + n * step))];
    }

    /// <summary>Where marks stand.</summary>
    public IReadOnlyList<double> Ticks { get; }

    /// <summary>Place of a value: 0 at the lower end, 1 at the upper.</summary>
    public double Place(double value) => value > 0 ? Math.Clamp((Math.Log10(value) - _low) / (_high - _low), 0, 1) : 0;

    // To 1, 2 or 5 times a power of ten.
    private static double Round(double value, Func<double, double> round)
    {
        double log = Math.Log10(value), floor = Math.Floor(log);
        double[] marks = [floor, floor + Math.Log10(2), floor + Math.Log10(5), floor + 1];
        const double Slack = 1e-9;
        return round(0.5) == 0 ? marks.Last(m => m <= log + Slack) : marks.First(m => m >= log - Slack);
    }

    private static IEnumerable<double> Fine(double low, double high)
    {
        for (double floor = Math.Floor(low); floor <= high; floor++)
        {
            foreach (double mark in (double[])[floor, floor + Math.Log10(2), floor + Math.Log10(5)])
            {
                if (mark >= low - 1e-9 && mark <= high + 1e-9)
                {
                    yield return mark;
                }
            }
        }
    }
}
