using EquiNorm.Cli.Text;
using EquiNorm.Model;
using EquiNorm.Solve;

namespace EquiNorm.Cli.Report;

/// <summary>
/// The norms of what comes into and what leaves each channel of the free groups, before and after, ready to be drawn: neighbouring channels
/// share a cell where there are more channels than cells, and the cell shows the largest of them. Norms become levels 0 .. Levels - 1 on
/// one logarithmic scale for all groups, from the 1st to the 99th percentile of all norms; what is beyond takes the level at that end.
/// </summary>
internal sealed record ChannelStrips
{
    /// <summary>Steps of the scale.</summary>
    public const int Levels = 17;

    /// <summary>The level of a cell without any norm.</summary>
    public const int Dead = -1;

    private const int MostGroups = 100;
    private const int ManyGroups = 40;
    private const int CellsOfFew = 128;
    private const int CellsOfMany = 64;

    /// <summary>The groups that are shown, in network order.</summary>
    public required IReadOnlyList<GroupStrip> Groups { get; init; }

    /// <summary>Free groups that were left out: those with the smallest imbalance before.</summary>
    public required int LeftOut { get; init; }

    /// <summary>The norm at the lower end of the scale.</summary>
    public required double Low { get; init; }

    /// <summary>The norm at the upper end.</summary>
    public required double High { get; init; }

    /// <summary>The strips of a network.</summary>
    public static ChannelStrips Of(NetworkSurvey before, NetworkSurvey after)
    {
        var free = before.Network.Groups.Where(g => !g.IsPinned && g.Count > 0).ToList();
        var shown = free.Count <= MostGroups ? free : [.. free.OrderByDescending(before.ResidualOf).Take(MostGroups).OrderBy(g => g.Index)];
        var (low, high) = Range(shown, before, after);
        int most = shown.Count <= ManyGroups ? CellsOfFew : CellsOfMany;
        return new ChannelStrips
        {
            Groups = [.. shown.Select(Strip)],
            LeftOut = free.Count - shown.Count,
            Low = low,
            High = high,
        };

        GroupStrip Strip(ChannelGroup group)
        {
            int cells = Math.Min(group.Count, most);
            return new GroupStrip(Say.Group(group.Name), group.Count, cells, Math.Exp(before.ResidualOf(group)), Math.Exp(after.ResidualOf(group)))
            {
                Rows = [.. new[] { Cells(before, before.Incoming), Cells(before, before.Outgoing), Cells(after, after.Incoming), Cells(after, after.Outgoing) }],
            };

            int[] Cells(NetworkSurvey survey, ReadOnlySpan<double> sums)
            {
                var levels = new int[cells];
                for (int n = 0; n < cells; n++)
                {
                    var (from, to) = ((int)((long)n * group.Count / cells), (int)((long)(n + 1) * group.Count / cells));
                    double largest = 0;
                    foreach (double sum in sums[(group.FirstChannel + from)..(group.FirstChannel + to)])
                    {
                        largest = Math.Max(largest, sum);
                    }

                    levels[n] = Level(Norm(largest, survey.Norm), low, high);
                }

                return levels;
            }
        }
    }

    private static (double Low, double High) Range(List<ChannelGroup> groups, NetworkSurvey before, NetworkSurvey after)
    {
        var norms = new List<double>();
        foreach (var group in groups)
        {
            for (int c = group.FirstChannel; c < group.FirstChannel + group.Count; c++)
            {
                norms.AddRange([before.Incoming[c], before.Outgoing[c], after.Incoming[c], after.Outgoing[c]]);
            }
        }

        var positive = norms.Select(n => Norm(n, before.Norm)).Where(n => n > 0 && double.IsFinite(n)).Order().ToList();
        return positive.Count == 0 ? (1, 1) : (positive[positive.Count / 100], positive[positive.Count - 1 - positive.Count / 100]);
    }

    // Sums are of p-th powers; p = infinity has the norm itself.
    private static double Norm(double sum, double p) => double.IsInfinity(p) ? sum : Math.Pow(sum, 1 / p);

    private static int Level(double norm, double low, double high) =>
        !(norm > 0) ? Dead
        : high <= low ? Levels / 2
        : (int)Math.Clamp(Math.Floor(Levels * Math.Log(norm / low) / Math.Log(high / low)), 0, Levels - 1);
}

/// <summary>The channels of one group.</summary>
/// <param name="Name">The group.</param>
/// <param name="Channels">Its channels.</param>
/// <param name="Cells">Cells that show them.</param>
/// <param name="ImbalanceBefore">The largest factor between what comes into a channel and what leaves it.</param>
/// <param name="ImbalanceAfter">The same after.</param>
internal sealed record GroupStrip(string Name, int Channels, int Cells, double ImbalanceBefore, double ImbalanceAfter)
{
    /// <summary>Levels of incoming and outgoing norms before, then after: [4][Cells].</summary>
    public required IReadOnlyList<int[]> Rows { get; init; }
}
