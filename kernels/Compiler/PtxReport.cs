using System.Globalization;
using System.Text.RegularExpressions;

namespace EquiNorm.Gpu.Kernels.Compiler;

/// <summary>What can be read off a kernel's PTX without running it.</summary>
/// <param name="Entry">The name of the entry.</param>
/// <param name="ParameterBytes">Size of the parameter block.</param>
/// <param name="SharedBytes">Static shared memory.</param>
/// <param name="VectorLoads">Loads of 8 or 16 bytes by one thread from global memory.</param>
/// <param name="LocalAccesses">Accesses to local memory.</param>
/// <param name="UniformBranches">Conditional branches that claim that all threads go the same way.</param>
internal sealed partial record PtxReport(
    string Entry, int ParameterBytes, int SharedBytes, int VectorLoads, int LocalAccesses, int UniformBranches)
{
    /// <summary>Reads a PTX text with one entry.</summary>
    public static PtxReport Of(string ptx)
    {
        var entry = EntryPattern().Match(ptx);
        return new PtxReport(
            entry.Groups["name"].Value,
            Parameter().Matches(entry.Groups["parameters"].Value).Sum(m => Number(m)),
            Shared().Matches(ptx).Sum(m => Number(m)),
            VectorLoad().Count(ptx),
            Local().Count(ptx),
            UniformBranch().Count(ptx));
    }

    private static int Number(Match match) => int.Parse(match.Groups["bytes"].Value, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"\.entry\s+(?<name>\w+)\s*\((?<parameters>[^)]*)\)")]
    private static partial Regex EntryPattern();

    [GeneratedRegex(@"\.b8\s+\w+\[(?<bytes>\d+)\]")]
    private static partial Regex Parameter();

    [GeneratedRegex(@"\.shared\s.*\.b8\s+\w+\[(?<bytes>\d+)\]")]
    private static partial Regex Shared();

    [GeneratedRegex(@"\bld\.global\.v(4\.[bf]32|2\.[bf]64|2\.[bf]32)")]
    private static partial Regex VectorLoad();

    [GeneratedRegex(@"\b(ld|st)\.local")]
    private static partial Regex Local();

    [GeneratedRegex(@"@!?%p\d+ bra\.uni")]
    private static partial Regex UniformBranch();
}
