using EquiNorm.Files;

namespace EquiNorm.Onnx.Files;

/// <summary>
/// The data files of a model, each mapped once. A location is a path relative to the model's directory; one that is absolute,
/// climbs out with "..", or leaves the directory through a symbolic link is refused: a model must not read other files.
/// </summary>
internal sealed class ExternalFiles(string modelPath) : IDisposable
{
    private readonly Dictionary<string, MappedFile> _files = new(StringComparer.Ordinal);
    private readonly List<MappedFile> _inOrder = [];

    /// <summary>The data files in the order of first use.</summary>
    public IReadOnlyList<MappedFile> InOrder => _inOrder;

    /// <summary>Maps the data file of a tensor.</summary>
    /// <exception cref="OnnxFormatException">The location is refused, or the file cannot be read.</exception>
    public MappedFile Open(string location, string tensor)
    {
        if (_files.TryGetValue(location, out var known))
        {
            return known;
        }

        string path = Resolve(location, tensor);
        var same = _inOrder.Find(f => f.Path == path);
        if (same is null)
        {
            same = OpenFor(path, tensor);
            _inOrder.Add(same);
        }

        _files.Add(location, same);
        return same;
    }

    /// <summary>Unmaps all of them.</summary>
    public void Dispose() => _inOrder.ForEach(f => f.Dispose());

    private static MappedFile OpenFor(string path, string tensor)
    {
        try
        {
            return MappedFile.Open(path, OnnxFormatException.Of);
        }
        catch (OnnxFormatException e)
        {
            throw new OnnxFormatException(path, $"external data of tensor '{tensor}': {e.Problem}", e);
        }
    }

    private string Resolve(string location, string tensor)
    {
        if (location.Length == 0 || location.Contains('\0'))
        {
            throw Refused(tensor, location, "is not a file name");
        }

        // Refused on every system alike, so that a file means the same everywhere: roots, drive letters, parent directories.
        bool drive = location.Length > 1 && location[1] == ':' && char.IsAsciiLetter(location[0]);
        if (location[0] is '/' or '\\' || drive || Path.IsPathRooted(location))
        {
            throw Refused(tensor, location, "is an absolute path");
        }

        if (location.Split('/', '\\').Contains(".."))
        {
            throw Refused(tensor, location, "leaves the model's directory");
        }

        string directory = Path.GetDirectoryName(Path.GetFullPath(modelPath))!;
        string path = Path.Combine(directory, location);
        try
        {
            if (!Paths.IsInside(Paths.RealPath(path), Paths.RealPath(directory)))
            {
                throw Refused(tensor, location, "leaves the model's directory through a symbolic link");
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new OnnxFormatException(modelPath, $"external data of tensor '{tensor}': '{location}' cannot be resolved: {e.Message}", e);
        }

        return path;
    }

    private OnnxFormatException Refused(string tensor, string location, string why) =>
        new(modelPath, $"external data of tensor '{tensor}': the location '{location}' {why}; refused.");
}
