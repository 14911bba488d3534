using EquiNorm.Files;
using EquiNorm.Onnx.Analysis;
using EquiNorm.Onnx.Files;

namespace EquiNorm.Onnx;

/// <summary>
/// An ONNX model file, mapped read-only: opened, analysed into a network of channel groups, and saved with other factors.
/// Nothing is copied to memory but node names and small constants.
/// </summary>
/// <example>
/// <code>
/// using var model = OnnxModel.Open("in.onnx");
/// using var network = model.Analyze();
/// Scalings scalings = ...; // solve over network.Network and network.Tensors
/// network.Save("out.onnx", scalings);
/// </code>
/// </example>
public sealed class OnnxModel : IDisposable
{
    private readonly ModelLayout _layout;

    private OnnxModel(ModelLayout layout) => _layout = layout;

    /// <summary>Path of the model as it was given.</summary>
    public string Path => _layout.File.Path;

    /// <summary>Bytes of the model file and its data files.</summary>
    public long Length => _layout.File.Length + _layout.External.InOrder.Sum(f => f.Length);

    /// <summary>Number of nodes of the main graph.</summary>
    public int NodeCount => _layout.Nodes.Count;

    /// <summary>Version of the default operator set.</summary>
    public long OperatorSetVersion => _layout.OperatorSets.GetValueOrDefault("", 1);

    /// <summary>Where everything lies.</summary>
    internal ModelLayout Layout => _layout;

    /// <summary>Opens a model.</summary>
    /// <exception cref="OnnxFormatException">The file, or a data file that it names, cannot be read or is not valid.</exception>
    public static OnnxModel Open(string path) => new(LayoutReader.Open(path));

    /// <summary>Whether a path leads to the model's file or one of its data files, symbolic links followed: what is written there would replace the model.</summary>
    /// <exception cref="IOException">The path runs in circles.</exception>
    public bool IsStoredIn(string path) => _layout.External.InOrder.Append(_layout.File).Any(f => Paths.Same(f.Path, path));

    /// <summary>Finds the channel groups of the model.</summary>
    /// <exception cref="OnnxFormatException">The graph contradicts itself.</exception>
    public OnnxNetwork Analyze(OnnxOptions? options = null)
    {
        var analysis = new GraphAnalysis(_layout, options ?? new OnnxOptions());
        analysis.Run();
        return new OnnxNetwork(analysis);
    }

    /// <summary>Closes the file; the networks made from it can no longer be used.</summary>
    public void Dispose()
    {
        _layout.File.Dispose();
        _layout.External.Dispose();
    }
}
