using EquiNorm.Files;
using EquiNorm.Onnx.Schema;
using Google.Protobuf;

namespace EquiNorm.Onnx.Files;

/// <summary>What saving changes: tensors rewritten, nodes renamed, replaced or dropped, initializers added or dropped. Everything else stays byte for byte.</summary>
internal sealed class ModelEdits(ModelLayout layout)
{
    private readonly List<Action<Splice>> _edits = [];
    private readonly Dictionary<OnnxTensor, TensorTransform> _transforms = [];
    private readonly HashSet<OnnxTensor> _dropped = [];

    /// <summary>The transforms, by tensor.</summary>
    public IReadOnlyDictionary<OnnxTensor, TensorTransform> Transforms => _transforms;

    /// <summary>The tensors that will not be in the output: initializers, and values of dropped nodes.</summary>
    public IReadOnlySet<OnnxTensor> Dropped => _dropped;

    private WireField[] InGraph => [layout.Graph];

    /// <summary>Rewrites the elements of a tensor: same type, same shape, same place.</summary>
    public void Transform(OnnxTensor tensor, TensorTransform transform) => _transforms.Add(tensor, transform);

    /// <summary>Drops an initializer.</summary>
    public void Drop(OnnxTensor tensor)
    {
        if (_dropped.Add(tensor))
        {
            _edits.Add(s => s.Drop(tensor.Layout.Enclosing, tensor.Layout.Field));
        }
    }

    /// <summary>Drops a node.</summary>
    public void Drop(NodeLayout node)
    {
        if (node.Value is { } tensor)
        {
            _dropped.Add(tensor); // goes with the node: nothing may edit it in there
        }

        _edits.Add(s => s.Drop(InGraph, node.Field));
    }

    /// <summary>Puts a new node in the place of another.</summary>
    public void Replace(NodeLayout node, NodeProto with)
    {
        byte[] bytes = WireWriter.Field(1, with.ToByteArray());
        _edits.Add(s => s.Replace(InGraph, node.Field.Start, node.Field.End, new LiteralPiece(bytes)));
    }

    /// <summary>Renames input <paramref name="index"/> of a node; an index beyond the last input appends (empty names fill the gap).</summary>
    public void RenameInput(NodeLayout node, int index, string name)
    {
        if (index < node.Inputs.Count)
        {
            Rename(node, node.Inputs[index], name);
            return;
        }

        long at = node.Inputs.Count > 0 ? node.Inputs[^1].End : node.Field.ContentStart;
        var pieces = Enumerable.Repeat("", index - node.Inputs.Count).Append(name).Select(n => (Piece)new LiteralPiece(WireWriter.Text(1, n)));
        _edits.Add(s => s.Insert([layout.Graph, node.Field], at, pieces.ToArray()));
    }

    /// <summary>Renames output <paramref name="index"/> of a node.</summary>
    public void RenameOutput(NodeLayout node, int index, string name) => Rename(node, node.Outputs[index], name);

    /// <summary>Drops what the exporter recorded about the shape of a value that no longer exists.</summary>
    public void DropValueInfo(string name)
    {
        foreach (var (_, field) in layout.ValueInfos.Where(v => v.Info.Name == name))
        {
            _edits.Add(s => s.Drop(InGraph, field));
        }
    }

    /// <summary>Adds an initializer with raw data: new bytes, or the elements of another tensor transformed.</summary>
    public void Add(string name, IEnumerable<long> dims, OnnxDataType type, Piece data)
    {
        var header = new TensorProto { Name = name, DataType = (int)type };
        header.Dims.AddRange(dims);
        byte[] head = header.ToByteArray();
        byte[] rawPrefix = WireWriter.Prefix(9, data.Length);
        byte[] prefix = WireWriter.Prefix(5, head.Length + rawPrefix.Length + data.Length);
        _edits.Add(s => s.Insert(InGraph, layout.Graph.End, new LiteralPiece([.. prefix, .. head, .. rawPrefix]), data));
        if (layout.IrVersion is > 0 and < 4)
        {
            AddInput(name, header.Dims, type);
        }
    }

    // Before IR version 4 every initializer had to be a graph input, too.
    private void AddInput(string name, IEnumerable<long> dims, OnnxDataType type)
    {
        var shape = new TensorShapeProto();
        shape.Dim.AddRange(dims.Select(d => new TensorShapeProto.Types.Dimension { DimValue = d }));
        var info = new ValueInfoProto { Name = name, Type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)type, Shape = shape } } };
        byte[] bytes = WireWriter.Field(11, info.ToByteArray());
        _edits.Add(s => s.Insert(InGraph, layout.Graph.End, new LiteralPiece(bytes)));
    }

    /// <summary>The edits as a splice of the model file; tensors in data files are left to <see cref="ExternalPlan"/>.</summary>
    public Splice ToSplice()
    {
        var splice = new Splice(layout.File);
        _edits.ForEach(e => e(splice));
        foreach (var (tensor, transform) in _transforms)
        {
            if (!tensor.IsExternal && !_dropped.Contains(tensor))
            {
                ReplaceData(splice, tensor, new TensorPiece(tensor, transform));
            }
        }

        return splice;
    }

    // Data in one piece is replaced where it lies. Data scattered over fields or in varints becomes one raw_data field: legal for
    // every numeric type, and of a length that is known beforehand.
    private void ReplaceData(Splice splice, OnnxTensor tensor, TensorPiece piece)
    {
        WireField[] inside = [.. tensor.Layout.Enclosing, tensor.Layout.Field];
        if (tensor.DataFile is not null)
        {
            splice.Replace(inside, tensor.DataStart, tensor.DataStart + tensor.ByteLength, piece);
            return;
        }

        var fields = tensor.Layout.DataFields;
        foreach (var field in fields)
        {
            splice.Drop(inside, field);
        }

        splice.Insert(inside, fields.Count > 0 ? fields[0].Start : tensor.Layout.Field.End, new LiteralPiece(WireWriter.Prefix(9, piece.Length)), piece);
    }

    private void Rename(NodeLayout node, WireField field, string name)
    {
        byte[] bytes = WireWriter.Text(field.Number, name);
        _edits.Add(s => s.Replace([layout.Graph, node.Field], field.Start, field.End, new LiteralPiece(bytes)));
    }
}
