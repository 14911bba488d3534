using System.Diagnostics;

namespace EquiNorm.Gpu.Bench.Measure;

/// <summary>Repeats until there are enough samples or the time is up.</summary>
/// <param name="most">Samples, at most.</param>
/// <param name="seconds">Time after which three samples are enough.</param>
internal sealed class Samples(int most, double seconds)
{
    private const int Fewest = 3;

    /// <summary>The median of what a measurement returns.</summary>
    public double Median(Func<double> measure)
    {
        var values = new List<double>();
        var clock = Stopwatch.StartNew();
        while (values.Count < most && (values.Count < Fewest || clock.Elapsed.TotalSeconds < seconds))
        {
            values.Add(measure());
        }

        return MedianOf(values);
    }

    /// <summary>The median wall time of an action in seconds.</summary>
    public double MedianTime(Action action) => Median(() =>
    {
        var start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    });

    /// <summary>The middle of sorted values; of two, the mean.</summary>
    public static double MedianOf(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }
}
