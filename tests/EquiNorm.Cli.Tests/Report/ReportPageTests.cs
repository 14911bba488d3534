// The page of `rescale --report`: what a parser, a hostile model, a screen reader and a machine with other customs make of it.
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using EquiNorm.Cli.Commands;
using EquiNorm.Cli.Models;
using EquiNorm.Cli.Report;
using EquiNorm.Cli.Report.Html;
using EquiNorm.Onnx;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;
using EquiNorm.Testing.Onnx;
using NUnit.Framework;

namespace EquiNorm.Cli.Tests.Report;

[TestFixture]
internal sealed class ReportPageTests
{
    private static readonly string[] Options = ["", "--exact", "--norm 1", "--penalty depth:1.5", "--batch-norm scale", "--order sequential --tolerance 1e-12", "--freeze conv2", "--max-sweeps 1", "--int8", "--int8 --absorb-bias"];

    [TestCaseSource(nameof(Options))]
    public void It_shows_every_number_of_the_json_object(string options)
    {
        using var directory = new TemporaryDirectory();
        var (run, page) = Rescale(directory, new ResidualModel().Save(directory["in.onnx"]), options.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        var shown = page.Root.Descendants("td").SelectMany(t => t.Value.Split(" × ")).ToHashSet();
        Assert.That(Numbers(run.Json).Except(shown).Where(n => !page.Words.Contains($":{n}", StringComparison.Ordinal) && !page.Words.Contains($": {n}", StringComparison.Ordinal)), Is.Empty, "in cells of their own, or in lists within lists");
        Assert.That(Numbers(run.Json).Count(), Is.GreaterThan(30));
        bool absorbed = run.Json.TryGetProperty("absorbed", out var a) && a.ValueKind == JsonValueKind.Object && a.GetProperty("channels").GetInt32() > 0;
        Assert.That(page.Words.Contains("Function verified", StringComparison.Ordinal), Is.Not.EqualTo(absorbed));
    }

    [Test]
    public void It_loads_nothing_and_runs_nothing()
    {
        using var directory = new TemporaryDirectory();
        var (_, page) = Rescale(directory, new ResidualModel().Save(directory["in.onnx"]));
        string[] forbidden = ["http:", "https:", "url(", "@import", "src=", "href", "//cdn", "javascript", "<script", "<link", "<img", "<iframe", "<object", "onload", "onclick"];
        Assert.Multiple(() =>
        {
            Assert.That(forbidden.Where(f => page.Text.Contains(f, StringComparison.OrdinalIgnoreCase)), Is.Empty);
            Assert.That(page.Root.Descendants().Attributes().Where(a => a.Name.LocalName.StartsWith("on", StringComparison.OrdinalIgnoreCase)), Is.Empty);
            Assert.That(page.Root.Descendants("meta").Select(m => (string?)m.Attribute("content")), Has.Some.StartsWith("default-src 'none'"));
            Assert.That(page.Text, Does.StartWith("<!DOCTYPE html>\n<html lang=\"en\">"));
        });
    }

    // HTML knows no "<div/>": an element that is not void must have an end tag.
    [Test]
    public void Only_void_elements_close_themselves()
    {
        using var directory = new TemporaryDirectory();
        var (_, page) = Rescale(directory, new ResidualModel().Save(directory["in.onnx"]));
        var closed = Regex.Matches(page.Text, @"<(?<tag>[a-z0-9]+)[^<>]*/>").Select(m => m.Groups["tag"].Value).Distinct();
        Assert.That(closed, Is.SubsetOf(["meta", "wbr", "circle", "line", "path", "rect"]));
    }

    [Test]
    public void A_hostile_model_becomes_text()
    {
        const string Evil = "</svg></style><script>alert('x')</script>", Quote = "\"><img src=x onerror=alert(1)>", Odd = "a&amp;b\u0001\u202Eevil\uD800 ]]> <!-- ";
        using var directory = new TemporaryDirectory();
        var model = new OnnxModelWriter().Input(Evil + "in", -1, 2).Output(Quote + "out", -1, 2);
        model.Floats(Evil, [2, 2], [1, 2, 3, 4]).Floats(Quote, [2, 2], [5, 0, 7, 0]).Floats(Odd, [2, 2], [9, 8, 0, 0]);
        model.Node("MatMul", [Evil + "in", Evil], [Quote + "g"]).Node("Relu", [Quote + "g"], [Odd + "r"]).Node("MatMul", [Odd + "r", Quote], [Evil + "h"]);
        model.Node("Relu", [Evil + "h"], [Evil + "s"]).Node("MatMul", [Evil + "s", Odd], [Quote + "out"]);
        var (run, page) = Rescale(directory, model.Save(directory["<b>&in'\".onnx"]));
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero, run.Out + run.Error);
            Assert.That(page.Tags, Has.None.AnyOf("script", "img"));
            Assert.That(page.Text, Does.Not.Contain("<script").And.Not.Contain("<img").And.Not.Contain('\u0001').And.Not.Contain('\u202E').And.Not.Contain("<!--"));
            Assert.That(page.Words, Does.Contain(Evil).And.Contain(Quote), "names are shown as they are");
            Assert.That(page.Text.Count(c => c == '\uFFFD'), Is.Positive, "what cannot be shown is marked");
            Assert.That(page.Root.Descendants("section").Count(), Is.EqualTo(7));
        });
    }

    [Test]
    public void Every_drawing_and_table_speaks()
    {
        using var directory = new TemporaryDirectory();
        var (_, page) = Rescale(directory, new ResidualModel().Save(directory["in.onnx"]));
        var ids = page.Root.Descendants().Attributes("id").Select(a => a.Value).ToList();
        var silent = page.Root.Descendants("svg").Where(s => !s.AncestorsAndSelf("svg").Any(a =>
            (string?)a.Attribute("aria-hidden") == "true"
            || ((string?)a.Attribute("role") == "img" && (a.Attribute("aria-label") is not null || ((string?)a.Attribute("aria-labelledby"))?.Split(' ').All(ids.Contains) == true))));
        Assert.Multiple(() =>
        {
            Assert.That(silent, Is.Empty);
            Assert.That(ids, Is.Unique);
            Assert.That(page.Root.Descendants("svg").Elements("title").Count(), Is.GreaterThanOrEqualTo(3));
            Assert.That(page.Root.Descendants("table").Where(t => !t.Elements("thead").Elements("tr").Elements("th").Any(h => (string?)h.Attribute("scope") == "col")), Is.Empty);
            Assert.That(page.Root.Descendants("table").Where(t => t.Elements("tbody").Elements("tr").Any(r => r.Elements("td").Count() != t.Descendants("th").Count())), Is.Empty);
            Assert.That(page.Root.Descendants("h1").Count(), Is.EqualTo(1));
        });
    }

    // WCAG: 4.5 to 1 for text. Both themes, on cards and on the page.
    [TestCase("light")]
    [TestCase("dark")]
    public void Text_can_be_read(string theme)
    {
        using var stream = typeof(ReportPage).Assembly.GetManifestResourceStream("report.css")!;
        string css = new StreamReader(stream).ReadToEnd();
        var blocks = css.Split(":root {").Skip(1).Select(b => b[..b.IndexOf('}', StringComparison.Ordinal)]).ToList();
        var colours = Regex.Matches(blocks[theme == "light" ? 0 : 1], @"--(?<name>[a-z-]+): (?<value>#[0-9a-f]{6})").ToDictionary(m => m.Groups["name"].Value, m => m.Groups["value"].Value);
        (string Ink, string Paper)[] pairs =
        [
            ("ink", "card"), ("ink", "page"), ("soft", "card"), ("soft", "page"), ("faint", "card"), ("faint", "page"), ("after", "card"), ("before", "card"),
            ("good", "card"), ("good", "page"), ("good", "good-soft"), ("warn", "warn-soft"), ("warn", "page"),
        ];
        Assert.That(css, Does.Not.Contain("<").And.Not.Contain("&"), "the style sheet is written as it is");
        Assert.That(pairs.Select(p => (p, Contrast(colours[p.Ink], colours[p.Paper]))).Where(c => c.Item2 < 4.5), Is.Empty);
    }

    [Test]
    public void Customs_of_a_machine_change_no_number()
    {
        using var directory = new TemporaryDirectory();
        var data = Data(new ResidualModel().Save(directory["in.onnx"]));
        byte[] invariant = ReportPage.Render(data);
        var custom = (CultureInfo)CultureInfo.InvariantCulture.Clone();
        (custom.NumberFormat.NumberDecimalSeparator, custom.NumberFormat.NumberGroupSeparator, custom.NumberFormat.NegativeSign) = (",", ".", "~");
        var own = CultureInfo.CurrentCulture;
        try
        {
            CultureInfo.CurrentCulture = custom;
            Assert.That(Encoding.UTF8.GetString(ReportPage.Render(data)), Is.EqualTo(Encoding.UTF8.GetString(invariant)));
        }
        finally
        {
            CultureInfo.CurrentCulture = own;
        }
    }

    // Ten thousand groups with long names, some channels dead, every third layer behind an operator of its own that pins it.
    [Test]
    public void Its_size_is_bounded()
    {
        using var directory = new TemporaryDirectory();
        string Name(int n) => $"{new string('x', 100)}/{n}";
        var model = new OnnxModelWriter().Input("v0", -1, 2).Output("v10000", -1, 2);
        for (int n = 0; n < 10_000; n++)
        {
            float[] values = DenseModel.Values(n, 4);
            (values[0], values[2]) = n % 4 == 0 ? (0, 0) : (values[0], values[2]);
            string next = n == 9999 ? "v10000" : Name(n);
            model.Floats($"w{Name(n)}", [2, 2], values).Node("MatMul", [n == 0 ? "v0" : $"r{Name(n - 1)}", $"w{Name(n)}"], [next]);
            if (n < 9999)
            {
                model.Node(n % 3 == 0 ? "Sigmoid" : "Relu", [next], [$"r{next}"]);
            }
        }

        var (run, page) = Rescale(directory, model.Save(directory["in.onnx"]));
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero, run.Error);
            Assert.That(run.Json.GetProperty("groups").GetInt32(), Is.GreaterThan(6000));
            Assert.That(page.Text, Has.Length.LessThan(1_000_000));
            Assert.That(page.Words, Does.Contain("--json lists all").And.Contain("more groups, those that were closest to balance"));
        });
    }

    [TestCase(12326.9, 5, "12\u202F327")]
    [TestCase(8039.9544, 5, "8040")]
    [TestCase(0.03125, 5, "0.03125")]
    [TestCase(4.41e7, 3, "4.41 × 10⁷")]
    [TestCase(-1e-12, 3, "-1 × 10⁻¹²")]
    [TestCase(1e-8, 2, "10⁻⁸")]
    [TestCase(0, 5, "0")]
    [TestCase(double.PositiveInfinity, 5, "∞")]
    [TestCase(double.NaN, 5, "not a number")]
    public void Numbers_are_written(double value, int digits, string text) => Assert.That(Figures.Text(value, digits), Is.EqualTo(text));

    [TestCase(1, 1000)]
    [TestCase(0.9, 1.1)]
    [TestCase(3, 3)]
    [TestCase(1e-300, 1e300)]
    [TestCase(4.9e-324, 5e-324)]
    [TestCase(2, 47)]
    public void An_axis_holds_its_values(double low, double high)
    {
        var axis = new LogAxis([low, high, double.NaN, 0, -1, double.PositiveInfinity]);
        Assert.Multiple(() =>
        {
            Assert.That(axis.Ticks, Has.Count.InRange(2, 9).And.Ordered.Ascending);
            Assert.That(axis.Place(low), Is.InRange(0, axis.Place(high)));
            Assert.That(axis.Place(high), Is.InRange(axis.Place(low), 1));
            Assert.That(axis.Place(0), Is.Zero);
        });
    }

    [TestCase("Clip '/a/Clip': it clips to [0, 6]", "Clip", "it clips to [0, 6]")]
    [TestCase("network input 'x': y", null, "network input 'x': y")]
    [TestCase("frozen by request (w0)", null, "frozen by request (w0)")]
    public void Reasons_of_one_kind_are_one(string reason, string? op, string why) => Assert.That(PinnedCause.Split(reason), Is.EqualTo((op, why)));

    [Test]
    public void Long_names_are_cut_between_characters()
    {
        string name = string.Concat(Enumerable.Repeat("\U0001F600", 500));
        string cut = HtmlWriter.Short(name);
        Assert.That(cut, Has.Length.InRange(100, 160));
        Assert.That(cut.EnumerateRunes().All(r => r.Value is 0x1F600 or '…'), Is.True);
    }

    /// <summary>The numbers of a report on a model, solved at once.</summary>
    internal static ReportData Data(string path, double norm = 2)
    {
        using var model = OnnxModel.Open(path);
        using var onnx = model.Analyze();
        var result = RescalingSolver.Solve(new RescalingProblem(onnx.Network) { Norm = norm }, onnx.Tensors);
        var surveys = NetworkSurvey.Take(onnx.Tensors, norm, 1, Scalings.Identity(onnx.Network), result.Scalings!);
        var solve = new SolveRequest(new ModelPlace(path, null, null))
        {
            Options = RescalingOptions.Default,
            Penalty = new PenaltyChoice("none", WeightPenalty.Uniform),
            Model = new OnnxOptions(),
        };
        var request = new RescaleRequest(solve, null, norm) { Mode = WriteMode.DryRun };
        var outcome = new RescaleOutcome(request, onnx.Network, result, surveys[0], surveys[1], onnx.FoldedNormalizations);
        return ReportBuilder.Build(outcome, new RunFacts("equinorm", "0", DateTimeOffset.UnixEpoch, [], []), new Verification.Skipped("skipped"), TimeSpan.Zero);
    }

    private static (ToolRun Run, ReportHtml Page) Rescale(TemporaryDirectory directory, string model, params string[] options)
    {
        string report = directory["report.html"];
        var run = Tool.Run(["rescale", model, "-o", directory["out.onnx"], "--report", report, "--json", .. options]);
        Assert.That(File.Exists(report), Is.True, run.Error + run.Out);
        return (run, ReportHtml.Load(report));
    }

    private static IEnumerable<string> Numbers(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object => element.EnumerateObject().SelectMany(p => Numbers(p.Value)),
        JsonValueKind.Array => element.EnumerateArray().SelectMany(Numbers),
        JsonValueKind.Number => [element.GetRawText()],
        _ => [],
    };

    private static double Contrast(string a, string b)
    {
        var (light, dark) = (Math.Max(Luminance(a), Luminance(b)), Math.Min(Luminance(a), Luminance(b)));
        return (light + 0.05) / (dark + 0.05);
    }

    private static double Luminance(string colour)
    {
        double Channel(int at)
        {
            double c = int.Parse(colour.AsSpan(at, 2), NumberStyles.HexNumber, CultureInfo.InvariantCulture) / 255.0;
            return c <= 0.03928 ? c / 12.92 : Math.Pow((c + 0.055) / 1.055, 2.4);
        }

        return 0.2126 * Channel(1) + 0.7152 * Channel(3) + 0.0722 * Channel(5);
    }
}
