using System.Text.Json;
using EquiNorm.Cli.Backends;
using EquiNorm.Testing;

namespace EquiNorm.Cli.Tests;

/// <summary>What a run of the tool has left behind.</summary>
/// <param name="ExitCode">What it returned.</param>
/// <param name="Out">Standard output.</param>
/// <param name="Error">Standard error.</param>
internal sealed record ToolRun(int ExitCode, string Out, string Error)
{
    /// <summary>Standard output as one JSON object; fails if there is anything else.</summary>
    public JsonElement Json => JsonDocument.Parse(Out).RootElement;
}

/// <summary>Runs the tool within the test process.</summary>
internal static class Tool
{
    public static ToolRun Run(params string[] args) => Run(100, args);

    public static ToolRun Run(Gpus gpus, params string[] args) => Run(100, args, default, gpus);

    public static ToolRun Run(int width, string[] args, CancellationToken cancellation = default, Gpus? gpus = null)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        int code = CommandLine.Run(args, new Streams(output, error) { Width = width }, cancellation, gpus ?? BackendTests.NoDriver);
        return new ToolRun(code, output.ToString(), error.ToString());
    }

    /// <summary>Names of the files in a directory, without those that the test itself put there.</summary>
    public static IEnumerable<string> Left(TemporaryDirectory directory, params string[] own) =>
        Directory.EnumerateFileSystemEntries(directory.Path).Select(p => Path.GetFileName(p)).Except(own);
}
