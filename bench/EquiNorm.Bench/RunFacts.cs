using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace EquiNorm.Bench;

/// <summary>What a result file says about the run: machine, .NET and commit.</summary>
internal static class RunFacts
{
    /// <summary>Numbers with a point.</summary>
    public static CultureInfo Culture => CultureInfo.InvariantCulture;

    /// <summary>Runtime, system and processor.</summary>
    public static string Runtime() => $"{RuntimeInformation.FrameworkDescription}, {RuntimeInformation.OSDescription}, {Processor()}";

    /// <summary>The commit that is checked out, and whether files differ from it.</summary>
    public static string Commit()
    {
        try
        {
            var commit = Git("rev-parse --short HEAD");
            return commit.Length == 0 ? "unknown" : Git("status --porcelain --untracked-files=no").Length == 0 ? commit : $"{commit} with changes";
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return "unknown";
        }
    }

    /// <summary>1, 2, 4, ... and all: the numbers of threads that scaling is shown with.</summary>
    public static IEnumerable<int> ThreadCounts()
    {
        for (var threads = 1; threads < Environment.ProcessorCount; threads *= 2)
        {
            yield return threads;
        }

        yield return Environment.ProcessorCount;
    }

    private static string Git(string arguments)
    {
        using var git = Process.Start(new ProcessStartInfo("git", arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var output = git.StandardOutput.ReadToEnd();
        git.WaitForExit();
        return output.Trim();
    }

    private static string Processor()
    {
        const string info = "/proc/cpuinfo";
        var line = File.Exists(info) ? File.ReadLines(info).FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal)) : null;
        var widest = Vector512.IsHardwareAccelerated ? "AVX-512" : Vector256.IsHardwareAccelerated ? "AVX2" : "128-bit vectors";
        return $"{line?.Split(':')[1].Trim() ?? RuntimeInformation.ProcessArchitecture.ToString()} ({widest})";
    }
}
