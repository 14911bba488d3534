using Spectre.Console;

namespace EquiNorm.Cli.Text;

/// <summary>A page on a terminal that understands colours.</summary>
internal sealed class TerminalPage : Page
{
    private readonly IAnsiConsole _console;
    private readonly TextWriter _out;

    /// <summary>Writes to standard output.</summary>
    public TerminalPage(Streams streams)
    {
        _out = streams.Out;
        _console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(streams.Out),
            Ansi = AnsiSupport.Yes,
            ColorSystem = ColorSystemSupport.Standard,
            Interactive = InteractionSupport.No,
        });
        _console.Profile.Width = streams.Width;
    }

    /// <inheritdoc/>
    public override void Title(string text) => _console.Write(new Markup($"[bold]{Markup.Escape(text)}[/]\n"));

    /// <inheritdoc/>
    public override void Line(string text) => _out.WriteLine(text);

    /// <inheritdoc/>
    public override void Facts(IEnumerable<(string Name, string Value)> facts)
    {
        var grid = new Grid().AddColumn(new GridColumn().NoWrap().PadLeft(2).PadRight(3)).AddColumn(new GridColumn().PadRight(0));
        foreach (var (name, value) in facts)
        {
            grid.AddRow($"[green]{Markup.Escape(name)}[/]", Markup.Escape(value));
        }

        _console.Write(grid);
    }

    /// <inheritdoc/>
    protected override void Table(IReadOnlyList<(string Heading, bool IsNumber)> columns, IReadOnlyList<string[]> rows)
    {
        var table = new Table { Border = TableBorder.Simple, UseSafeBorder = true };
        foreach (var (heading, isNumber) in columns)
        {
            var column = new TableColumn($"[bold]{Markup.Escape(heading)}[/]") { NoWrap = isNumber };
            table.AddColumn(isNumber ? column.RightAligned() : column);
        }

        foreach (string[] row in rows)
        {
            table.AddRow([.. row.Select(Markup.Escape)]);
        }

        _console.Write(table);
    }
}
