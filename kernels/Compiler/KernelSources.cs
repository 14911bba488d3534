using System.Security.Cryptography;
using System.Text;

namespace EquiNorm.Gpu.Kernels.Compiler;

/// <summary>What the kernels are made of: all that the committed PTX depends on but the compiler.</summary>
internal static class KernelSources
{
    private static readonly string[] Folders = ["Grid", "Group", "Tables", "Thread", "Warp"];

    /// <summary>SHA-256 over the names and texts of all sources, whatever the line ends.</summary>
    /// <param name="kernels">The folder kernels/.</param>
    public static string Hash(string kernels)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var folder in Folders)
        {
            foreach (var file in Directory.GetFiles(Path.Combine(kernels, folder), "*.cs").Order(StringComparer.Ordinal))
            {
                hash.AppendData(Encoding.UTF8.GetBytes($"{folder}/{Path.GetFileName(file)}\n"));
                hash.AppendData(Encoding.UTF8.GetBytes(File.ReadAllText(file).ReplaceLineEndings("\n")));
            }
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>SHA-256 of a text.</summary>
    public static string HashText(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text.ReplaceLineEndings("\n"))));
}
