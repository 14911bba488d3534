using System.Text;

namespace EquiNorm.Cli.Text;

/// <summary>A page without colours or drawn lines, for pipes and files.</summary>
internal sealed class PlainPage(Streams streams) : Page
{
    private const string Margin = "  ";

    /// <inheritdoc/>
    public override void Title(string text) => streams.Out.WriteLine(text);

    /// <inheritdoc/>
    public override void Line(string text) => streams.Out.WriteLine(text);

    /// <inheritdoc/>
    public override void Facts(IEnumerable<(string Name, string Value)> facts)
    {
        var all = facts.ToList();
        int left = Margin.Length + all.Select(f => f.Name.Length).DefaultIfEmpty(0).Max() + 3;
        foreach (var (name, value) in all)
        {
            string start = (Margin + name).PadRight(left);
            foreach (string line in Wrap(value, streams.Width - left))
            {
                streams.Out.WriteLine(start + line);
                start = new string(' ', left);
            }
        }
    }

    /// <inheritdoc/>
    protected override void Table(IReadOnlyList<(string Heading, bool IsNumber)> columns, IReadOnlyList<string[]> rows)
    {
        int[] widths = [.. columns.Select((c, n) => rows.Select(r => r[n].Length).Append(c.Heading.Length).Max())];
        Shrink(widths, columns, streams.Width - 2 * Margin.Length * columns.Count);
        streams.Out.WriteLine();
        Row([.. columns.Select(c => c.Heading)], columns, widths);
        streams.Out.WriteLine(Margin + new string('-', widths.Sum() + 2 * (widths.Length - 1) * Margin.Length / 2));
        foreach (string[] row in rows)
        {
            Row(row, columns, widths);
        }
    }

    // Numbers keep their width; the widest text gives way.
    private static void Shrink(int[] widths, IReadOnlyList<(string Heading, bool IsNumber)> columns, int room)
    {
        while (widths.Sum() > room)
        {
            int widest = Enumerable.Range(0, widths.Length).Where(n => !columns[n].IsNumber).DefaultIfEmpty(0).MaxBy(n => widths[n]);
            if (widths[widest] <= 8)
            {
                return;
            }

            widths[widest]--;
        }
    }

    private void Row(IReadOnlyList<string> cells, IReadOnlyList<(string Heading, bool IsNumber)> columns, int[] widths)
    {
        var line = new StringBuilder();
        for (int n = 0; n < widths.Length; n++)
        {
            // The end of a name says more than its middle.
            string cell = cells[n].Length <= widths[n] ? cells[n] : $"{cells[n][..(widths[n] / 2)]}…{cells[n][^(widths[n] - widths[n] / 2 - 1)..]}";
            line.Append(Margin).Append(columns[n].IsNumber ? cell.PadLeft(widths[n]) : cell.PadRight(widths[n]));
        }

        streams.Out.WriteLine(line.ToString().TrimEnd());
    }

    /// <summary>A text in lines of at most a width; words are kept whole.</summary>
    public static IEnumerable<string> Wrap(string text, int width)
    {
        while (text.Length > width)
        {
            int at = text.LastIndexOf(' ', width);
            if (at <= 0)
            {
                break; // one long word: a path, better whole than broken
            }

            yield return text[..at];
            text = text[(at + 1)..];
        }

        yield return text;
    }
}
