// The documents against the program: the reference is what the parser says, the tutorial's commands print what it shows, links lead somewhere.
using System.Globalization;
using System.Text.RegularExpressions;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Cli.Tests;

[TestFixture]
internal sealed partial class DocumentTests
{
    private const string Sample = "samples/small_resnet.onnx";
    private static readonly string Root = FindRoot();

    private static IEnumerable<string> Documents => Directory.EnumerateFiles(Path.Combine(Root, "docs"), "*.md").Append(Path.Combine(Root, "README.md"))
        .Select(p => Path.GetRelativePath(Root, p).Replace('\\', '/')).Order(StringComparer.Ordinal);

    private static IEnumerable<TestCaseData> Commands => Blocks(Read("docs/tutorial.md"), "console").Select(b => new TestCaseData(b).SetArgDisplayNames(b.Split('\n')[0]));

    [Test]
    public void The_reference_is_what_the_parser_says() => Assert.That(
        Read("docs/cli.md"), Is.EqualTo(Tool.Run("reference").Out.ReplaceLineEndings("\n")), "run: dotnet run -c Release --project src/EquiNorm.Cli -- reference > docs/cli.md");

    [Test]
    public void Help_shows_what_the_reference_shows()
    {
        string reference = Read("docs/cli.md");
        foreach (string command in CommandHeading().Matches(reference).Select(m => m.Groups["name"].Value).Where(n => n != "Exit"))
        {
            string help = Tool.Run(200, [command, "--help"]).Out;
            string section = reference[reference.IndexOf($"\n## {command}\n", StringComparison.Ordinal)..];
            section = section[..section.IndexOf("\n## ", 4, StringComparison.Ordinal)];
            Assert.That(OptionName().Matches(section).Select(m => m.Value).Distinct(), Is.SubsetOf(OptionName().Matches(help).Select(m => m.Value)), command);
            Assert.That(help, Does.StartWith($"equinorm {command} ").And.Not.Contain("{ ").And.Not.Contain("EquiNorm.Cli"));
            Assert.That(help.Split('\n').Count(l => l.Contains("[default", StringComparison.Ordinal)), Is.EqualTo(Regex.Count(help, @"\[default")), "each default once");
            Assert.That(Tool.Run(80, [command, "-h"]).Out.Split('\n').Select(l => l.Length), Has.All.LessThanOrEqualTo(80));
        }

        Assert.That(Tool.Run("--help").Out, Does.Contain("rescale MODEL").And.Not.Contain("reference"));
    }

    // Every exit code has a meaning; README and reference do not say two things.
    [Test]
    public void Exit_codes_are_explained()
    {
        string reference = Read("docs/cli.md");
        Assert.That(Enum.GetValues<ExitCode>().Where(c => !reference.Contains($"| {(int)c} | {ExitCodes.Meaning(c)} |", StringComparison.Ordinal)), Is.Empty);
        Assert.That(Read("README.md"), Does.Not.Contain("| exit code |").And.Contain("docs/cli.md"));
    }

    [TestCaseSource(nameof(Commands))]
    public void The_tutorial_shows_what_a_command_prints(string block)
    {
        using var directory = new TemporaryDirectory();
        Directory.CreateDirectory(directory["samples"]);
        File.Copy(Path.Combine(Root, Sample), directory[Sample]);
        string[] lines = block.Split('\n');
        string[] words = lines[0].Split(' ');
        Assert.That(words[..2], Is.EqualTo(["$", "equinorm"]));
        if (words[2] == "verify")
        {
            Assert.That(Tool.Run("rescale", directory[words[3]], "-o", directory[words[4]]).ExitCode, Is.Zero);
        }

        var run = Tool.Run([.. words[2..].Select(w => w.EndsWith(".onnx", StringComparison.Ordinal) || w.EndsWith(".html", StringComparison.Ordinal) ? directory[w] : w)]);
        Assert.That(run.ExitCode, Is.Zero, run.Error);
        string printed = Flat(run.Out.Replace(directory.Path + Path.DirectorySeparatorChar, "", StringComparison.Ordinal));
        int at = 0;
        foreach (string part in Gap().Split(string.Join('\n', lines[1..])).Where(p => p.Length > 0))
        {
            string shown = Flat(part);
            int found = Find(printed, shown, at);
            Assert.That(found, Is.GreaterThanOrEqualTo(0), $"The tutorial shows\n{part}\nand the command prints\n{run.Out}");
            at = found + 1;
        }
    }

    // A README that shows commands must show those that work: the three of its command line are parsed, not run.
    [Test]
    public void Commands_in_the_documents_are_known()
    {
        string reference = Read("docs/cli.md");
        foreach (string document in Documents)
        {
            foreach (Match command in CommandInText().Matches(Read(document)))
            {
                string section = $"\n## {command.Groups["name"].Value}\n";
                Assert.That(reference, Does.Contain(section), $"{document}: {command.Value}");
                string rest = reference[(reference.IndexOf(section, StringComparison.Ordinal) + section.Length)..];
                rest = rest[..rest.IndexOf("\n## ", StringComparison.Ordinal)];
                Assert.That(OptionName().Matches(command.Value).Select(m => m.Value).Where(o => !rest.Contains(o, StringComparison.Ordinal)), Is.Empty, $"{document}: {command.Value}");
            }
        }
    }

    [TestCaseSource(nameof(Documents))]
    public void Links_lead_somewhere(string document)
    {
        string folder = Path.GetDirectoryName(Path.Combine(Root, document))!;
        var links = Link().Matches(Read(document)).Select(m => m.Groups["path"].Value);
        Assert.That(links.Where(l => !Path.Exists(Path.Combine(folder, l))), Is.Empty);
    }

    [Test]
    public void Every_document_is_in_the_index()
    {
        string index = Read("docs/README.md");
        Assert.That(Documents.Where(d => d.StartsWith("docs/", StringComparison.Ordinal) && d != "docs/README.md" && !index.Contains($"({d[5..]})", StringComparison.Ordinal)), Is.Empty);
    }

    [Test]
    public void The_picture_of_the_concepts_is_well_formed_and_loads_nothing()
    {
        string text = Read("docs/images/concepts.svg");
        var root = System.Xml.Linq.XDocument.Parse(text).Root!;
        Assert.That(root.Elements().Take(2).Select(e => e.Name.LocalName), Is.EqualTo(["title", "desc"]));
        Assert.That(text, Does.Not.Contain("href").And.Not.Contain("url(").And.Not.Contain("<script"));
        Assert.That(new FileInfo(Path.Combine(Root, "docs/images/report.png")).Length, Is.LessThanOrEqualTo(200 * 1024));
    }

    // Where a shown text stands in what was printed: words must be the same, numbers nearly, tiny numbers both tiny, times and threads are those of a machine.
    private static int Find(string printed, string shown, int start)
    {
        string[] words = printed.Split(' '), wanted = shown.Split(' ');
        for (int n = start; n + wanted.Length <= words.Length; n++)
        {
            if (wanted.Index().All(w => IsSame(words[n + w.Index], w.Item)))
            {
                return n;
            }
        }

        return -1;
    }

    private static bool IsSame(string printed, string shown)
    {
        if (printed == shown)
        {
            return true;
        }

        return double.TryParse(printed, NumberStyles.Float, CultureInfo.InvariantCulture, out double a)
            && double.TryParse(shown, NumberStyles.Float, CultureInfo.InvariantCulture, out double b)
            && (Math.Abs(a - b) <= 1e-4 * Math.Abs(b) || (Math.Abs(a) < 1e-6 && Math.Abs(b) < 1e-6));
    }

    private static string Flat(string text) => Space().Replace(MachineDependent().Replace(text, "_"), " ").Trim();

    private static string Read(string document) => File.ReadAllText(Path.Combine(Root, document)).ReplaceLineEndings("\n");

    private static IEnumerable<string> Blocks(string text, string language)
    {
        foreach (Match block in Regex.Matches(text, $"```{language}\n(?<body>.*?)```", RegexOptions.Singleline))
        {
            yield return block.Groups["body"].Value.TrimEnd('\n');
        }
    }

    private static string FindRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder!.FullName, "EquiNorm.Gpu.sln")))
        {
            folder = folder.Parent;
        }

        return folder.FullName;
    }

    [GeneratedRegex(@"^\.\.\.$\n?", RegexOptions.Multiline)]
    private static partial Regex Gap();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Space();

    [GeneratedRegex(@"[\d.]+ (ms|s)\b|\d+ threads?")]
    private static partial Regex MachineDependent();

    [GeneratedRegex(@"(?<=[\s|`\[])--[a-z][a-z-]+")]
    private static partial Regex OptionName();

    [GeneratedRegex(@"^## (?<name>\w+)", RegexOptions.Multiline)]
    private static partial Regex CommandHeading();

    [GeneratedRegex(@"(?<=[`$] ?|^)equinorm (?<name>[a-z]+) [^`\n]*", RegexOptions.Multiline)]
    private static partial Regex CommandInText();

    [GeneratedRegex(@"\]\((?!https?:)(?<path>[^)#]+)(#[^)]*)?\)")]
    private static partial Regex Link();
}
