using EquiNorm.Cli.Text;

namespace EquiNorm.Cli.Report.Html;

/// <summary>The parts of the page that are tables: what was left alone and why, and how the run was made.</summary>
internal static class ReportDetails
{
    private const int MostCauses = 150;
    private const int FirstNamed = 4;
    private const int MostNamed = 400;
    private const int MostFrozenGroups = 100;
    private const int MostChannelsNamed = 40;
    private const int MostNotes = 50;

    /// <summary>Pinned groups, frozen channels, notes.</summary>
    public static void LeftAlone(HtmlWriter html, ReportData data) => ReportPage.Section(html, "alone", "Left alone", "", () =>
    {
        Pinned(html, data.Pinned);
        Frozen(html, data.Frozen);
        Remarks(html, data);
    });

    /// <summary>Timings, files, command line, versions.</summary>
    public static void Run(HtmlWriter html, ReportData data) => ReportPage.Section(html, "run", "How it was made", "", () =>
    {
        Timings(html, data);
        html.Element("h3", "Command line").Element("pre", HtmlWriter.Clean(data.Run.CommandLine, 4000));
        html.Element("h3", "Files").Open("table").Open("thead").Open("tr").Element("th", "File", ("scope", "col")).Element("th", "Size", ("scope", "col"), ("class", "n"))
            .Element("th", "SHA-256", ("scope", "col")).Close().Close().Open("tbody");
        foreach (var file in data.Run.Files)
        {
            html.Open("tr").Open("td", ("class", "name")).Text($"{file.Role}: {HtmlWriter.Clean(file.Path, 400)}").Close().Element("td", Figures.Bytes(file.Bytes), ("class", "n"))
                .Element("td", file.Sha256 ?? "not taken", ("class", "name")).Close();
        }

        html.Close().Close().Element("h3", "Machine and versions").Open("table").Open("thead").Open("tr").Element("th", "What", ("scope", "col")).Element("th", "Which", ("scope", "col")).Close().Close().Open("tbody");
        foreach (var (name, value) in data.Run.Machine)
        {
            html.Open("tr").Element("td", name).Element("td", HtmlWriter.Sentence(value)).Close();
        }

        html.Close().Close();
    });

    private static void Pinned(HtmlWriter html, IReadOnlyList<PinnedCause> causes)
    {
        html.Element("h3", $"Pinned: {Say.Count(causes.Sum(c => c.Groups.Count), "group")} of channels").Element(
            "p", "The channels of these groups keep a factor of 1, because what reads or writes them would change the function otherwise, or by request.");
        html.Open("table").Open("thead").Open("tr").Element("th", "Operator", ("scope", "col")).Element("th", "Why", ("scope", "col")).Element("th", "Groups", ("scope", "col"))
            .Element("th", "Channels", ("scope", "col"), ("class", "n")).Close().Close().Open("tbody");
        int named = 0;
        foreach (var cause in causes.Take(MostCauses))
        {
            html.Open("tr").Element("td", HtmlWriter.Short(cause.Operator ?? "–")).Element("td", HtmlWriter.Sentence(cause.Why)).Open("td", ("class", "name"));
            named += Groups(html, cause.Groups, Math.Max(1, MostNamed - named));
            html.Close().Element("td", Figures.Whole(cause.Groups.Sum(g => g.Channels)), ("class", "n")).Close();
        }

        html.Close().Close();
        More(html, causes.Count - MostCauses, "reasons");
    }

    // The first few, and the others behind a click. Returns how many.
    private static int Groups(HtmlWriter html, IReadOnlyList<(string Name, int Channels)> groups, int most)
    {
        for (int n = 0; n < Math.Min(groups.Count, most); n++)
        {
            if (n == FirstNamed)
            {
                html.Open("details").Element("summary", $"{Figures.Whole(groups.Count - FirstNamed)} more");
            }

            html.Open("div").Name(groups[n].Name).Close();
        }

        if (groups.Count > most)
        {
            html.Element("div", $"… {Figures.Whole(groups.Count - most)} more: --json lists all");
        }

        if (Math.Min(groups.Count, most) > FirstNamed)
        {
            html.Close();
        }

        return Math.Min(groups.Count, most);
    }

    private static void Frozen(HtmlWriter html, IReadOnlyList<FrozenChannels> frozen)
    {
        html.Element("h3", $"Frozen: {Say.Count(frozen.Sum(f => f.Channels.Count), "dead channel")}");
        if (frozen.Count == 0)
        {
            html.Element("p", "No channel of a free group is dead: each is written and read by a weight that is not zero.");
            return;
        }

        html.Element("p", "A channel without any incoming or outgoing weight has no best factor. It keeps a factor of 1.");
        html.Open("table").Open("thead").Open("tr").Element("th", "Channel group", ("scope", "col")).Element("th", "Channels", ("scope", "col")).Element("th", "Why", ("scope", "col"))
            .Close().Close().Open("tbody");
        foreach (var group in frozen.Take(MostFrozenGroups))
        {
            string more = group.Channels.Count > MostChannelsNamed ? $" … {Figures.Whole(group.Channels.Count - MostChannelsNamed)} more" : "";
            html.Open("tr").Open("td", ("class", "name")).Name(group.Group).Close().Element("td", string.Join(", ", group.Channels.Take(MostChannelsNamed)) + more)
                .Element("td", group.Reason).Close();
        }

        html.Close().Close();
        More(html, frozen.Count - MostFrozenGroups, "groups");
    }

    private static void Remarks(HtmlWriter html, ReportData data)
    {
        var result = data.Result;
        List<string> remarks = [];
        if (result.FoldedNormalizations.Count > 0)
        {
            remarks.Add($"{result.FoldedNormalizations.Count} batch normalisations are folded into the operators in front of them; norms are those after folding.");
        }

        if (result.ScaledNormalizations.Count > 0)
        {
            remarks.Add($"Gamma and beta of {result.ScaledNormalizations.Count} batch normalisations carry the factors, and gamma counts in the objective.");
        }

        if (result.CopiedTensors > 0)
        {
            remarks.Add($"{result.CopiedTensors} tensors were copied: several operators read them with different factors.");
        }

        if (result.Underflowed > 0)
        {
            remarks.Add($"{Figures.Whole(result.Underflowed)} elements became zero: below the smallest number of their storage type.");
        }

        remarks.AddRange(result.Notes.Take(MostNotes));
        if (remarks.Count == 0)
        {
            return;
        }

        html.Element("h3", "Notes").Open("ul");
        foreach (string remark in remarks)
        {
            html.Element("li", HtmlWriter.Sentence(remark));
        }

        html.Close();
        More(html, result.Notes.Count - MostNotes, "notes");
    }

    private static void Timings(HtmlWriter html, ReportData data)
    {
        double sum = data.Timings.Sum(t => t.Seconds), at = 0;
        if (sum > 0)
        {
            string words = string.Join(", ", data.Timings.Select(t => $"{t.Name} {Figures.Seconds(t.Seconds)}"));
            html.Element("h3", $"Time: {Figures.Seconds(sum)}").OpenChart("time", "Time of the parts", words, 14);
            for (int n = 0; n < data.Timings.Count; n++)
            {
                html.Empty("rect", ("class", $"t{n}"), ("x", Svg.Percent(at / sum)), ("width", Svg.Percent(data.Timings[n].Seconds / sum)), ("y", "0"), ("height", "14"));
                at += data.Timings[n].Seconds;
            }

            html.Close().Open("ul", ("class", "key"), ("style", "margin-top:8px"));
            for (int n = 0; n < data.Timings.Count; n++)
            {
                html.Open("li").Open("svg", ("width", "10"), ("height", "10"), ("aria-hidden", "true")).Empty("rect", ("class", $"t{n}"), ("width", "10"), ("height", "10")).Close()
                    .Text($"{data.Timings[n].Name} {Figures.Seconds(data.Timings[n].Seconds)}").Close();
            }

            html.Close();
        }
    }

    private static void More(HtmlWriter html, int count, string noun)
    {
        if (count > 0)
        {
            html.Element("p", $"{Figures.Whole(count)} more {noun} are not listed; --json lists all.", ("class", "note"));
        }
    }
}
