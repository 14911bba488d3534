using EquiNorm.Files;
using EquiNorm.Onnx.Schema;

namespace EquiNorm.Onnx.Files;

/// <summary>A node of the main graph: where it lies and what it says.</summary>
/// <param name="Index">Position among the nodes.</param>
/// <param name="Field">The node's field in the graph.</param>
/// <param name="Header">Names and attributes.</param>
/// <param name="Inputs">The fields that hold the input names, in order.</param>
/// <param name="Outputs">The fields that hold the output names, in order.</param>
/// <param name="OuterReferences">Names that the node's subgraphs mention: they may read values of this graph.</param>
/// <param name="Value">The tensor of a Constant's "value" attribute.</param>
internal sealed record NodeLayout(
    int Index,
    WireField Field,
    NodeProto Header,
    IReadOnlyList<WireField> Inputs,
    IReadOnlyList<WireField> Outputs,
    IReadOnlyCollection<string> OuterReferences,
    OnnxTensor? Value)
{
    /// <summary>The node's name, or its operator and position where it has none: for messages.</summary>
    public string DisplayName => Header.Name.Length > 0 ? $"{Header.OpType} '{Header.Name}'" : $"{Header.OpType} #{Index}";
}

/// <summary>Where everything lies in a model file. Nothing in it holds tensor data.</summary>
internal sealed class ModelLayout
{
    /// <summary>The model file.</summary>
    public required MappedFile File { get; init; }

    /// <summary>The data files.</summary>
    public required ExternalFiles External { get; init; }

    /// <summary>ir_version; 0 if not given.</summary>
    public long IrVersion { get; set; }

    /// <summary>Operator set versions by domain; "" is the default domain.</summary>
    public Dictionary<string, long> OperatorSets { get; } = new(StringComparer.Ordinal);

    /// <summary>The graph's field in the model.</summary>
    public WireField Graph { get; set; }

    /// <summary>Nodes in file order.</summary>
    public List<NodeLayout> Nodes { get; } = [];

    /// <summary>Initializers in file order.</summary>
    public List<OnnxTensor> Initializers { get; } = [];

    /// <summary>Names of sparse initializers; they are never changed.</summary>
    public List<string> SparseInitializers { get; } = [];

    /// <summary>Graph inputs.</summary>
    public List<ValueInfoProto> Inputs { get; } = [];

    /// <summary>Graph outputs.</summary>
    public List<ValueInfoProto> Outputs { get; } = [];

    /// <summary>Shapes that the exporter recorded for inner values.</summary>
    public List<(ValueInfoProto Info, WireField Field)> ValueInfos { get; } = [];

    /// <summary>Every tensor in the model that lies in a data file, in subgraphs and functions too: saving must relocate all of them.</summary>
    public List<OnnxTensor> ExternalTensors { get; } = [];
}
