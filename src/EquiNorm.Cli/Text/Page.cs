using EquiNorm.Model;
using Spectre.Console;

namespace EquiNorm.Cli.Text;

/// <summary>Text results: facts, tables and sentences, fitted to the width of the output, without colours where there is no terminal.</summary>
internal sealed class Page
{
    // More rows than this are counted, not shown: --json has all of them.
    private const int MostRows = 25;

    private readonly IAnsiConsole _console;

    /// <summary>Writes to standard output.</summary>
    public Page(Streams streams)
    {
        _console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(streams.Out),
            Ansi = streams.Colors ? AnsiSupport.Yes : AnsiSupport.No,
            ColorSystem = streams.Colors ? ColorSystemSupport.Standard : ColorSystemSupport.NoColors,
            Interactive = InteractionSupport.No,
        });
        _console.Profile.Width = streams.Width;
    }

    /// <summary>A heading.</summary>
    public void Title(string text) => _console.Write(new Markup($"[bold]{Markup.Escape(text)}[/]\n"));

    /// <summary>A sentence of its own.</summary>
    public void Line(string text) => _console.Write(new Markup(Markup.Escape(text) + "\n"));

    /// <summary>Names on the left, what is to be said about them on the right.</summary>
    public void Facts(IEnumerable<(string Name, string Value)> facts)
    {
        var grid = new Grid().AddColumn(new GridColumn().NoWrap().PadLeft(2).PadRight(3)).AddColumn(new GridColumn().PadRight(0));
        foreach (var (name, value) in facts)
        {
            grid.AddRow(Markup.Escape(name), Markup.Escape(value));
        }

        _console.Write(grid);
    }

    /// <summary>A table; columns that begin with '&gt;' are numbers.</summary>
    /// <param name="columns">Headings.</param>
    /// <param name="rows">Rows; at most 25 are shown.</param>
    /// <param name="noun">What the rows are, plural, for "… 7 more layers".</param>
    public void Table(IReadOnlyList<string> columns, IReadOnlyList<string[]> rows, string noun)
    {
        var table = new Table { Border = TableBorder.Simple, UseSafeBorder = true };
        foreach (string column in columns)
        {
            bool number = column.StartsWith('>');
            var heading = new TableColumn($"[bold]{Markup.Escape(column.TrimStart('>'))}[/]") { NoWrap = number };
            table.AddColumn(number ? heading.RightAligned() : heading);
        }

        foreach (string[] row in rows.Take(MostRows))
        {
            table.AddRow([.. row.Select(Markup.Escape)]);
        }

        _console.Write(table);
        if (rows.Count > MostRows)
        {
            Line($"  … {rows.Count - MostRows} more {noun} (--json lists all)");
        }
    }

    /// <summary>An empty line.</summary>
    public void Gap() => _console.WriteLine();
}

/// <summary>Numbers and names for people.</summary>
internal static class Say
{
    /// <summary>Five significant digits: 12.326, 8040, 4.41e+07.</summary>
    public static string Number(double value) => FormattableString.Invariant($"{value:G5}").Replace("E+", "e", StringComparison.Ordinal).Replace("E-", "e-", StringComparison.Ordinal);

    /// <summary>"64 x 3 x 49" for outputs, inputs per output, kernel positions; the last only where there are several.</summary>
    public static string Shape(WeightLayout layout) => layout.Kernel == 1
        ? $"{layout.Outputs} x {layout.InputsPerGroup}" : $"{layout.Outputs} x {layout.InputsPerGroup} x {layout.Kernel}";

    /// <summary>"1 channel", "7 channels".</summary>
    public static string Count(long count, string noun) => FormattableString.Invariant($"{count} {noun}{(count == 1 ? "" : "s")}");

    /// <summary>The first few of a list, then how many more there are.</summary>
    public static string Some(IReadOnlyList<string> items, int most = 4) =>
        string.Join(", ", items.Take(most)) + (items.Count > most ? $", … {items.Count - most} more" : "");

    /// <summary>"0.31 s", "12 ms".</summary>
    public static string Time(TimeSpan time) => time.TotalSeconds >= 1
        ? FormattableString.Invariant($"{time.TotalSeconds:0.0#} s") : FormattableString.Invariant($"{time.TotalMilliseconds:0} ms");
}
