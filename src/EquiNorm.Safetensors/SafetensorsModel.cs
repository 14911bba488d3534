using EquiNorm.Description;
using EquiNorm.Files;

namespace EquiNorm.Safetensors;

/// <summary>
/// A safetensors file, or the shards that an index names, mapped read-only. Nothing is copied to memory but names and shapes.
/// </summary>
/// <example>
/// <code>
/// using var model = SafetensorsModel.Open("model.safetensors");
/// using var network = model.Bind(NetworkDescription.Read(File.ReadAllBytes("net.json")));
/// Scalings scalings = ...; // solve over network.Network and network.Tensors
/// network.Save("out.safetensors", scalings);
/// </code>
/// </example>
public sealed class SafetensorsModel : IDisposable
{
    private readonly Dictionary<string, SafetensorsTensor> _byName = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _metadata = new(StringComparer.Ordinal);
    private readonly List<SafetensorsTensor> _tensors = [];
    private readonly List<MappedFile> _files = [];

    private SafetensorsModel(string path) => Path = path;

    /// <summary>Path of the file or index as it was given.</summary>
    public string Path { get; }

    /// <summary>Whether the path is that of an index.</summary>
    public bool IsSharded => Index is not null;

    /// <summary>Bytes of all files.</summary>
    public long Length => _files.Sum(f => f.Length) + (Index?.Length ?? 0);

    /// <summary>All tensors, shard by shard, in the order of their bytes.</summary>
    public IReadOnlyList<SafetensorsTensor> Tensors => _tensors;

    /// <summary>The texts of <c>__metadata__</c>; of shards that have the same name, the first.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _metadata;

    /// <summary>The files that hold tensors.</summary>
    internal IReadOnlyList<MappedFile> Files => _files;

    /// <summary>The index, if there is one.</summary>
    internal MappedFile? Index { get; private set; }

    /// <summary>Opens a file, or the shards of an index, whose name ends in <c>.json</c>. Shards lie beside their index; symbolic links are followed.</summary>
    /// <exception cref="SafetensorsException">A file cannot be read or is not valid.</exception>
    public static SafetensorsModel Open(string path)
    {
        var model = new SafetensorsModel(path);
        try
        {
            if (IsIndexName(path))
            {
                model.OpenShards();
            }
            else
            {
                model.OpenFile(path);
            }

            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>Whether a path has the name of an index.</summary>
    public static bool IsIndexName(string path) => path.EndsWith(".json", StringComparison.OrdinalIgnoreCase);

    /// <summary>Reads a map of names for <see cref="Bind"/> from a JSON file: { NAME IN THE NETWORK: NAME IN THE FILE }.</summary>
    /// <exception cref="SafetensorsException">The file cannot be read or is not valid.</exception>
    public static IReadOnlyDictionary<string, string> ReadNames(string path)
    {
        using var file = MappedFile.Open(path, SafetensorsException.Of);
        return TextFile.ReadNames(file);
    }

    /// <summary>Whether a path leads to one of the model's files, symbolic links followed: what is written there would replace it.</summary>
    /// <exception cref="IOException">The path runs in circles.</exception>
    public bool IsStoredIn(string path) => _files.Concat(Index is null ? [] : [Index]).Any(f => Paths.Same(f.Path, path));

    /// <summary>The tensor of that name, or null.</summary>
    public SafetensorsTensor? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>Finds the tensors of a network by their names, and checks type and shape of each.</summary>
    /// <param name="description">The network.</param>
    /// <param name="names">Names in the file by names in the network, where they differ; null if none do.</param>
    /// <exception cref="SafetensorsException">A tensor is missing or is not as described; or the map of names does not fit.</exception>
    public SafetensorsNetwork Bind(DescribedNetwork description, IReadOnlyDictionary<string, string>? names = null) =>
        new(this, description.Network, new TensorBinder(this, description, names).Bind());

    /// <summary>Refuses an output that <see cref="SafetensorsNetwork.Save"/> would refuse, so that no work is done in vain.</summary>
    /// <exception cref="IOException">The path is a directory, has the name of the other kind (file or index), or a file of this model would be replaced that must stay.</exception>
    public void CheckOutput(string path) => SafetensorsWriter.Targets(this, path);

    /// <summary>Closes the files; the networks made from the model can no longer be used.</summary>
    public void Dispose()
    {
        Index?.Dispose();
        _files.ForEach(f => f.Dispose());
    }

    private void OpenFile(string path)
    {
        var file = MappedFile.Open(path, SafetensorsException.Of);
        _files.Add(file);
        var header = HeaderReader.Read(file);
        foreach (var (key, text) in header.Metadata)
        {
            _metadata.TryAdd(key, text);
        }

        foreach (var tensor in header.Tensors)
        {
            if (!_byName.TryAdd(tensor.Name, tensor))
            {
                throw new SafetensorsException(path, $"tensor '{tensor.Name}' is in {_byName[tensor.Name].Path}, too.");
            }

            _tensors.Add(tensor);
        }
    }

    private void OpenShards()
    {
        Index = MappedFile.Open(Path, SafetensorsException.Of);
        var map = TextFile.ReadIndex(Index);
        string directory = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(Path))!;
        foreach (string shard in map.Values.Distinct(StringComparer.Ordinal))
        {
            OpenFile(System.IO.Path.Combine(directory, shard));
        }

        foreach (var (name, shard) in map)
        {
            if (Find(name) is not { } tensor || System.IO.Path.GetFileName(tensor.Path) != shard)
            {
                throw new SafetensorsException(Path, $"the index says that tensor '{name}' is in '{shard}', and it is not there.");
            }
        }

        // Loaders take what the shards hold: a tensor that the index keeps quiet about would be used as it was, beside rescaled ones.
        if (_tensors.Find(t => !map.ContainsKey(t.Name)) is { } unlisted)
        {
            throw new SafetensorsException(unlisted.Path, $"tensor '{unlisted.Name}' is not in the index {Path}.");
        }
    }
}
