namespace EquiNorm.Cli.Report.Html;

/// <summary>The way down over sweeps, on a logarithmic scale: how far above the optimum at most (a filled dot per check), and the largest imbalance.</summary>
internal static class ConvergenceChart
{
    private const double Height = 250;
    private const int MostDots = 60;
    private const double LowestDrawn = 1e-16;

    /// <summary>Draws it.</summary>
    public static void Write(HtmlWriter html, Convergence data)
    {
        var excess = data.Points.Where(p => double.IsFinite(p.Excess)).Select(p => (p.Sweeps, Value: Math.Max(p.Excess, LowestDrawn))).ToList();
        var residual = data.Points.Where(p => p.Residual is { } r && double.IsFinite(r)).Select(p => (p.Sweeps, Value: Math.Max(p.Residual!.Value, LowestDrawn))).ToList();
        double sweeps = Math.Max(data.Points[^1].Sweeps, 0.1);
        var axis = new LogAxis([.. excess.Select(p => p.Value), .. residual.Select(p => p.Value), data.Tolerance]);
        Key(html, data);
        html.Open("div", ("class", "plot")).OpenChart("convergence", "Convergence", Description(data), Height + 40);
        foreach (double tick in axis.Ticks)
        {
            double y = Height * (1 - axis.Place(tick));
            html.Empty("line", ("x1", "0"), ("x2", "100%"), ("y1", Svg.Number(y)), ("y2", Svg.Number(y)), ("class", "grid"))
                .Label(Figures.Text(tick), "-8", y + 4, "end");
        }

        foreach (double tick in SweepTicks(sweeps))
        {
            html.Label(Svg.Number(tick), Svg.Percent(tick / sweeps), Height + 18);
        }

        html.Label("sweeps", "100%", Height + 36, "end", "small");
        double goal = Height * (1 - axis.Place(data.Tolerance));
        html.Empty("line", ("x1", "0"), ("x2", "100%"), ("y1", Svg.Number(goal)), ("y2", Svg.Number(goal)), ("class", "asked"))
            .Label($"asked for: {Figures.Text(data.Tolerance)}", "4", goal - 6, "start", "goal");
        html.OpenStretched(Height)
            .Empty("path", ("class", "line imbalance"), ("d", Svg.Path(residual.Select(p => (Svg.Across * p.Sweeps / sweeps, Height * (1 - axis.Place(p.Value)))))))
            .Empty("path", ("class", "line gap"), ("d", Svg.Path(excess.Select(p => (Svg.Across * p.Sweeps / sweeps, Height * (1 - axis.Place(p.Value)))))))
            .Close();
        Dots(html, excess, residual, sweeps, axis);
        html.Close().Close();
        Table(html, data);
    }

    private static void Dots(HtmlWriter html, List<(double Sweeps, double Value)> excess, List<(double Sweeps, double Value)> residual, double sweeps, LogAxis axis)
    {
        if (excess.Count + residual.Count <= 2 * MostDots)
        {
            foreach (var (at, value) in residual)
            {
                html.Empty("circle", ("class", "square"), ("cx", Svg.Percent(at / sweeps)), ("cy", Svg.Number(Height * (1 - axis.Place(value)))), ("r", "3.2"));
            }

            foreach (var (at, value) in excess)
            {
                html.Empty("circle", ("class", "dot"), ("cx", Svg.Percent(at / sweeps)), ("cy", Svg.Number(Height * (1 - axis.Place(value)))), ("r", "4"));
            }
        }

        if (excess.Count > 0)
        {
            double y = Height * (1 - axis.Place(excess[^1].Value));
            html.Label(Figures.Text(excess[^1].Value, 2), Svg.Percent(excess[^1].Sweeps / sweeps), y + 18 < Height ? y + 18 : y - 11, "end", "last");
        }
    }

    private static void Key(HtmlWriter html, Convergence data) => html.Open("ul", ("class", "key"))
        .Open("li").Open("svg", ("width", "26"), ("height", "10"), ("aria-hidden", "true")).Empty("path", ("class", "line gap"), ("d", "M1 5H25")).Empty("circle", ("class", "dot"), ("cx", "13"), ("cy", "5"), ("r", "4")).Close()
        .Text(data.IsCertified ? "objective above the optimum, at most (relative, certified)" : "objective above its last value (relative; no certificate)").Close()
        .Open("li").Open("svg", ("width", "26"), ("height", "10"), ("aria-hidden", "true")).Empty("path", ("class", "line imbalance"), ("d", "M1 5H25")).Empty("circle", ("class", "square"), ("cx", "13"), ("cy", "5"), ("r", "3.2")).Close()
        .Text("largest imbalance |log(norm in / norm out)| just before its channel is updated; the last one at the end").Close().Close();

    private static void Table(HtmlWriter html, Convergence data)
    {
        html.Open("details").Element("summary", "Show these points as a table").Open("div", ("class", "scroll")).Open("table")
            .Open("thead").Open("tr").Element("th", "Sweeps", ("scope", "col"), ("class", "n")).Element("th", "Objective", ("scope", "col"), ("class", "n"))
            .Element("th", data.IsCertified ? "Above the optimum, at most" : "Above its last value", ("scope", "col"), ("class", "n"))
            .Element("th", "Largest imbalance", ("scope", "col"), ("class", "n")).Close().Close().Open("tbody");
        foreach (var point in data.Points)
        {
            html.Open("tr").Element("td", Figures.Fixed(point.Sweeps, 2), ("class", "n")).Element("td", Figures.Text(point.Objective, 10), ("class", "n"))
                .Element("td", double.IsFinite(point.Excess) ? Figures.Text(point.Excess, 3) : "–", ("class", "n"))
                .Element("td", point.Residual is { } r ? Figures.Text(r, 3) : "–", ("class", "n")).Close();
        }

        html.Close().Close().Close();
        if (data.Checks > data.Points.Count)
        {
            html.Element("p", $"{data.Points.Count} of {data.Checks} points, evenly spread.", ("class", "note"));
        }

        html.Close();
    }

    private static string Description(Convergence data)
    {
        var (first, last) = (data.Points[0], data.Points[^1]);
        return $"After {Figures.Fixed(last.Sweeps, 1)} sweeps the objective went from {Figures.Text(first.Objective)} to {Figures.Text(last.Objective)}"
            + (data.IsCertified ? $", at most {Figures.Text(last.Excess, 2)} above the optimum." : ".");
    }

    private static IEnumerable<double> SweepTicks(double sweeps)
    {
        double[] steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000, 100_000];
        double step = steps.FirstOrDefault(s => sweeps / s <= 7, steps[^1]);
        for (int n = 0; n * step <= sweeps && n <= 20; n++)
        {
            yield return n * step;
        }
    }
}
