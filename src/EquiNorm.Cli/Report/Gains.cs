using EquiNorm.Cli.Text;
using EquiNorm.Solve;

namespace EquiNorm.Cli.Report;

/// <summary>The factors d of the channels that may move: a histogram of log2 d, and the largest by name.</summary>
internal sealed record Gains
{
    private const int MostBins = 48;
    private const int MostNamed = 12;
    private const double Ln2 = 0.693147180559945309417;

    // Width of a bin in units of log2: the smallest that needs few enough bins.
    private static readonly double[] Widths = [0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64];

    /// <summary>Channels that may move.</summary>
    public required int Channels { get; init; }

    /// <summary>log2 of the lower edge of the first bin.</summary>
    public double First { get; init; }

    /// <summary>Width of a bin in units of log2.</summary>
    public double Width { get; init; } = Widths[0];

    /// <summary>Channels in each bin.</summary>
    public IReadOnlyList<int> Counts { get; init; } = [];

    /// <summary>log2 of the smallest and of the largest factor.</summary>
    public (double Low, double High) Range { get; init; }

    /// <summary>The factors farthest from 1.</summary>
    public IReadOnlyList<Gain> Largest { get; init; } = [];

    /// <summary>The factors of a solve.</summary>
    public static Gains Of(RescalingResult result)
    {
        if (result.Scalings is not { } scalings)
        {
            return new Gains { Channels = 0 };
        }

        var frozen = result.Frozen.Select(f => f.Group.FirstChannel + f.Channel).ToHashSet();
        var all = new List<Gain>();
        foreach (var group in scalings.Network.Groups.Where(g => !g.IsPinned))
        {
            var factors = scalings.LogFactorsOf(group);
            for (int c = 0; c < factors.Length; c++)
            {
                if (!frozen.Contains(group.FirstChannel + c))
                {
                    all.Add(new Gain(group.Name, c, factors[c] / Ln2));
                }
            }
        }

        return all.Count == 0 ? new Gains { Channels = 0 } : Of(all);
    }

    private static Gains Of(List<Gain> all)
    {
        var (low, high) = (all.Min(g => g.Log2), all.Max(g => g.Log2));
        double width = Widths.First(w => w == Widths[^1] || Math.Ceiling(high / w + 0.5) - Math.Floor(low / w + 0.5) < MostBins);

        // Bins are centred on multiples of the width: one is centred on a factor of 1.
        double first = (Math.Floor(low / width + 0.5) - 0.5) * width;
        var counts = new int[(int)Math.Min(Math.Floor((high - first) / width) + 1, 10 * MostBins)];
        foreach (var gain in all)
        {
            counts[Math.Clamp((int)((gain.Log2 - first) / width), 0, counts.Length - 1)]++;
        }

        return new Gains
        {
            Channels = all.Count,
            First = first,
            Width = width,
            Counts = counts,
            Range = (low, high),
            Largest = [.. all.OrderByDescending(g => Math.Abs(g.Log2)).Take(MostNamed).Select(g => g with { Group = Say.Group(g.Group) })],
        };
    }
}

/// <summary>The factor of one channel.</summary>
/// <param name="Group">Its group.</param>
/// <param name="Channel">Its index there.</param>
/// <param name="Log2">log2 of the factor.</param>
internal readonly record struct Gain(string Group, int Channel, double Log2);
