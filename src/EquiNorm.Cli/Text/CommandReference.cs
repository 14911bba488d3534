using System.CommandLine;
using System.CommandLine.Help;
using System.Text;

namespace EquiNorm.Cli.Text;

/// <summary>
/// What --help prints and what docs/cli.md holds, both from the parser itself. The hidden command `reference` prints the document:
/// <code>dotnet run -c Release --project src/EquiNorm.Cli -- reference > docs/cli.md</code>
/// The library's own help would print defaults as .NET objects and the assembly's name for the command's.
/// </summary>
internal static class CommandReference
{
    private const string Tool = "equinorm";
    private const string HiddenName = "reference";
    private const int WidestLeft = 34;

    /// <summary>The hidden command that prints docs/cli.md.</summary>
    public static Command Command(RootCommand root, Streams streams)
    {
        var command = new Command(HiddenName, "Prints docs/cli.md.") { Hidden = true };
        command.SetAction(_ => streams.Out.Write(Markdown(root)));
        return command;
    }

    /// <summary>Whether help was asked for.</summary>
    public static bool IsHelp(ParseResult parsed) => parsed.RootCommandResult.Command.Options.OfType<HelpOption>().Any(h => parsed.GetResult(h) is not null);

    /// <summary>Prints the help of a command.</summary>
    public static ExitCode WriteHelp(Command command, Streams streams)
    {
        var rows = new List<(string Left, string Right)>();
        var output = streams.Out;
        output.WriteLine(Usage(command));
        output.WriteLine();
        foreach (string line in PlainPage.Wrap(command.Description ?? "", streams.Width))
        {
            output.WriteLine(line);
        }

        if (command is RootCommand)
        {
            output.WriteLine();
            Rows([.. Visible(command).Select(c => (Usage(c)[(Tool.Length + 1)..].Replace(" [options]", "", StringComparison.Ordinal), c.Description!))], streams);
            output.WriteLine();
            output.WriteLine($"'{Tool} COMMAND --help' lists the options of a command.");
            return ExitCode.Success;
        }

        rows.AddRange(command.Arguments.Select(a => (a.Name, a.Description ?? "")));
        rows.AddRange(command.Options.Where(o => !o.Hidden).Select(o => (Left(o), o.Description ?? "")));
        output.WriteLine();
        Rows(rows, streams);
        return ExitCode.Success;
    }

    private static void Rows(List<(string Left, string Right)> rows, Streams streams)
    {
        int left = Math.Min(rows.Select(r => r.Left.Length).DefaultIfEmpty(0).Max(), WidestLeft) + 4;
        foreach (var (name, text) in rows)
        {
            string start = $"  {name}";
            if (start.Length > left - 2)
            {
                streams.Out.WriteLine(start);
                start = "";
            }

            foreach (string line in PlainPage.Wrap(text, streams.Width - left))
            {
                streams.Out.WriteLine(start.PadRight(left) + line);
                start = "";
            }
        }
    }

    private static string Markdown(RootCommand root)
    {
        var text = new StringBuilder();
        text.Append("# Command line\n\n<!-- Made by the parser: dotnet run -c Release --project src/EquiNorm.Cli -- reference > docs/cli.md -->\n\n");
        text.Append("```\n");
        foreach (var command in Visible(root))
        {
            text.Append(Usage(command)).Append('\n');
        }

        text.Append("```\n\nResults go to standard output (with `--json` exactly one JSON object, also when a run fails), diagnostics to standard error.\n");
        foreach (var command in Visible(root))
        {
            text.Append($"\n## {command.Name}\n\n`{Usage(command)}`\n\n{command.Description}\n\n| argument or option | meaning |\n|---|---|\n");
            foreach (var argument in command.Arguments)
            {
                text.Append($"| `{argument.Name}` | {Cell(argument.Description)} |\n");
            }

            foreach (var option in command.Options.Where(o => !o.Hidden))
            {
                text.Append($"| `{Cell(Left(option))}` | {Cell(option.Description)} |\n");
            }
        }

        text.Append("\n## Exit codes\n\n| code | means |\n|---|---|\n");
        foreach (var code in Enum.GetValues<ExitCode>())
        {
            text.Append($"| {(int)code} | {ExitCodes.Meaning(code)} |\n");
        }

        return text.Append($"\nOn {ExitCodes.NothingWritten} nothing is written.\n").ToString();
    }

    private static IEnumerable<Command> Visible(Command root) => root.Subcommands.Where(c => !c.Hidden);

    private static string Usage(Command command)
    {
        var words = new List<string> { Tool };
        words.AddRange(command is RootCommand ? ["COMMAND"] : [command.Name, .. command.Arguments.Select(a => a.Name)]);
        return string.Join(' ', words) + (command.Options.Any(o => !o.Hidden) ? " [options]" : "");
    }

    // "-o, --output OUT.onnx": short names first.
    private static string Left(Option option)
    {
        string names = string.Join(", ", option.Aliases.Append(option.Name).OrderBy(n => n.StartsWith("--", StringComparison.Ordinal)).ThenBy(n => n != option.Name));
        return option.HelpName is { } value ? $"{names} {value}" : names;
    }

    // A bar would end a cell of a table.
    private static string Cell(string? text) => (text ?? "").Replace("|", "\\|", StringComparison.Ordinal);
}
