using System.Globalization;
using System.Text;

namespace EquiNorm.Samples.Training;

/// <summary>Writes curves of the loss as an SVG that reads in light and dark.</summary>
internal static class LossPlot
{
    private const double Width = 760, Height = 420, Left = 70, Right = 20, Top = 50, Bottom = 50;

    /// <summary>Writes the file aside and renames it.</summary>
    public static void Write(string path, string title, IReadOnlyList<(string Name, string Color, double[] Losses)> curves)
    {
        var smallest = curves.SelectMany(c => c.Losses).Where(double.IsFinite).Min();
        var largest = curves.SelectMany(c => c.Losses).Where(double.IsFinite).Max();
        var (low, high) = (Math.Floor(Math.Log10(Math.Max(smallest, 1e-6))), Math.Ceiling(Math.Log10(largest)));
        var steps = curves.Max(c => c.Losses.Length);
        var svg = new StringBuilder();
        svg.AppendLine(Invariant($"""
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {Width} {Height}" font-family="sans-serif" font-size="13">
            <style>
              svg {"{"} background: #fff; color: #222 {"}"} text {"{"} fill: currentColor {"}"} .grid {"{"} stroke: currentColor; opacity: .15 {"}"}
              @media (prefers-color-scheme: dark) {"{"} svg {"{"} background: #16181c; color: #ddd {"}"} {"}"}
            </style>
            <text x="{Left}" y="24" font-size="15" font-weight="bold">{title}</text>
            """));
        for (var decade = low; decade <= high; decade++)
        {
            var y = Y(Math.Pow(10, decade));
            svg.AppendLine(Invariant($"""<line class="grid" x1="{Left}" x2="{Width - Right}" y1="{y:0.#}" y2="{y:0.#}"/>"""));
            svg.AppendLine(Invariant($"""<text x="{Left - 8}" y="{y + 4:0.#}" text-anchor="end">{Math.Pow(10, decade):0.######}</text>"""));
        }

        for (var quarter = 0; quarter <= 4; quarter++)
        {
            svg.AppendLine(Invariant(
                $"""<text x="{X(quarter * (steps - 1) / 4):0.#}" y="{Height - 26}" text-anchor="middle">{quarter * steps / 4}</text>"""));
        }

        svg.AppendLine(Invariant($"""<text x="{(Left + Width - Right) / 2}" y="{Height - 8}" text-anchor="middle">step</text>"""));
        svg.AppendLine(Invariant($"""<text x="16" y="{Height / 2}" transform="rotate(-90 16 {Height / 2})" text-anchor="middle">training loss</text>"""));
        for (var n = 0; n < curves.Count; n++)
        {
            var (name, color, losses) = curves[n];
            var points = string.Join(' ', losses.Index().Where(l => double.IsFinite(l.Item)).Select(l => Invariant($"{X(l.Index):0.#},{Y(l.Item):0.#}")));
            svg.AppendLine(Invariant($"""<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>"""));
            svg.AppendLine(Invariant($"""<line x1="{Width - 220}" x2="{Width - 190}" y1="{Top + 10 + 20 * n}" y2="{Top + 10 + 20 * n}" stroke="{color}" stroke-width="3"/>"""));
            svg.AppendLine(Invariant($"""<text x="{Width - 182}" y="{Top + 14 + 20 * n}">{name}</text>"""));
        }

        svg.AppendLine("</svg>");
        var aside = path + ".tmp";
        File.WriteAllText(aside, svg.ToString());
        File.Move(aside, path, overwrite: true);

        double X(double step) => Left + (Width - Left - Right) * step / Math.Max(1, steps - 1);

        double Y(double loss) => Top + (Height - Top - Bottom) * (high - Math.Log10(Math.Max(loss, 1e-6))) / Math.Max(1, high - low);
    }

    /// <summary>Means over windows, so that a curve can be read.</summary>
    public static double[] Smooth(double[] losses, int window) =>
        [.. losses.Select((_, n) => losses[Math.Max(0, n - window + 1)..(n + 1)].Average())];

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
