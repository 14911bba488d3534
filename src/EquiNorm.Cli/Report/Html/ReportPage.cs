using System.Text;
using System.Text.Json;
using EquiNorm.Cli.Json;

namespace EquiNorm.Cli.Report.Html;

/// <summary>
/// A report as one HTML page: style and drawings are in it, nothing is loaded, there are no scripts, and a content security policy says so to the
/// browser. Light or dark as the reader's system is. Its size is bounded whatever the network: lists and drawings are cut, and say so.
/// </summary>
internal static class ReportPage
{
    private const string Policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

    /// <summary>The page in UTF-8.</summary>
    public static byte[] Render(ReportData data)
    {
        using var html = new HtmlWriter();
        string model = HtmlWriter.Short(Path.GetFileName(data.Result.Input));
        html.Open("html", ("lang", "en")).Open("head").Raw("\n").Empty("meta", ("charset", "utf-8"))
            .Empty("meta", ("name", "viewport"), ("content", "width=device-width, initial-scale=1"))
            .Empty("meta", ("http-equiv", "Content-Security-Policy"), ("content", Policy))
            .Element("title", $"{model}: rescaled").Open("style").Raw("\n" + StyleSheet()).Close().Close().Raw("\n").Open("body").Open("main").Raw("\n");
        Header(html, data, model);
        if (data.Result.Channels > 0)
        {
            Solve(html, data);
        }

        ReportDetails.LeftAlone(html, data);
        ReportDetails.Run(html, data);
        Section(html, "every", "Every number of this run", "The object that --json prints, as tables.", () =>
        {
            html.Open("details").Element("summary", "Show it").Open("div", ("class", "scroll"));
            using var document = JsonSerializer.SerializeToDocument(data.Result, Documents.Default.RescaleDocument);
            JsonTables.Write(html, document.RootElement);
            html.Close().Close();
        });
        html.Element("footer", $"Made by equinorm {data.Run.Version} on {data.Run.Made.UtcDateTime.ToString("yyyy-MM-dd HH:mm", System.Globalization.CultureInfo.InvariantCulture)} UTC. This page loads nothing and runs no scripts.");
        return Encoding.UTF8.GetBytes(html.Close().Close().Close().Finish());
    }

    /// <summary>A part of the page with a heading and a sentence on how to read it.</summary>
    public static void Section(HtmlWriter html, string style, string heading, string explanation, Action content)
    {
        html.Open("section", ("class", style)).Element("h2", heading);
        if (explanation.Length > 0)
        {
            html.Element("p", explanation);
        }

        content();
        html.Close().Raw("\n");
    }

    private static void Solve(HtmlWriter html, ReportData data)
    {
        string norm = $"{(data.Result.Norm is { } p ? Figures.Text(p) : "∞")}-norm";
        if (data.Convergence.Points.Count > 1)
        {
            Section(html, "convergence", "Convergence", Certificate(data), () => ConvergenceChart.Write(html, data.Convergence));
        }

        Section(html, "norms", "Layers before and after", $"The {norm} of each layer, in network order, on a logarithmic axis. {(data.Result.Norm is null ? "They move towards each other where channels do." : "Together they became smaller; a single one may grow.")}",
            () => LayerChart.Write(html, data.Layers, norm));
        if (data.Channels.Groups.Count > 0)
        {
            string penalty = data.Result.Penalty == "none" ? "" : " These are the norms without the penalty: with it, and not without, both lines agree.";
            Section(html, "channels", "Channels before and after",
                $"Of each pair of lines, the upper is the norm of what comes into each channel, the lower the norm of what leaves it. Balanced, both lines are the same. The imbalance is the largest factor between them.{penalty}",
                () => StripChart.Write(html, data.Channels));
        }

        if (data.Gains.Channels > 0)
        {
            Section(html, "gains", "Factors", $"{Figures.Whole(data.Gains.Channels)} channels could move. What comes into a channel was multiplied by its factor, what leaves it was divided by it.",
                () => GainChart.Write(html, data.Gains));
        }
    }

    private static string Certificate(ReportData data) => data.Convergence.IsCertified
        ? "A lower bound of the optimum, computed at the end, holds for the whole way: the solid line is how far above the optimum each point was, at most."
            + (data.Convergence.EndsWithRounding ? " The last step rounds every factor to a power of two." : "")
        : "No lower bound of the optimum can be computed for this network; the solve ends when the imbalance is small enough.";

    private static void Header(HtmlWriter html, ReportData data, string model)
    {
        var result = data.Result;
        bool converged = result.Status == "Converged";
        html.Open("header").Open("p", ("class", "kicker")).Element("b", model).Element("span", converged ? "Converged" : "Not converged", ("class", converged ? "badge" : "badge warn"));
        if (result.Output is null)
        {
            html.Element("span", "Dry run: nothing was written", ("class", "badge warn"));
        }
        else if (data.Verification is Verification.Same)
        {
            html.Element("span", "Function verified", ("class", "badge"));
        }

        html.Close().Element("h1", HtmlWriter.Sentence(data.Story[0]));
        for (int n = 1; n < data.Story.Count; n++)
        {
            string style = n < data.Story.Count - 1 ? "lede" : data.Verification switch { Verification.Same => "lede good", Verification.Different => "lede warn", _ => "lede" };
            html.Element("p", HtmlWriter.Sentence(data.Story[n]), ("class", style));
        }

        html.Open("ul", ("class", "tiles"));
        if (result.Channels > 0)
        {
            double share = 100 * (result.ObjectiveAfter ?? double.NaN) / (result.ObjectiveBefore ?? double.NaN);
            Tile(html, "Objective, of what it was", double.IsFinite(share) ? $"{Figures.Text(share, 3)} %" : "–");
            Tile(html, "Certified gap", result.GapBound is { } gap ? Figures.Text(gap, 2) : "no bound");
            Tile(html, "Channels rescaled", Figures.Whole(result.Channels - result.FrozenChannels));
        }

        Tile(html, "Weights", Figures.Whole(data.Elements));
        Tile(html, "Whole run", Figures.Seconds(data.Timings.Sum(t => t.Seconds)));
        html.Close().Close().Raw("\n");
    }

    private static void Tile(HtmlWriter html, string name, string value) => html.Open("li").Element("span", name).Element("b", value).Close();

    private static string StyleSheet()
    {
        using var stream = typeof(ReportPage).Assembly.GetManifestResourceStream("report.css") ?? throw new InvalidOperationException("The style sheet is not in the assembly.");
        using var reader = new StreamReader(stream, Encoding.UTF8);
        return reader.ReadToEnd();
    }
}
