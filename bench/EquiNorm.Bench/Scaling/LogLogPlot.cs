using System.Globalization;
using System.Text;

namespace EquiNorm.Bench.Scaling;

/// <summary>One line of a plot.</summary>
/// <param name="Name">What the legend says.</param>
/// <param name="Points">Positive x and y.</param>
internal sealed record PlotSeries(string Name, IReadOnlyList<(double X, double Y)> Points);

/// <summary>Writes lines over two logarithmic axes as an SVG that reads in light and dark. Colours are those of Okabe and Ito.</summary>
internal static class LogLogPlot
{
    private const double Width = 760, Height = 430, Left = 78, Right = 24, Top = 64, Bottom = 56;

    private static readonly string[] Colors = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];
    private static readonly string[] Marks = ["circle", "square", "diamond", "circle", "square"];

    /// <summary>Writes the file aside and renames it.</summary>
    public static void Write(string path, string title, string xLabel, string yLabel, IReadOnlyList<PlotSeries> series)
    {
        var points = series.SelectMany(s => s.Points).ToArray();
        var x = new Decades(points.Select(p => p.X), Left, Width - Right);
        var y = new Decades(points.Select(p => p.Y), Height - Bottom, Top);
        var svg = new StringBuilder();
        Line(svg, $"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {Width} {Height}" font-family="system-ui, sans-serif" font-size="13" role="img">""");
        Line(svg, $"<title>{Escape(title)}</title>");
        svg.AppendLine("""
            <style>
              svg { background: #fff; color: #222 } text { fill: currentColor } .grid { stroke: currentColor; opacity: .14 } .fine { opacity: .05 }
              @media (prefers-color-scheme: dark) { svg { background: #16181c; color: #ddd } }
            </style>
            """);
        Line(svg, $"""<text x="{Left}" y="22" font-size="15" font-weight="600">{Escape(title)}</text>""");
        foreach (var (value, whole) in x.Ticks())
        {
            Line(svg, $"""<line class="grid{(whole ? "" : " fine")}" x1="{x.At(value):0.#}" x2="{x.At(value):0.#}" y1="{Top}" y2="{Height - Bottom}"/>""");
            if (whole)
            {
                Line(svg, $"""<text x="{x.At(value):0.#}" y="{Height - Bottom + 19}" text-anchor="middle">{Number(value)}</text>""");
            }
        }

        foreach (var (value, whole) in y.Ticks())
        {
            Line(svg, $"""<line class="grid{(whole ? "" : " fine")}" y1="{y.At(value):0.#}" y2="{y.At(value):0.#}" x1="{Left}" x2="{Width - Right}"/>""");
            if (whole)
            {
                Line(svg, $"""<text x="{Left - 8}" y="{y.At(value) + 4.5:0.#}" text-anchor="end">{Number(value)}</text>""");
            }
        }

        Line(svg, $"""<text x="{(Left + Width - Right) / 2}" y="{Height - 12}" text-anchor="middle">{Escape(xLabel)}</text>""");
        Line(svg, $"""<text transform="translate(18 {(Top + Height - Bottom) / 2}) rotate(-90)" text-anchor="middle">{Escape(yLabel)}</text>""");
        var legend = Left;
        for (var n = 0; n < series.Count; n++)
        {
            var color = Colors[n % Colors.Length];
            var at = series[n].Points.OrderBy(p => p.X).Select(p => (X: x.At(p.X), Y: y.At(p.Y))).ToArray();
            Line(svg, $"""<polyline points="{string.Join(' ', at.Select(p => Invariant($"{p.X:0.#},{p.Y:0.#}")))}" fill="none" stroke="{color}" stroke-width="2"/>""");
            foreach (var p in at)
            {
                Mark(svg, n, p.X, p.Y);
            }

            Mark(svg, n, legend + 5, 42);
            Line(svg, $"""<text x="{legend + 16}" y="46.5">{Escape(series[n].Name)}</text>""");
            legend += 34 + 7.2 * series[n].Name.Length;
        }

        svg.AppendLine("</svg>");
        var aside = path + ".tmp";
        File.WriteAllText(aside, svg.ToString().ReplaceLineEndings("\n"));
        File.Move(aside, path, overwrite: true);
    }

    private static void Mark(StringBuilder svg, int series, double x, double y)
    {
        var color = Colors[series % Colors.Length];
        Line(svg, Marks[series % Marks.Length] switch
        {
            "circle" => $"""<circle cx="{x:0.#}" cy="{y:0.#}" r="4" fill="{color}"/>""",
            "square" => (FormattableString)$"""<rect x="{x - 3.6:0.#}" y="{y - 3.6:0.#}" width="7.2" height="7.2" fill="{color}"/>""",
            _ => $"""<path d="M{x:0.#} {y - 5:0.#}l5 5l-5 5l-5 -5z" fill="{color}"/>""",
        });
    }

    private static string Number(double value) => value switch
    {
        >= 1e4 => "1e" + Math.Round(Math.Log10(value)).ToString(CultureInfo.InvariantCulture),
        >= 1e-3 => value.ToString("0.###", CultureInfo.InvariantCulture),
        _ => value.ToString("0e0", CultureInfo.InvariantCulture),
    };

    private static void Line(StringBuilder svg, FormattableString text) => svg.AppendLine(Invariant(text));

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static string Escape(string text) => System.Security.SecurityElement.Escape(text);

    // A logarithmic axis over whole decades.
    private sealed class Decades
    {
        private readonly double _low, _high, _first, _last;

        public Decades(IEnumerable<double> values, double first, double last)
        {
            var logs = values.Select(Math.Log10).ToArray();
            (_low, _high) = (Math.Floor(logs.Min() + 1e-9), Math.Ceiling(logs.Max() - 1e-9));
            _high = Math.Max(_high, _low + 1);
            (_first, _last) = (first, last);
        }

        public double At(double value) => _first + (_last - _first) * (Math.Log10(value) - _low) / (_high - _low);

        public IEnumerable<(double Value, bool Whole)> Ticks()
        {
            for (var decade = _low; decade <= _high; decade++)
            {
                for (var digit = 1; digit <= (decade < _high ? 9 : 1); digit++)
                {
                    yield return (digit * Math.Pow(10, decade), digit == 1);
                }
            }
        }
    }
}
