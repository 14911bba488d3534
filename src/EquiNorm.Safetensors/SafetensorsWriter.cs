using EquiNorm.Files;

namespace EquiNorm.Safetensors;

/// <summary>Writes a model with some of its tensors rescaled: every other byte, the headers and the index among them, is copied.</summary>
internal static class SafetensorsWriter
{
    /// <summary>Writes the file, or every shard and the index; returns the time spent in transforms.</summary>
    /// <exception cref="IOException">The target cannot be written, or is a file of the source that must stay.</exception>
    public static TimeSpan Write(
        SafetensorsModel model, IReadOnlyDictionary<SafetensorsTensor, RescaleTransform> transforms, string path, CancellationToken cancellation)
    {
        var changed = transforms.Keys.ToLookup(t => t.File);
        var files = Targets(model, path).Select(t => new OutputFile(
            t.Target, t.Source == model.Index ? [new SourcePiece(t.Source, 0, t.Source.Length)] : Pieces(t.Source, changed[t.Source], transforms)));
        return OutputFiles.Write([.. files], Sources(model), cancellation);
    }

    /// <summary>Where each file of the model goes; the index last.</summary>
    /// <exception cref="IOException">It cannot go there.</exception>
    public static IReadOnlyList<(MappedFile Source, string Target)> Targets(SafetensorsModel model, string path)
    {
        string target = Path.GetFullPath(path);
        if (Directory.Exists(target))
        {
            throw new IOException($"{path} is a directory.");
        }

        if (model.IsSharded != SafetensorsModel.IsIndexName(path))
        {
            throw new IOException(model.IsSharded
                ? $"{model.Path} is an index, and so is what is written: name it {Path.GetFileName(model.Path)}, in another directory."
                : $"{path} would be the name of an index, and {model.Path} is a single file; name it *.safetensors.");
        }

        if (model.Index is not { } index)
        {
            return [(model.Files[0], target)];
        }

        string directory = Path.GetDirectoryName(target)!;
        List<(MappedFile Source, string Target)> targets = [.. model.Files.Select(f => (f, Path.Combine(directory, Path.GetFileName(f.Path)))), (index, target)];
        RefuseSource(model, index, targets);
        return targets;
    }

    private static IReadOnlyList<MappedFile> Sources(SafetensorsModel model) => model.Index is { } index ? [.. model.Files, index] : model.Files;

    private static List<Piece> Pieces(
        MappedFile file, IEnumerable<SafetensorsTensor> changed, IReadOnlyDictionary<SafetensorsTensor, RescaleTransform> transforms)
    {
        var pieces = new List<Piece>();
        long position = 0;
        foreach (var tensor in changed.Where(t => t.ByteLength > 0).OrderBy(t => t.Start))
        {
            pieces.Add(new SourcePiece(file, position, tensor.Start - position));
            pieces.Add(new TensorPiece(tensor, transforms[tensor].Apply));
            position = tensor.Start + tensor.ByteLength;
        }

        pieces.Add(new SourcePiece(file, position, file.Length - position));
        return pieces;
    }

    // A model that replaces itself takes its shards along; any other output must leave every file of the source as it is.
    private static void RefuseSource(SafetensorsModel model, MappedFile index, IReadOnlyList<(MappedFile Source, string Target)> targets)
    {
        string target = targets[^1].Target;
        if (targets.SkipLast(1).Any(t => Paths.Same(t.Target, target)))
        {
            throw new IOException($"{target} is to be a shard and the index at once; choose another output name.");
        }

        if (!Paths.Same(target, index.Path)
            && targets.Where(t => Sources(model).Any(s => Paths.Same(s.Path, t.Target))).Select(t => t.Target).FirstOrDefault() is { } source)
        {
            throw new IOException($"{source} would be replaced, and is a part of {model.Path}; choose another directory, or the model itself.");
        }
    }
}
