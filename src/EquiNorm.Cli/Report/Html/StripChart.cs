using System.Text;

namespace EquiNorm.Cli.Report.Html;

/// <summary>Heat strips: a line of cells for what comes into the channels of a group and one for what leaves them, before and after.</summary>
internal static class StripChart
{
    // Lines 1 and 2 are before, 3 and 4 after; a gap between them.
    private static readonly double[] Lines = [0.5, 1.5, 3, 4];
    private const double LinesHeight = 4.5;
    private const double Height = 42;

    /// <summary>Draws the strips of all groups.</summary>
    public static void Write(HtmlWriter html, ChannelStrips strips)
    {
        Scale(html, strips);
        html.Open("div", ("class", "strips")).Open("table").Open("thead").Open("tr").Element("th", "Channel group", ("scope", "col"))
            .Element("th", "Norms of its channels, in network order", ("scope", "col"), ("class", "chart"))
            .Element("th", "Imbalance before", ("scope", "col"), ("class", "n")).Element("th", "after", ("scope", "col"), ("class", "n")).Close().Close().Open("tbody");
        foreach (var group in strips.Groups)
        {
            string cells = group.Cells == group.Channels ? "" : $", {group.Cells} cells";
            html.Open("tr").Open("td", ("class", "name")).Name(group.Name).Element("small", $"{Figures.Whole(group.Channels)} {(group.Channels == 1 ? "channel" : "channels")}{cells}").Close()
                .Open("td", ("class", "chart"));
            Strip(html, group);
            html.Close().Element("td", $"×{Figures.Text(group.ImbalanceBefore, 4)}", ("class", "n")).Element("td", $"×{Figures.Text(group.ImbalanceAfter, 6)}", ("class", "n")).Close().Raw("\n");
        }

        html.Close().Close().Close();
        string cut = strips.LeftOut > 0 ? $" {Figures.Whole(strips.LeftOut)} more groups, those that were closest to balance, are not drawn; 'equinorm inspect --json' lists all." : "";
        string shared = strips.Groups.Any(g => g.Cells < g.Channels) ? " Where there are fewer cells than channels, neighbours share a cell, and it shows the largest norm among them." : "";
        html.Element("p", $"Colours span the 1st to the 99th percentile of all norms; what is beyond has the colour of that end.{shared}{cut}", ("class", "note"));
    }

    private static void Strip(HtmlWriter html, GroupStrip group)
    {
        html.Open("svg", ("width", "100%"), ("height", Svg.Number(Height)), ("aria-hidden", "true"))
            .Label("before", "-6", 13, "end", "small").Label("after", "-6", 36, "end", "small")
            .Open("svg", ("width", "100%"), ("height", Svg.Number(Height)), ("viewBox", $"0 0 {group.Cells} {Svg.Number(LinesHeight)}"), ("preserveAspectRatio", "none"));
        for (int level = ChannelStrips.Dead; level < ChannelStrips.Levels; level++)
        {
            string path = Runs(group, level);
            if (path.Length > 0)
            {
                html.Empty("path", ("class", level == ChannelStrips.Dead ? "k kd" : $"k k{level}"), ("d", path));
            }
        }

        html.Close().Close();
    }

    // Cells of one level side by side are one stroke.
    private static string Runs(GroupStrip group, int level)
    {
        var path = new StringBuilder();
        for (int line = 0; line < Lines.Length; line++)
        {
            int[] cells = group.Rows[line];
            for (int from = 0; from < cells.Length; from++)
            {
                if (cells[from] == level)
                {
                    int to = from + 1;
                    while (to < cells.Length && cells[to] == level)
                    {
                        to++;
                    }

                    path.Append(System.Globalization.CultureInfo.InvariantCulture, $"M{from} {Lines[line]}h{to - from}");
                    from = to;
                }
            }
        }

        return path.ToString();
    }

    private static void Scale(HtmlWriter html, ChannelStrips strips)
    {
        html.Open("div", ("class", "scale")).Element("span", $"norm {Figures.Text(strips.Low, 3)}")
            .Open("svg", ("width", "204"), ("height", "12"), ("viewBox", $"0 0 {ChannelStrips.Levels} 1"), ("preserveAspectRatio", "none"), ("role", "img"), ("aria-label", "scale from dark, small, to bright, large"));
        for (int level = 0; level < ChannelStrips.Levels; level++)
        {
            html.Empty("path", ("class", $"k k{level}"), ("d", $"M{level} .5h1"));
        }

        html.Close().Element("span", $"{Figures.Text(strips.High, 3)} (logarithmic)")
            .Open("svg", ("width", "12"), ("height", "12"), ("viewBox", "0 0 1 1"), ("aria-hidden", "true")).Empty("path", ("class", "k kd"), ("d", "M0 .5h1")).Close()
            .Element("span", "all weights zero").Close();
    }
}
