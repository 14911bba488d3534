namespace EquiNorm.Files;

/// <summary>A file of the output.</summary>
/// <param name="Path">Full path.</param>
/// <param name="Pieces">What it holds, in order.</param>
internal sealed record OutputFile(string Path, IReadOnlyList<Piece> Pieces);

/// <summary>
/// Writes the files of a model so that nobody ever sees half of one: to temporary names beside the targets, then renamed, the last file of the
/// list last. On failure or cancellation the temporary files are removed, and what was there before is there again.
/// </summary>
internal static class OutputFiles
{
    // Renaming takes milliseconds: who holds the lock for longer has been stopped, or is not one of us.
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(10);

    /// <summary>Writes the files; returns the time spent in transforms.</summary>
    /// <param name="files">The files; those that refer to others come behind them.</param>
    /// <param name="sources">The mapped files that the pieces come from.</param>
    /// <param name="cancellation">Cancels the writing, up to the moment of the first rename.</param>
    /// <exception cref="IOException">A file cannot be written, or must not be replaced, or a source of several files was changed while it was read.</exception>
    public static TimeSpan Write(IReadOnlyList<OutputFile> files, IReadOnlyList<MappedFile> sources, CancellationToken cancellation)
    {
        string suffix = $".{Environment.ProcessId:x}-{Guid.NewGuid():N}.tmp";
        var applied = TimeSpan.Zero;
        foreach (var file in files)
        {
            Paths.RequireReplaceable(file.Path);
        }

        try
        {
            foreach (var file in files)
            {
                applied += Write(file.Path + suffix, file.Pieces, cancellation);
                Settle(file.Path, suffix);
            }

            cancellation.ThrowIfCancellationRequested();
            using var held = files.Count > 1 ? Lock(files[^1].Path) : null;
            RequireUnchanged(sources);
            CloseReplaced(files, sources);
            Rename(files, suffix);
            return applied;
        }
        catch
        {
            foreach (var file in files)
            {
                Remove(file.Path + suffix);
            }

            throw;
        }
    }

    // A file that is larger than the file system, or a limit, allows: the runtime has an exception for arguments for it.
    private static TimeSpan Write(string path, IReadOnlyList<Piece> pieces, CancellationToken cancellation)
    {
        try
        {
            return PieceWriter.Write(path, pieces, cancellation);
        }
        catch (ArgumentOutOfRangeException e) when (e.ParamName == "value")
        {
            throw new IOException($"Files of {pieces.Sum(p => p.Length)} bytes are too large here.", e);
        }
    }

    // What replaces a file is on the disk before it does: a loss of power must not leave neither of them.
    private static void Settle(string path, string suffix)
    {
        if (File.Exists(path))
        {
            using var handle = File.OpenHandle(path + suffix, FileMode.Open, FileAccess.ReadWrite);
            RandomAccess.FlushToDisk(handle);
        }
    }

    // One file is replaced by one rename, whoever else does the same. The renames of two runs that write several files must not mix.
    private static FileStream Lock(string target)
    {
        long start = Environment.TickCount64;
        while (true)
        {
            try
            {
                return new FileStream(target + ".lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 1, FileOptions.DeleteOnClose);
            }
            catch (IOException e) when (e is not (DirectoryNotFoundException or FileNotFoundException or PathTooLongException))
            {
                if (Environment.TickCount64 - start > LongestWait.TotalMilliseconds)
                {
                    throw new IOException($"{target}.lock is held by another run that writes the same model: {e.Message}", e);
                }

                Thread.Sleep(20);
            }
        }
    }

    // A mapping keeps the file that it was made of, but not its companions: they may have been opened after another run replaced them.
    private static void RequireUnchanged(IReadOnlyList<MappedFile> sources)
    {
        if (sources.Count > 1 && sources.FirstOrDefault(f => !f.IsUnchanged) is { } changed)
        {
            throw new IOException($"{changed.Path} was changed by another program while the model was being read; run again.");
        }
    }

    // The old files are kept until the last one is in place: none may be left with another's counterpart.
    private static void Rename(IReadOnlyList<OutputFile> files, string suffix)
    {
        var done = new List<(string Path, string? Backup)>();
        try
        {
            foreach (var file in files.SkipLast(1))
            {
                string? backup = File.Exists(file.Path) ? file.Path + ".old" + suffix : null;
                if (backup is not null)
                {
                    File.Move(file.Path, backup);
                }

                done.Add((file.Path, backup));
                File.Move(file.Path + suffix, file.Path, overwrite: true);
            }

            File.Move(files[^1].Path + suffix, files[^1].Path, overwrite: true);
        }
        catch
        {
            foreach (var (path, backup) in Enumerable.Reverse(done))
            {
                Remove(path);
                if (backup is not null)
                {
                    File.Move(backup, path, overwrite: true);
                }
            }

            throw;
        }

        foreach (var (_, backup) in done)
        {
            Remove(backup);
        }
    }

    // Windows refuses to replace a mapped file; elsewhere the mapping goes on showing the old file.
    private static void CloseReplaced(IReadOnlyList<OutputFile> files, IReadOnlyList<MappedFile> sources)
    {
        if (OperatingSystem.IsWindows() && sources.Any(s => files.Any(f => Paths.Same(f.Path, s.Path))))
        {
            foreach (var source in sources)
            {
                source.Dispose();
            }
        }
    }

    private static void Remove(string? path)
    {
        try
        {
            if (path is not null)
            {
                File.Delete(path);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The first failure is the one to report.
        }
    }
}
