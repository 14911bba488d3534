using System.Diagnostics;
using System.Text;
using System.Text.RegularExpressions;

namespace EquiNorm.Gpu.Kernels.Compiler;

/// <summary>What NVIDIA's assembler makes of the kernels, where it can be had: registers, spills, shared memory.</summary>
internal static partial class PtxasReport
{
    private static readonly string[] Targets = ["sm_80", "sm_90"];

    /// <summary>Assembles every kernel of a folder, and writes registers.md there.</summary>
    /// <param name="folder">kernels/Ptx.</param>
    /// <param name="ptxas">The program.</param>
    /// <returns>0, or 1 if a kernel was refused.</returns>
    public static int Run(string folder, string ptxas)
    {
        var version = Version().Match(Output(ptxas, "--version").Text).Value;
        var report = new StringBuilder();
        report.Append($"# Registers\n\nptxas {version}, `ptxas -arch=ARCH -v`. A group has 256 threads (`UpdateChannels`, `FindDeadChannels`: 128).\n\n");
        report.Append("| kernel | " + string.Join(" | ", Targets.Select(t => $"{t}: registers | spilled bytes (stores, loads)")) + " | shared bytes |\n");
        report.Append("|---|" + string.Concat(Targets.Select(_ => "--:|--:|")) + "--:|\n");
        var refused = 0;
        foreach (var file in Directory.GetFiles(folder, "*.ptx").Order(StringComparer.Ordinal))
        {
            var shared = "";
            report.Append($"| {Path.GetFileNameWithoutExtension(file)} |");
            foreach (var target in Targets)
            {
                var (status, text) = Output(ptxas, "-arch=" + target, "-v", "-o", Path.GetTempFileName(), file);
                refused += status == 0 ? 0 : 1;
                var used = Registers().Match(text);
                var spilled = Spills().Matches(text);
                var (stores, loads) = (spilled.Sum(m => int.Parse(m.Groups[1].Value)), spilled.Sum(m => int.Parse(m.Groups[2].Value)));
                report.Append(status == 0 ? $" {used.Groups[1].Value} | {stores}, {loads} |" : " refused | |");
                shared = Shared().Match(text).Groups[1].Value;
            }

            report.Append($" {shared} |\n");
        }

        File.WriteAllText(Path.Combine(folder, "registers.md"), report.ToString());
        return refused == 0 ? 0 : 1;
    }

    private static (int Status, string Text) Output(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var error = process.StandardError.ReadToEndAsync();
        var text = process.StandardOutput.ReadToEnd() + error.Result;
        process.WaitForExit();
        return (process.ExitCode, text);
    }

    [GeneratedRegex(@"V\d+\.\d+\.\d+")]
    private static partial Regex Version();

    [GeneratedRegex(@"Used (\d+) registers")]
    private static partial Regex Registers();

    [GeneratedRegex(@"(\d+) bytes spill stores, (\d+) bytes spill loads")]
    private static partial Regex Spills();

    [GeneratedRegex(@"(\d+) bytes smem")]
    private static partial Regex Shared();
}
