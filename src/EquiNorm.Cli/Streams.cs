namespace EquiNorm.Cli;

/// <summary>Where a command writes: results to <paramref name="Out"/>, diagnostics and progress to <paramref name="Error"/>.</summary>
/// <param name="Out">Standard output.</param>
/// <param name="Error">Standard error.</param>
internal sealed record Streams(TextWriter Out, TextWriter Error)
{
    private const int WidthOfPipes = 100;

    /// <summary>Columns that results may use.</summary>
    public int Width { get; init; } = WidthOfPipes;

    /// <summary>Whether results go to a terminal that understands colours.</summary>
    public bool Colors { get; init; }

    /// <summary>Whether somebody watches standard error; else there is no progress.</summary>
    public bool Watched { get; init; }

    /// <summary>The streams of the process. COLUMNS sets the width where there is no terminal to ask.</summary>
    public static Streams OfConsole()
    {
        bool terminal = !Console.IsOutputRedirected;
        int width = terminal && Console.WindowWidth > 0 ? Console.WindowWidth
            : int.TryParse(Environment.GetEnvironmentVariable("COLUMNS"), out int columns) ? columns : WidthOfPipes;
        return new Streams(Console.Out, Console.Error)
        {
            Width = Math.Clamp(width, 60, 200),
            Colors = terminal && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR")) && Environment.GetEnvironmentVariable("TERM") != "dumb",
            Watched = !Console.IsErrorRedirected,
        };
    }
}
