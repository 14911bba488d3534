namespace EquiNorm.Onnx.Files;

/// <summary>
/// Writes an edited model: to temporary names in the target's directory, then renamed, the data file first. Until the last rename
/// nothing under the final name has changed; on failure or cancellation the temporary files are removed.
/// </summary>
internal static class ModelWriter
{
    /// <summary>Writes the model; returns the time spent in transforms. The source's mappings are closed before the renames if the output replaces one of its files.</summary>
    /// <exception cref="IOException">The target cannot be written.</exception>
    public static TimeSpan Write(ModelLayout layout, ModelEdits edits, string path, CancellationToken cancellation)
    {
        string target = Path.GetFullPath(path);
        if (Directory.Exists(target))
        {
            throw new IOException($"{path} is a directory.");
        }

        string? data = layout.ExternalTensors.Count > 0 ? target + ".data" : null;
        string suffix = $".{Environment.ProcessId:x}-{Guid.NewGuid():N}.tmp";
        var applied = TimeSpan.Zero;
        try
        {
            var splice = edits.ToSplice();
            if (data is not null)
            {
                var pieces = ExternalPlan.Apply(layout, edits, splice, Path.GetFileName(data));
                applied += PieceWriter.Write(data + suffix, pieces, cancellation);
            }

            applied += PieceWriter.Write(target + suffix, splice.Pieces(), cancellation);
            cancellation.ThrowIfCancellationRequested();
            CloseReplaced(layout, target, data);
            if (data is not null)
            {
                File.Move(data + suffix, data, overwrite: true);
            }

            File.Move(target + suffix, target, overwrite: true);
            return applied;
        }
        catch
        {
            Remove(target + suffix);
            Remove(target + ".data" + suffix);
            throw;
        }
    }

    // Windows refuses to replace a mapped file; elsewhere the old mapping would go on showing the old file.
    private static void CloseReplaced(ModelLayout layout, string target, string? data)
    {
        string[] written = [ExternalFiles.RealPath(target), .. data is null ? Array.Empty<string>() : [ExternalFiles.RealPath(data)]];
        bool replaced = layout.External.InOrder.Append(layout.File)
            .Any(f => written.Contains(ExternalFiles.RealPath(f.Path), StringComparer.OrdinalIgnoreCase));
        if (replaced)
        {
            layout.File.Dispose();
            layout.External.Dispose();
        }
    }

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
