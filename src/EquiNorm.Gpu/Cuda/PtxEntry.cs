using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace EquiNorm.Gpu.Cuda;

/// <summary>
/// The size of a kernel's parameter block, read from its declaration. The driver wants exactly that size: with the padding that a C struct has
/// behind its last member, cuLaunchKernel fails with CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES (ILGPU issue 1323, slang issue 9007, LLVM pull
/// requests 156229 and 172249). cuFuncGetParamInfo would say it too, but only since CUDA 12.4.
/// </summary>
internal static partial class PtxEntry
{
    // What ILGPU puts in front of a kernel's name.
    private const string Prefix = "Kernel_";

    /// <summary>The name of a kernel's entry in its PTX: its own, or with ILGPU's prefix.</summary>
    public static string NameOf(KernelId kernel, ReadOnlySpan<byte> ptx) =>
        Parameters(ptx, Prefix + kernel.Name) is null ? kernel.Name : Prefix + kernel.Name;

    /// <summary>Bytes from the first parameter to the end of the last, and the largest alignment of one.</summary>
    /// <returns>Null if the text does not declare the entry in a way that is understood here.</returns>
    public static (int Bytes, int Alignment)? Parameters(ReadOnlySpan<byte> ptx, string entry)
    {
        var text = Comment().Replace(Encoding.Latin1.GetString(ptx), " ");
        var declaration = Regex.Match(text, @"\.entry\s+" + Regex.Escape(entry) + @"\s*(\((?<list>[^)]*)\)|[.{])");
        if (!declaration.Success)
        {
            return null;
        }

        var (bytes, largest) = (0, 1);
        foreach (var parameter in declaration.Groups["list"].Value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            var match = Parameter().Match(parameter);
            if (!match.Success)
            {
                return null;
            }

            var element = Number(match.Groups["bits"]) / 8;
            var alignment = match.Groups["align"].Success ? Number(match.Groups["align"]) : element;
            var count = match.Groups["count"].Success ? Number(match.Groups["count"]) : 1;
            bytes = ((bytes + alignment - 1) / alignment * alignment) + (element * count);
            largest = Math.Max(largest, alignment);
        }

        return (bytes, largest);
    }

    private static int Number(Group group) => int.Parse(group.ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"//[^\n]*|/\*.*?\*/", RegexOptions.Singleline)]
    private static partial Regex Comment();

    // ".param .align 8 .b8 view[16]", ".param .f32 scale", ".param .u64 .ptr .global .align 16 data" (that alignment is of what is pointed to).
    [GeneratedRegex(@"^\.param\s+(\.align\s+(?<align>\d+)\s+)?\.[busf](?<bits>8|16|32|64)\s+(\.ptr\b[^%$\w]*(\.\w+\s+(\d+\s+)?)*)?[%$\w]+\s*(\[\s*(?<count>\d+)\s*\])?$")]
    private static partial Regex Parameter();
}
