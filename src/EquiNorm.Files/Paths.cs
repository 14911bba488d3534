namespace EquiNorm.Files;

/// <summary>Paths with their symbolic links resolved: two names of one file are told apart from two files.</summary>
internal static class Paths
{
    private const int MaximumLinkDepth = 16;
    private static readonly string[] DeviceFolders = ["/dev/", "/proc/", "/sys/"];

    /// <summary>The path with every symbolic link in it resolved.</summary>
    /// <exception cref="IOException">There are too many links.</exception>
    public static string RealPath(string path) => RealPath(path, 0);

    /// <summary>Whether a path lies in a directory, which may be a root; both without symbolic links.</summary>
    public static bool IsInside(string path, string directory) =>
        path.StartsWith(Path.EndsInDirectorySeparator(directory) ? directory : directory + Path.DirectorySeparatorChar, StringComparison.Ordinal);

    /// <summary>Whether two paths lead to the same place, links resolved.</summary>
    public static bool Same(string a, string b) => string.Equals(
        RealPath(a), RealPath(b), OperatingSystem.IsLinux() ? StringComparison.Ordinal : StringComparison.OrdinalIgnoreCase);

    /// <summary>Refuses a path whose file must not be replaced: one that is read-only, or a device, which a rename would put a regular file in the place of.</summary>
    /// <exception cref="IOException">It must not.</exception>
    public static void RequireReplaceable(string path)
    {
        string real = OperatingSystem.IsWindows() ? path : RealPath(path);
        if (!OperatingSystem.IsWindows() && DeviceFolders.Any(f => real.StartsWith(f, StringComparison.Ordinal)) && !real.StartsWith("/dev/shm/", StringComparison.Ordinal))
        {
            throw new IOException($"{path} lies among devices, not files.");
        }

        if (File.Exists(path) && File.GetAttributes(path).HasFlag(FileAttributes.ReadOnly))
        {
            throw new IOException($"{path} is read-only.");
        }
    }

    private static string RealPath(string path, int depth)
    {
        if (depth > MaximumLinkDepth)
        {
            throw new IOException($"More than {MaximumLinkDepth} symbolic links in {path}.");
        }

        string full = Path.GetFullPath(path);
        string current = Path.GetPathRoot(full)!;
        foreach (string part in full[current.Length..].Split(Path.DirectorySeparatorChar, StringSplitOptions.RemoveEmptyEntries))
        {
            string next = Path.Combine(current, part);
            FileSystemInfo info = Directory.Exists(next) ? new DirectoryInfo(next) : new FileInfo(next);
            var target = info.LinkTarget is null ? null : info.ResolveLinkTarget(returnFinalTarget: true);
            current = target is null ? next : RealPath(target.FullName, depth + 1);
        }

        return current;
    }
}
