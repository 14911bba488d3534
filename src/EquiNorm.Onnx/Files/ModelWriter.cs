namespace EquiNorm.Onnx.Files;

/// <summary>
/// Writes an edited model: to temporary names in the target's directory, then renamed, the data file first. On failure or
/// cancellation the temporary files are removed, and what was there before is there again.
/// </summary>
internal static class ModelWriter
{
    /// <summary>Writes the model; returns the time spent in transforms. On Windows the source's mappings are closed before the renames if the output replaces one of its files.</summary>
    /// <exception cref="IOException">The target cannot be written, or is a file of the source that must stay.</exception>
    public static TimeSpan Write(ModelLayout layout, ModelEdits edits, string path, CancellationToken cancellation)
    {
        string target = Path.GetFullPath(path);
        if (Directory.Exists(target))
        {
            throw new IOException($"{path} is a directory.");
        }

        string? data = layout.ExternalTensors.Count > 0 ? target + ".data" : null;
        RefuseSource(layout, target, data);
        string suffix = $".{Environment.ProcessId:x}-{Guid.NewGuid():N}.tmp";
        var applied = TimeSpan.Zero;
        try
        {
            var splice = edits.ToSplice();
            var tensors = data is null ? null : ExternalPlan.Apply(layout, edits, splice, Path.GetFileName(data));
            var model = splice.Pieces();
            RefuseOversize(layout, model);
            if (tensors is not null)
            {
                applied += PieceWriter.Write(data + suffix, tensors, cancellation);
            }

            applied += PieceWriter.Write(target + suffix, model, cancellation);
            cancellation.ThrowIfCancellationRequested();
            CloseReplaced(layout, target, data);
            Rename(target, data, suffix);
            return applied;
        }
        catch
        {
            Remove(target + suffix);
            Remove(target + ".data" + suffix);
            throw;
        }
    }

    // A model that replaces itself takes its data file along; any other output must leave every file of the source as it is.
    private static void RefuseSource(ModelLayout layout, string target, string? data)
    {
        string source = ExternalFiles.RealPath(layout.File.Path);
        bool inPlace = Same(ExternalFiles.RealPath(target), source);
        if (data is not null && Same(ExternalFiles.RealPath(data), source))
        {
            throw new IOException($"{data} is the model itself; choose another output name.");
        }

        string[] written = data is null || inPlace ? [target] : [target, data];
        foreach (string path in written)
        {
            if (layout.External.InOrder.Any(f => Same(ExternalFiles.RealPath(f.Path), ExternalFiles.RealPath(path))))
            {
                throw new IOException($"{path} holds the tensors of {layout.File.Path}; choose another output name.");
            }
        }
    }

    // Readers refuse a message of 2 GB; a source that is larger than that already is left to them.
    private static void RefuseOversize(ModelLayout layout, IReadOnlyList<Piece> model)
    {
        if (layout.File.Length <= int.MaxValue && model.Sum(p => p.Length) > int.MaxValue)
        {
            throw new IOException("The copies of shared weights make the model larger than 2 GB; tie them instead.");
        }
    }

    // The old data file is kept until the new model is in place: neither may be left with the other's counterpart.
    private static void Rename(string target, string? data, string suffix)
    {
        if (data is null)
        {
            File.Move(target + suffix, target, overwrite: true);
            return;
        }

        string? backup = File.Exists(data) ? data + ".old" + suffix : null;
        if (backup is not null)
        {
            File.Move(data, backup);
        }

        try
        {
            File.Move(data + suffix, data, overwrite: true);
            File.Move(target + suffix, target, overwrite: true);
        }
        catch
        {
            Remove(data);
            if (backup is not null)
            {
                File.Move(backup, data, overwrite: true);
            }

            throw;
        }

        if (backup is not null)
        {
            Remove(backup);
        }
    }

    // Windows refuses to replace a mapped file; elsewhere the mapping goes on showing the old file.
    private static void CloseReplaced(ModelLayout layout, string target, string? data)
    {
        if (!OperatingSystem.IsWindows())
        {
            return;
        }

        string[] written = [ExternalFiles.RealPath(target), .. data is null ? Array.Empty<string>() : [ExternalFiles.RealPath(data)]];
        if (layout.External.InOrder.Append(layout.File).Any(f => written.Any(w => Same(w, ExternalFiles.RealPath(f.Path)))))
        {
            layout.File.Dispose();
            layout.External.Dispose();
        }
    }

    private static bool Same(string a, string b) =>
        string.Equals(a, b, OperatingSystem.IsLinux() ? StringComparison.Ordinal : StringComparison.OrdinalIgnoreCase);

    private static void Remove(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The first failure is the one to report.
        }
    }
}
