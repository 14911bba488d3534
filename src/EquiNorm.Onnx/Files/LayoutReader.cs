using EquiNorm.Files;
using EquiNorm.Onnx.Schema;

namespace EquiNorm.Onnx.Files;

/// <summary>One pass over a model file that finds nodes, tensors, inputs and outputs. Order of fields does not matter.</summary>
internal sealed class LayoutReader
{
    // Subgraphs nested deeper than this are an attack on the stack, not a model.
    private const int MaximumDepth = 32;
    private readonly MappedFile _file;
    private readonly ModelLayout _layout;
    private readonly TensorReader _tensors;

    private LayoutReader(MappedFile file)
    {
        _file = file;
        _layout = new ModelLayout { File = _file, External = new ExternalFiles(_file.Path) };
        _tensors = new TensorReader(_file, _layout.External);
    }

    /// <summary>Opens and reads a model.</summary>
    /// <exception cref="OnnxFormatException">It cannot be read or is not a valid model.</exception>
    public static ModelLayout Open(string path)
    {
        var file = MappedFile.Open(path, OnnxFormatException.Of);
        LayoutReader? reader = null;
        try
        {
            FileKind.RefuseKnown(file);
            reader = new LayoutReader(file);
            reader.ReadModel();
            return reader._layout;
        }
        catch (Exception e)
        {
            var better = e is OnnxFormatException ? FileKind.Explain(file, e) : null;
            reader?._layout.External.Dispose();
            file.Dispose();
            if (better is not null)
            {
                throw better;
            }

            throw;
        }
    }

    private void ReadModel()
    {
        bool found = false;
        var reader = new WireReader(_file, 0, _file.Length);
        while (reader.Read(out var field))
        {
            if (field.IsVarint(1))
            {
                _layout.IrVersion = (long)field.Varint;
            }
            else if (field.Is(8))
            {
                var set = HeaderFilter.ReadWhole(_file, field, OperatorSetIdProto.Parser);
                _layout.OperatorSets[set.Domain == "ai.onnx" ? "" : set.Domain] = set.Version;
            }
            else if (field.Is(7))
            {
                _layout.Graph = !found ? field : throw Invalid($"there are two graphs, the second at byte {field.Start}");
                found = true;
                ReadGraph(field);
            }
            else if (field.Is(20) || field.Is(25))
            {
                ScanForExternal(field, field.Number);
            }
        }

        if (!found)
        {
            throw Invalid("there is no graph in it");
        }
    }

    private void ReadGraph(in WireField graph)
    {
        WireField[] enclosing = [graph];
        var reader = new WireReader(_file, graph);
        while (reader.Read(out var field))
        {
            if (field.Is(1))
            {
                _layout.Nodes.Add(ReadNode(enclosing, field));
            }
            else if (field.Is(5))
            {
                _layout.Initializers.Add(ReadTensor(enclosing, field));
            }
            else if (field.Is(11))
            {
                _layout.Inputs.Add(HeaderFilter.ReadWhole(_file, field, ValueInfoProto.Parser));
            }
            else if (field.Is(12))
            {
                _layout.Outputs.Add(HeaderFilter.ReadWhole(_file, field, ValueInfoProto.Parser));
            }
            else if (field.Is(13))
            {
                _layout.ValueInfos.Add((HeaderFilter.ReadWhole(_file, field, ValueInfoProto.Parser), field));
            }
            else if (field.Is(15))
            {
                _layout.SparseInitializers.Add(SparseName(field));
                ScanSparse(enclosing, field);
            }
        }
    }

    private NodeLayout ReadNode(WireField[] enclosing, in WireField node)
    {
        var header = HeaderFilter.ReadNode(_file, node);
        var inputs = new List<WireField>();
        var outputs = new List<WireField>();
        var outer = new HashSet<string>(StringComparer.Ordinal);
        OnnxTensor? value = null;
        WireField[] inside = [.. enclosing, node];
        var reader = new WireReader(_file, node);
        while (reader.Read(out var field))
        {
            if (field.Is(1))
            {
                inputs.Add(field);
            }
            else if (field.Is(2))
            {
                outputs.Add(field);
            }
            else if (field.Is(5))
            {
                value = ReadAttribute(inside, field, outer, 0) ?? value;
            }
        }

        return new NodeLayout(_layout.Nodes.Count, node, header, inputs, outputs, outer, value);
    }

    // Returns the tensor of an attribute named "value"; collects what subgraphs mention and what lies in data files.
    private OnnxTensor? ReadAttribute(WireField[] enclosing, WireField attribute, HashSet<string> outer, int depth)
    {
        OnnxTensor? value = null;
        WireField[] inside = [.. enclosing, attribute];
        bool isValue = false;
        var reader = new WireReader(_file, attribute);
        while (reader.Read(out var field))
        {
            if (field.Is(1))
            {
                isValue = _file.Span(field.ContentStart, (int)Math.Min(field.ContentLength, 6)).SequenceEqual("value"u8);
            }
            else if (field.Is(5) || field.Is(10))
            {
                var tensor = ReadTensor(inside, field);
                value = field.Is(5) ? tensor : value;
            }
            else if (field.Is(6) || field.Is(11))
            {
                ReadSubgraph(inside, field, outer, depth + 1);
            }
            else if (field.Is(22) || field.Is(23))
            {
                ScanSparse(inside, field);
            }
        }

        return isValue ? value : null;
    }

    private void ReadSubgraph(WireField[] enclosing, WireField graph, HashSet<string> outer, int depth)
    {
        if (depth > MaximumDepth)
        {
            throw Invalid($"subgraphs are nested more than {MaximumDepth} deep at byte {graph.Start}");
        }

        WireField[] inside = [.. enclosing, graph];
        var reader = new WireReader(_file, graph);
        while (reader.Read(out var field))
        {
            if (field.Is(1))
            {
                ReadSubgraphNode([.. inside, field], field, outer, depth);
            }
            else if (field.Is(5))
            {
                ReadTensor(inside, field);
            }
            else if (field.Is(12))
            {
                outer.Add(HeaderFilter.ReadWhole(_file, field, ValueInfoProto.Parser).Name);
            }
            else if (field.Is(15))
            {
                ScanSparse(inside, field);
            }
        }
    }

    private void ReadSubgraphNode(WireField[] inside, WireField node, HashSet<string> outer, int depth)
    {
        var reader = new WireReader(_file, node);
        while (reader.Read(out var field))
        {
            if (field.Is(1))
            {
                outer.Add(_file.Text(field.ContentStart, field.End));
            }
            else if (field.Is(5))
            {
                ReadAttribute(inside, field, outer, depth);
            }
        }
    }

    // Training information (20: graphs in fields 1 and 2) and functions (25: nodes in 7, attributes in 11) run nothing of the
    // main graph; they matter only because their tensors may lie in the data files.
    private void ScanForExternal(WireField parent, int kind)
    {
        var ignored = new HashSet<string>(StringComparer.Ordinal);
        var reader = new WireReader(_file, parent);
        while (reader.Read(out var field))
        {
            if (kind == 20 && (field.Is(1) || field.Is(2)))
            {
                ReadSubgraph([parent], field, ignored, 0);
            }
            else if (kind == 25 && field.Is(7))
            {
                ReadSubgraphNode([parent, field], field, ignored, 0);
            }
            else if (kind == 25 && field.Is(11))
            {
                ReadAttribute([parent], field, ignored, 0);
            }
        }
    }

    private void ScanSparse(WireField[] enclosing, WireField sparse)
    {
        var reader = new WireReader(_file, sparse);
        while (reader.Read(out var field))
        {
            if (field.Is(1) || field.Is(2))
            {
                ReadTensor([.. enclosing, sparse], field);
            }
        }
    }

    // The name of a sparse tensor is the name of its values.
    private string SparseName(WireField sparse)
    {
        var reader = new WireReader(_file, sparse);
        while (reader.Read(out var field))
        {
            if (field.Is(1))
            {
                return HeaderFilter.ReadTensor(_file, field).Name;
            }
        }

        return "";
    }

    private OnnxTensor ReadTensor(WireField[] enclosing, WireField field)
    {
        var tensor = _tensors.Read(TensorLayout.Read(_file, enclosing, field));
        if (tensor.IsExternal)
        {
            _layout.ExternalTensors.Add(tensor);
        }

        return tensor;
    }

    private OnnxFormatException Invalid(string what) => new(_file.Path, $"not a valid ONNX model: {what}.");
}
