using System.Diagnostics;
using System.Text.Json;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Cli.Tests;

/// <summary>The tool as a process of its own: streams, exit codes, and nothing on standard error when all is well.</summary>
[TestFixture]
internal sealed class ProcessTests
{
    [Test]
    public void Results_go_to_standard_output_alone()
    {
        using var directory = new TemporaryDirectory();
        var run = Start("rescale", new ResidualModel().Save(directory["in.onnx"]), "-o", directory["out.onnx"], "--json");
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero, run.Error);
            Assert.That(run.Json.ValueKind, Is.EqualTo(JsonValueKind.Object));
            Assert.That(run.Error, Is.Empty);
            Assert.That(File.Exists(directory["out.onnx"]), Is.True);
        });
    }

    [Test]
    public void A_pipe_gets_plain_text()
    {
        using var directory = new TemporaryDirectory();
        var run = Start("inspect", new DenseModel().Save(directory["in.onnx"]));
        Assert.That((run.ExitCode, run.Out.Contains('\x1b')), Is.EqualTo((0, false)));
        Assert.That(run.Out, Does.Contain("w0"));
    }

    [Test]
    public void Failures_go_to_standard_error_alone()
    {
        var run = Start("rescale", "missing.onnx", "-o", "out.onnx");
        Assert.That((run.ExitCode, run.Out), Is.EqualTo((3, "")));
        Assert.That(run.Error, Does.Contain("missing.onnx"));
    }

    private static ToolRun Start(params string[] args)
    {
        var start = new ProcessStartInfo(Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = System.Text.Encoding.UTF8,
        };
        start.ArgumentList.Add(typeof(CommandLine).Assembly.Location);
        foreach (string arg in args)
        {
            start.ArgumentList.Add(arg);
        }

        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return new ToolRun(process.ExitCode, output, error.Result);
    }
}
