// The files of this repository as the architecture tests see them: everything below the folder of EquiNorm.Gpu.sln that is not build output.
using System.Xml.Linq;

namespace EquiNorm.Tests.Architecture;

internal static class Repository
{
    private static readonly string[] SkippedNames =
    [
        ".git", "bin", "obj", "artifacts", "TestResults", "BenchmarkDotNet.Artifacts", ".vs", ".idea", ".vscode", ".venv", "__pycache__",
        // A working copy may hold material at this place that is not part of the repository.
        "shared",
    ];

    public static string Root { get; } = FindRoot();

    /// <summary>Paths relative to the root, with forward slashes.</summary>
    public static IReadOnlyList<string> Files { get; } = [.. Walk(new DirectoryInfo(Root)).Order(StringComparer.Ordinal)];

    public static IEnumerable<string> Sources => Files.Where(f => f.EndsWith(".cs", StringComparison.Ordinal));

    public static IEnumerable<string> Projects => Files.Where(f => f.EndsWith(".csproj", StringComparison.Ordinal));

    public static IEnumerable<string> BuildFiles => Files.Where(f => Path.GetExtension(f) is ".csproj" or ".props" or ".targets");

    public static string Read(string file) => File.ReadAllText(Path.Combine(Root, file));

    public static XDocument ReadXml(string file) => XDocument.Load(Path.Combine(Root, file));

    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder != null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "EquiNorm.Gpu.sln")))
            {
                return folder.FullName;
            }
        }

        throw new InvalidOperationException($"No EquiNorm.Gpu.sln above {AppContext.BaseDirectory}.");
    }

    private static IEnumerable<string> Walk(DirectoryInfo folder)
    {
        foreach (var entry in folder.EnumerateFileSystemInfos())
        {
            // A worktree's .git is a file; links may lead out of the tree.
            if (SkippedNames.Contains(entry.Name) || entry.LinkTarget != null)
            {
                continue;
            }

            if (entry is DirectoryInfo child)
            {
                foreach (var file in Walk(child))
                {
                    yield return file;
                }
            }
            else
            {
                yield return Path.GetRelativePath(Root, entry.FullName).Replace('\\', '/');
            }
        }
    }
}
