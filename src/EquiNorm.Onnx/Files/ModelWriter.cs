using EquiNorm.Files;

namespace EquiNorm.Onnx.Files;

/// <summary>Writes an edited model: the model file, and the data file if it has external tensors. Both or none: see <see cref="OutputFiles"/>.</summary>
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
        var splice = edits.ToSplice();
        var files = new List<OutputFile>();
        if (data is not null)
        {
            files.Add(new OutputFile(data, ExternalPlan.Apply(layout, edits, splice, Path.GetFileName(data))));
        }

        var model = splice.Pieces();
        RefuseOversize(layout, model);
        files.Add(new OutputFile(target, model));
        return OutputFiles.Write(files, [layout.File, .. layout.External.InOrder], cancellation);
    }

    // A model that replaces itself takes its data file along; any other output must leave every file of the source as it is.
    private static void RefuseSource(ModelLayout layout, string target, string? data)
    {
        bool inPlace = Paths.Same(target, layout.File.Path);
        if (data is not null && Paths.Same(data, layout.File.Path))
        {
            throw new IOException($"{data} is the model itself; choose another output name.");
        }

        string[] written = data is null || inPlace ? [target] : [target, data];
        foreach (string path in written)
        {
            if (layout.External.InOrder.Any(f => Paths.Same(f.Path, path)))
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
}
