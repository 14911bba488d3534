using System.Globalization;

namespace EquiNorm.Cli.Report.Html;

/// <summary>
/// What the charts share. A chart fills the width of its column and has a height in pixels: across, places are percentages, so that text and
/// dots keep their size on a phone; curves lie in an inner drawing that is stretched, with strokes that are not.
/// </summary>
internal static class Svg
{
    /// <summary>Units across an inner drawing.</summary>
    public const double Across = 1000;

    /// <summary>Opens a chart with a title and a description for those who cannot see it.</summary>
    public static HtmlWriter OpenChart(this HtmlWriter html, string id, string title, string description, double height) => html
        .Open("svg", ("width", "100%"), ("height", Number(height)), ("role", "img"), ("aria-labelledby", $"{id}-t {id}-d"))
        .Element("title", title, ("id", $"{id}-t")).Element("desc", description, ("id", $"{id}-d"));

    /// <summary>Opens a drawing of 1000 x height units, stretched across its chart.</summary>
    public static HtmlWriter OpenStretched(this HtmlWriter html, double height) => html
        .Open("svg", ("width", "100%"), ("height", Number(height)), ("viewBox", $"0 0 {Number(Across)} {Number(height)}"), ("preserveAspectRatio", "none"), ("aria-hidden", "true"));

    /// <summary>A text at a place of a chart.</summary>
    public static HtmlWriter Label(this HtmlWriter html, string text, string x, double y, string anchor = "middle", string style = "") => style.Length == 0
        ? html.Element("text", text, ("x", x), ("y", Number(y)), ("text-anchor", anchor))
        : html.Element("text", text, ("class", style), ("x", x), ("y", Number(y)), ("text-anchor", anchor));

    /// <summary>A share of the width, 0 to 1.</summary>
    public static string Percent(double share) => Number(100 * share) + "%";

    /// <summary>A coordinate: two decimals at most.</summary>
    public static string Number(double value) => Math.Round(value, 2).ToString("0.##", CultureInfo.InvariantCulture);

    /// <summary>An open path through points.</summary>
    public static string Path(IEnumerable<(double X, double Y)> points) =>
        string.Concat(points.Select((p, n) => $"{(n == 0 ? "M" : "L")}{Number(p.X)} {Number(p.Y)}"));
}
