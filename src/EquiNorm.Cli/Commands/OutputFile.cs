using EquiNorm.Files;

namespace EquiNorm.Cli.Commands;

/// <summary>A file that a command writes: checked before any work, written aside, renamed at the end.</summary>
internal static class OutputFile
{
    /// <summary>Checks that the file can be written, so that an hour of work does not end in "no such directory".</summary>
    /// <exception cref="CliException">It cannot.</exception>
    public static void Check(string path)
    {
        string target = Path.GetFullPath(path);
        if (Directory.Exists(target))
        {
            throw new CliException(ExitCode.Usage, $"{path} is a directory; name a file in it.");
        }

        if (!Directory.Exists(Path.GetDirectoryName(target)))
        {
            throw new CliException(ExitCode.Usage, $"The directory of {path} does not exist; create it first.");
        }

        try
        {
            Paths.RequireReplaceable(target);
            File.Create(Aside(path), 1, FileOptions.DeleteOnClose).Dispose();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw CannotWrite(path, e);
        }
    }

    /// <summary>Writes bytes.</summary>
    /// <exception cref="CliException">They cannot be written; nothing is left behind.</exception>
    public static void Write(string path, ReadOnlySpan<byte> bytes)
    {
        string aside = Aside(path);
        try
        {
            File.WriteAllBytes(aside, bytes);
            File.Move(aside, path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentOutOfRangeException)
        {
            File.Delete(aside);
            throw CannotWrite(path, e);
        }
    }

    /// <summary>The error of a file that cannot be written.</summary>
    public static CliException CannotWrite(string path, Exception e) =>
        new(ExitCode.Usage, $"{path} cannot be written: {e.Message} Nothing was written.", e);

    private static string Aside(string path) => $"{Path.GetFullPath(path)}.{Environment.ProcessId:x}-{Guid.NewGuid():N}.tmp";
}
