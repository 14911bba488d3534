using System.Reflection;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using EquiNorm.Cli.Commands;
using EquiNorm.Cli.Text;

namespace EquiNorm.Cli.Report;

/// <summary>What rescaled the model: command line, versions, machine, files with their hashes.</summary>
internal static class RunFactsReader
{
    private const int DigitsOfCommit = 12;
    private const string CpuInfo = "/proc/cpuinfo";

    /// <summary>Collects the facts of a run.</summary>
    /// <param name="outcome">What was done.</param>
    /// <param name="files">Files of the run.</param>
    public static RunFacts Read(RescaleOutcome outcome, IReadOnlyList<FileFact> files)
    {
        var result = outcome.Result;
        string version = Version();
        return new RunFacts(outcome.Request.CommandLine, version, DateTimeOffset.UtcNow,
        [
            ("equinorm", version),
            ("Backend", result.Backend == "cpu" ? $"CPU, {Say.Count(result.Threads, "thread")}" : result.Backend),
            ("Processor", $"{Processor() ?? "unknown"}, {Say.Count(Environment.ProcessorCount, "logical processor")}"),
            (".NET", RuntimeInformation.FrameworkDescription),
            ("System", $"{RuntimeInformation.OSDescription}, {RuntimeInformation.OSArchitecture}"),
        ], files);
    }

    /// <summary>A file of the run, with its hash.</summary>
    /// <param name="role">What it is to the run.</param>
    /// <param name="path">The file.</param>
    /// <param name="cancellation">Cancels the reading.</param>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static FileFact Hash(string role, string path, CancellationToken cancellation)
    {
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, 1);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = new byte[1 << 18];
        int read;
        while ((read = stream.Read(buffer)) > 0)
        {
            cancellation.ThrowIfCancellationRequested();
            hash.AppendData(buffer, 0, read);
        }

        return new FileFact(role, path, stream.Length, Convert.ToHexStringLower(hash.GetHashAndReset()));
    }

    // "0.1.0+commit" in builds that know their commit, of which the first digits will do.
    private static string Version()
    {
        string full = typeof(RunFactsReader).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";
        int commit = full.IndexOf('+', StringComparison.Ordinal);
        return commit < 0 || full.Length <= commit + 1 + DigitsOfCommit ? full : full[..(commit + 1 + DigitsOfCommit)];
    }

    private static string? Processor()
    {
        try
        {
            return OperatingSystem.IsLinux()
                ? File.ReadLines(CpuInfo).FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal))?.Split(':', 2)[1].Trim()
                : Environment.GetEnvironmentVariable("PROCESSOR_IDENTIFIER");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
