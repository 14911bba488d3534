// The README against what it talks about: its commands run, its example is the one that the compiler sees below.
using EquiNorm.Model;
using EquiNorm.Onnx;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Cli.Tests;

[TestFixture]
internal sealed class ReadmeTests
{
    private static readonly string Root = FindRoot();
    private static readonly string Readme = File.ReadAllText(Path.Combine(Root, "README.md")).ReplaceLineEndings("\n");

    [Test]
    public void The_first_command_rescales_the_sample()
    {
        string command = Block("sh").Split('\n').First(l => l.StartsWith("dotnet run", StringComparison.Ordinal));
        string[] words = command.Split(' ');
        Assert.That(words[..(Array.IndexOf(words, "--") + 1)], Is.EqualTo("dotnet run -c Release --project src/EquiNorm.Cli --".Split(' ')));
        string[] args = words[(Array.IndexOf(words, "--") + 1)..];
        using var directory = new TemporaryDirectory();
        args[1] = Path.Combine(Root, args[1]);
        args[Array.IndexOf(args, "-o") + 1] = directory["out.onnx"];
        var run = Tool.Run(args);
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero, run.Error);
            Assert.That(run.Out, Does.Contain("certified"));
            Assert.That(new FileInfo(args[1]).Length, Is.LessThanOrEqualTo(2 << 20));
            Assert.That(Tool.Run("verify", args[1], directory["out.onnx"]).ExitCode, Is.Zero);
        });
    }

    [Test]
    public void The_second_command_tests_the_solution()
    {
        Assert.That(Block("sh"), Does.Contain("dotnet test EquiNorm.Gpu.sln -c Release"));
        Assert.That(File.Exists(Path.Combine(Root, "EquiNorm.Gpu.sln")), Is.True);
    }

    [Test]
    public void The_example_is_the_one_below()
    {
        string source = File.ReadAllText(Path.Combine(Root, "tests/EquiNorm.Cli.Tests/ReadmeTests.cs")).ReplaceLineEndings("\n");
        int start = source.IndexOf("// README\n", StringComparison.Ordinal) + "// README\n".Length;
        int end = source.IndexOf("        // end\n", start, StringComparison.Ordinal);
        var lines = source[start..end].TrimEnd('\n').Split('\n').Select(l => l.Length > 8 ? l[8..] : "");
        Assert.That(Block("csharp").Trim(), Is.EqualTo(string.Join("\n", lines).Trim()));
    }

    [Test]
    public void The_example_runs()
    {
        using var directory = new TemporaryDirectory();
        string input = new ResidualModel().Save(directory["in.onnx"]), output = directory["out.onnx"];

        // README
        using OnnxModel model = OnnxModel.Open(input);
        using OnnxNetwork onnx = model.Analyze();
        var problem = new RescalingProblem(onnx.Network) { Norm = 2 };
        RescalingResult result = RescalingSolver.Solve(problem, onnx.Tensors);

        Console.WriteLine($"{result.Status}: {result.ObjectiveBefore} -> {result.Objective}");
        foreach (ChannelGroup group in onnx.Network.Groups.Where(g => g.IsPinned))
        {
            Console.WriteLine($"{group.Name} is left alone: {group.PinnedBecause}");
        }

        if (result.Scalings is { } scalings)
        {
            onnx.Save(output, scalings);
        }

        // end
        Assert.That(result.Status, Is.EqualTo(RescalingStatus.Converged));
        Assert.That(Tool.Run("verify", input, output).ExitCode, Is.Zero);
    }

    [Test]
    public void Every_path_that_it_links_exists()
    {
        var links = System.Text.RegularExpressions.Regex.Matches(Readme, @"\]\((?!https?:)(?<path>[^)#]+)\)").Select(m => m.Groups["path"].Value);
        Assert.That(links.Where(l => !Path.Exists(Path.Combine(Root, l))), Is.Empty);
    }

    // Every option of the reference is one that the parser knows, and the other way round.
    [TestCase("rescale")]
    [TestCase("compare")]
    [TestCase("inspect")]
    [TestCase("verify")]
    [TestCase("describe")]
    [TestCase("devices")]
    public void The_reference_lists_the_options(string command)
    {
        string line = Readme.Split("\n\n").First(p => p.Contains($"equinorm {command} ", StringComparison.Ordinal) && p.Contains("[--json]", StringComparison.Ordinal));
        line = line[line.IndexOf($"equinorm {command} ", StringComparison.Ordinal)..];
        int next = line.IndexOf("\nequinorm ", StringComparison.Ordinal);
        line = next < 0 ? line : line[..next];
        var options = (string text) => System.Text.RegularExpressions.Regex.Matches(text, @"--[a-z][a-z-]+").Select(m => m.Value).Where(o => o is not "--help" and not "--output").Distinct();
        Assert.That(options(line), Is.EquivalentTo(options(Tool.Run(command, "--help").Out)));
    }

    private static string Block(string language)
    {
        int start = Readme.IndexOf($"```{language}\n", StringComparison.Ordinal) + language.Length + 4;
        return Readme[start..Readme.IndexOf("```", start, StringComparison.Ordinal)];
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
}
