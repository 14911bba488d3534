namespace EquiNorm.Cli.Text;

/// <summary>Text results: titles, facts, tables and sentences, fitted to the width of the output.</summary>
internal abstract class Page
{
    // More rows than this are counted, not shown: --json has all of them.
    private const int MostRows = 25;

    /// <summary>Colours and lines for a terminal, plain text elsewhere: that also spares a pipe the time to load Spectre.Console.</summary>
    public static Page For(Streams streams) => streams.Colors ? new TerminalPage(streams) : new PlainPage(streams);

    /// <summary>A heading.</summary>
    public abstract void Title(string text);

    /// <summary>A sentence of its own; never broken, so that a command in it can be copied.</summary>
    public abstract void Line(string text);

    /// <summary>Names on the left, what is to be said about them on the right.</summary>
    public abstract void Facts(IEnumerable<(string Name, string Value)> facts);

    /// <summary>A table; columns whose heading begins with '&gt;' are numbers.</summary>
    /// <param name="columns">Headings.</param>
    /// <param name="rows">Rows; at most 25 are shown.</param>
    /// <param name="noun">What the rows are, plural, for "… 7 more layers".</param>
    public void Table(IReadOnlyList<string> columns, IReadOnlyList<string[]> rows, string noun)
    {
        Table([.. columns.Select(c => (c.TrimStart('>'), c.StartsWith('>')))], [.. rows.Take(MostRows)]);
        if (rows.Count > MostRows)
        {
            Line($"  … {rows.Count - MostRows} more {noun} (--json lists all)");
        }
    }

    /// <summary>An empty line.</summary>
    public void Gap() => Line("");

    /// <summary>A table with all its rows.</summary>
    protected abstract void Table(IReadOnlyList<(string Heading, bool IsNumber)> columns, IReadOnlyList<string[]> rows);
}
