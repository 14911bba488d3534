namespace EquiNorm.Cli.Report.Html;

/// <summary>
/// Norms of layers before (a ring) and after (a dot) on one logarithmic axis: a line for each layer while there are few, else an overview with
/// the layers side by side, and the lines behind a click.
/// </summary>
internal static class LayerChart
{
    private const int MostLines = 44;
    private const int MostRows = 400;
    private const int MostColumns = 160;
    private const double Height = 260;

    /// <summary>Draws it.</summary>
    public static void Write(HtmlWriter html, IReadOnlyList<LayerNorms> layers, string norm)
    {
        html.Open("ul", ("class", "key"))
            .Open("li").Open("svg", ("width", "12"), ("height", "12"), ("aria-hidden", "true")).Empty("circle", ("class", "ring"), ("cx", "6"), ("cy", "6"), ("r", "4.5")).Close().Text("before").Close()
            .Open("li").Open("svg", ("width", "12"), ("height", "12"), ("aria-hidden", "true")).Empty("circle", ("class", "full"), ("cx", "6"), ("cy", "6"), ("r", "5")).Close().Text("after").Close()
            .Close();
        var axis = new LogAxis(layers.SelectMany(l => new[] { l.Before, l.After }));
        if (layers.Count <= MostLines)
        {
            Rows(html, layers, axis, norm);
            return;
        }

        Overview(html, layers, axis, norm);
        html.Open("details").Element("summary", layers.Count <= MostRows ? $"Show all {layers.Count} layers by name" : $"Show the first {MostRows} of {layers.Count} layers by name");
        Rows(html, [.. layers.Take(MostRows)], axis, norm);
        if (layers.Count > MostRows)
        {
            html.Element("p", $"{layers.Count - MostRows} more layers are not listed; --json lists all.", ("class", "note"));
        }

        html.Close();
    }

    private static void Rows(HtmlWriter html, IReadOnlyList<LayerNorms> layers, LogAxis axis, string norm)
    {
        html.Open("div", ("class", "layers")).Open("table").Open("thead").Open("tr")
            .Element("th", "Layer", ("scope", "col")).Element("th", "Out × in × kernel", ("scope", "col"))
            .Open("th", ("scope", "col"), ("class", "chart")).Open("svg", ("width", "100%"), ("height", "16"), ("aria-label", $"{norm}, logarithmic axis"), ("role", "img"));
        foreach (double tick in axis.Ticks)
        {
            html.Label(Figures.Text(tick), Svg.Percent(axis.Place(tick)), 12);
        }

        html.Close().Close().Element("th", "before", ("scope", "col"), ("class", "n")).Element("th", "after", ("scope", "col"), ("class", "n"))
            .Close().Close().Open("tbody");
        string grid = string.Concat(axis.Ticks.Select(t => $"M{Svg.Number(Svg.Across * axis.Place(t))} 0V23"));
        foreach (var layer in layers)
        {
            html.Open("tr").Open("td", ("class", "name")).Name(layer.Name).Close().Element("td", layer.Shape, ("class", "shape")).Open("td", ("class", "chart"));
            Dumbbell(html, layer, axis, grid);
            html.Close().Element("td", Figures.Aligned(layer.Before), ("class", "n")).Element("td", Figures.Aligned(layer.After), ("class", "n")).Close().Raw("\n");
        }

        html.Close().Close().Close();
    }

    private static void Dumbbell(HtmlWriter html, LayerNorms layer, LogAxis axis, string grid)
    {
        html.Open("svg", ("width", "100%"), ("height", "23"), ("aria-hidden", "true")).OpenStretched(23).Empty("path", ("class", "grid"), ("d", grid)).Close();
        string before = Svg.Percent(axis.Place(layer.Before)), after = Svg.Percent(axis.Place(layer.After));
        html.Empty("line", ("class", layer.After > layer.Before ? "rose" : "fell"), ("x1", before), ("x2", after), ("y1", "11.5"), ("y2", "11.5"));
        if (layer.Before > 0)
        {
            html.Empty("circle", ("class", "ring"), ("cx", before), ("cy", "11.5"), ("r", "4.6"));
        }

        if (layer.After > 0)
        {
            html.Empty("circle", ("class", "full"), ("cx", after), ("cy", "11.5"), ("r", "3.8"));
        }

        html.Close();
    }

    private static void Overview(HtmlWriter html, IReadOnlyList<LayerNorms> layers, LogAxis axis, string norm)
    {
        string description = $"{layers.Count} layers from input to output. Before: {Range(layers.Select(l => l.Before))}. After: {Range(layers.Select(l => l.After))}.";
        html.Open("div", ("class", "plot")).OpenChart("layers", $"{norm} of each layer before and after", description, Height + 22);
        foreach (double tick in axis.Ticks)
        {
            double y = Height * (1 - axis.Place(tick));
            html.Empty("line", ("x1", "0"), ("x2", "100%"), ("y1", Svg.Number(y)), ("y2", Svg.Number(y)), ("class", "grid")).Label(Figures.Text(tick), "-8", y + 4, "end");
        }

        int columns = Math.Min(layers.Count, MostColumns);
        for (int n = 0; n < columns; n++)
        {
            var (from, to) = ((int)((long)n * layers.Count / columns), (int)((long)(n + 1) * layers.Count / columns));
            string x = Svg.Percent((n + 0.5) / columns);
            if (to - from == 1)
            {
                Column(html, layers[from], axis, x);
            }
            else
            {
                var part = layers.Skip(from).Take(to - from).ToList();
                Span(html, part.Select(l => l.Before), axis, Svg.Percent((n + 0.1) / columns), Svg.Percent(0.35 / columns), "was");
                Span(html, part.Select(l => l.After), axis, Svg.Percent((n + 0.5) / columns), Svg.Percent(0.35 / columns), "is");
            }
        }

        html.Label("input", "0%", Height + 18, "start").Label("output", "100%", Height + 18, "end");
        html.Close().Close();
        if (columns < layers.Count)
        {
            html.Element("p", $"Each pair of bars spans the smallest to the largest norm of {layers.Count / columns} to {(layers.Count + columns - 1) / columns} neighbouring layers.", ("class", "note"));
        }
    }

    private static void Column(HtmlWriter html, LayerNorms layer, LogAxis axis, string x)
    {
        string before = Svg.Number(Height * (1 - axis.Place(layer.Before))), after = Svg.Number(Height * (1 - axis.Place(layer.After)));
        html.Empty("line", ("class", layer.After > layer.Before ? "rose" : "fell"), ("x1", x), ("x2", x), ("y1", before), ("y2", after))
            .Empty("circle", ("class", "ring"), ("cx", x), ("cy", before), ("r", "3"))
            .Open("circle", ("class", "full"), ("cx", x), ("cy", after), ("r", "2.2"))
            .Element("title", $"{HtmlWriter.Short(layer.Name)}: {Figures.Text(layer.Before)} → {Figures.Text(layer.After)}").Close();
    }

    private static void Span(HtmlWriter html, IEnumerable<double> norms, LogAxis axis, string x, string width, string style)
    {
        var places = norms.Where(n => n > 0).Select(axis.Place).ToList();
        if (places.Count > 0)
        {
            double top = Height * (1 - places.Max()), height = Math.Max(3, Height * (places.Max() - places.Min()));
            html.Empty("rect", ("class", style), ("x", x), ("width", width), ("y", Svg.Number(top)), ("height", Svg.Number(height)));
        }
    }

    private static string Range(IEnumerable<double> norms)
    {
        var all = norms.Where(double.IsFinite).DefaultIfEmpty(0).ToList();
        return $"{Figures.Text(all.Min())} to {Figures.Text(all.Max())}";
    }
}
