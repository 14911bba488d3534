namespace EquiNorm.Cli.Report.Html;

/// <summary>Histogram of log2 of the factors, and the largest of them by name.</summary>
internal static class GainChart
{
    private const double Height = 290;
    private const int MostTicks = 9;

    /// <summary>Draws both.</summary>
    public static void Write(HtmlWriter html, Gains gains)
    {
        html.Open("div", ("class", "two")).Open("div");
        Histogram(html, gains);
        html.Close().Open("div").Element("h3", "Farthest from 1");
        html.Open("table").Open("thead").Open("tr").Element("th", "Channel group", ("scope", "col")).Element("th", "Channel", ("scope", "col"), ("class", "n"))
            .Element("th", "Factor", ("scope", "col"), ("class", "n")).Close().Close().Open("tbody");
        foreach (var gain in gains.Largest)
        {
            html.Open("tr").Open("td", ("class", "name")).Name(gain.Group).Close().Element("td", $"{gain.Channel}", ("class", "n")).Element("td", Figures.Factor(gain.Log2), ("class", "n")).Close();
        }

        html.Close().Close().Close().Close();
    }

    private static void Histogram(HtmlWriter html, Gains gains)
    {
        int most = gains.Counts.Max(), bins = gains.Counts.Count;
        string description = $"{gains.Channels} factors between {Figures.Factor(gains.Range.Low)} and {Figures.Factor(gains.Range.High)}; bins of width {Svg.Number(gains.Width)} in log2, the fullest has {most}.";
        html.Element("h3", "Factors of all channels").Open("div", ("class", "plot")).OpenChart("gains", "Histogram of the factors", description, Height + 40);
        foreach (int tick in (int[])[0, most])
        {
            double y = Height * (1 - (double)tick / most);
            html.Empty("line", ("x1", "0"), ("x2", "100%"), ("y1", Svg.Number(y)), ("y2", Svg.Number(y)), ("class", "grid")).Label(Figures.Whole(tick), "-8", y + 4, "end");
        }

        for (int n = 0; n < bins; n++)
        {
            if (gains.Counts[n] > 0)
            {
                double low = gains.First + n * gains.Width, height = Math.Max(1.5, Height * gains.Counts[n] / most);
                bool isOne = low < 0 && low + gains.Width > 0;
                html.Open("rect", ("class", isOne ? "bar one" : "bar"), ("x", Svg.Percent((n + 0.06) / bins)), ("width", Svg.Percent(0.88 / bins)), ("y", Svg.Number(Height - height)), ("height", Svg.Number(height)))
                    .Element("title", $"{Figures.Factor(low)} to {Figures.Factor(low + gains.Width)}: {Figures.Whole(gains.Counts[n])}").Close();
            }
        }

        var (first, last) = (gains.First, gains.First + bins * gains.Width);
        foreach (int tick in Ticks(first, last))
        {
            html.Label(Math.Abs(tick) < 10 ? Figures.Factor(tick) : Figures.Power(tick, 2), Svg.Percent((tick - first) / (last - first)), Height + 18);
        }

        html.Label("factor of a channel on its way in", "100%", Height + 36, "end", "small").Close().Close();
    }

    // Powers of two at even distances, 1 among them.
    private static IEnumerable<int> Ticks(double first, double last)
    {
        int step = 1;
        while ((last - first) / step > MostTicks)
        {
            step *= 2;
        }

        for (int tick = (int)Math.Ceiling(first / step) * step; tick <= last; tick += step)
        {
            yield return tick;
        }
    }
}
