namespace EquiNorm.Fuzz;

/// <summary>What the files of a case are given to.</summary>
public enum FuzzTarget
{
    /// <summary>An ONNX model, and its data file if there is one.</summary>
    Onnx,

    /// <summary>A safetensors file, or an index with its shards, with a description.</summary>
    Safetensors,

    /// <summary>A description alone.</summary>
    Json,
}

/// <summary>The files of a case, by name. The first is the one that is opened; "net.json" is the description of a safetensors model.</summary>
/// <param name="Target">Who reads them.</param>
/// <param name="Files">Name and content.</param>
public sealed record FuzzCase(FuzzTarget Target, IReadOnlyList<(string Name, byte[] Content)> Files)
{
    /// <summary>Name of the description of a safetensors model.</summary>
    public const string Description = "net.json";

    /// <summary>Bytes of all files.</summary>
    public long Length => Files.Sum(f => (long)f.Content.Length);

    /// <summary>The case with another content of one file.</summary>
    public FuzzCase With(int file, byte[] content) =>
        this with { Files = [.. Files.Select((f, n) => n == file ? (f.Name, content) : f)] };

    /// <summary>Writes the files into a directory.</summary>
    public void Save(string directory)
    {
        Directory.CreateDirectory(directory);
        foreach (var (name, content) in Files)
        {
            File.WriteAllBytes(Path.Combine(directory, name), content);
        }
    }

    /// <summary>Reads the files of a case; the directory's name begins with the name of the target.</summary>
    public static FuzzCase Load(string directory)
    {
        var target = Enum.GetValues<FuzzTarget>().First(t => Path.GetFileName(directory).StartsWith(t.ToString(), StringComparison.OrdinalIgnoreCase));
        // The one that is opened first: an index before its shards, a model before its data, everything before the description.
        var files = Directory.GetFiles(directory).OrderBy(Rank).ThenBy(f => f, StringComparer.Ordinal);
        return new FuzzCase(target, [.. files.Select(f => (Path.GetFileName(f), File.ReadAllBytes(f)))]);

        static int Rank(string path) => Path.GetFileName(path) switch
        {
            Description => 3,
            var n when n.EndsWith(".data", StringComparison.Ordinal) || n.StartsWith("part", StringComparison.Ordinal) => 2,
            _ => 1,
        };
    }
}

/// <summary>What came of a case that is no finding.</summary>
public enum FuzzOutcome
{
    /// <summary>Refused with one of the documented exceptions.</summary>
    Refused,

    /// <summary>Read; there was nothing to rescale, or rescaling was refused.</summary>
    Read,

    /// <summary>Rescaled, written, and verified.</summary>
    Rescaled,
}

/// <summary>Something that must not happen.</summary>
/// <param name="Case">The files.</param>
/// <param name="Problem">What happened.</param>
public sealed record FuzzFinding(FuzzCase Case, string Problem);
