using System.Runtime.InteropServices;

namespace EquiNorm.Testing.Onnx;

/// <summary>
/// Builds small ONNX models for tests, independent of the product's schema: nodes, initializers, inputs and outputs in call order.
/// </summary>
public sealed class OnnxModelWriter
{
    private readonly List<(int Field, ProtoMessage Message)> _children = [];

    /// <summary>Version of the default operator set.</summary>
    public int Opset { get; init; } = 17;

    /// <summary>Version of the file format.</summary>
    public int IrVersion { get; set; } = 8;

    /// <summary>See <see cref="ProtoMessage.Padding"/>.</summary>
    public int Padding { get; init; }

    /// <summary>A fresh message with this writer's padding.</summary>
    public ProtoMessage NewMessage() => new() { Padding = Padding };

    /// <summary>Any child of the graph.</summary>
    public OnnxModelWriter Child(int field, ProtoMessage message)
    {
        _children.Add((field, message));
        return this;
    }

    /// <summary>A graph input; a negative extent has no value.</summary>
    public OnnxModelWriter Input(string name, params long[] dims) => Child(11, ValueInfo(name, dims));

    /// <summary>A graph output.</summary>
    public OnnxModelWriter Output(string name, params long[] dims) => Child(12, ValueInfo(name, dims));

    /// <summary>The recorded shape of an inner value.</summary>
    public OnnxModelWriter Shape(string name, params long[] dims) => Child(13, ValueInfo(name, dims));

    /// <summary>A float32 initializer in raw_data.</summary>
    public OnnxModelWriter Floats(string name, long[] dims, float[] values) =>
        Child(5, Header(name, 1, dims).Bytes(9, MemoryMarshal.AsBytes(values.AsSpan())));

    /// <summary>A float64 initializer in raw_data.</summary>
    public OnnxModelWriter Doubles(string name, long[] dims, double[] values) =>
        Child(5, Header(name, 11, dims).Bytes(9, MemoryMarshal.AsBytes(values.AsSpan())));

    /// <summary>An int64 initializer in raw_data.</summary>
    public OnnxModelWriter Integers(string name, long[] dims, params long[] values) =>
        Child(5, Header(name, 7, dims).Bytes(9, MemoryMarshal.AsBytes(values.AsSpan())));

    /// <summary>A node. Attributes: long, long[], float, string, or a ProtoMessage that is a tensor.</summary>
    public OnnxModelWriter Node(string op, string[] inputs, string[] outputs, params (string Name, object Value)[] attributes) =>
        Child(1, NodeMessage(op, inputs, outputs, attributes));

    /// <summary>A node's message, for tests that add to it.</summary>
    public ProtoMessage NodeMessage(string op, string[] inputs, string[] outputs, params (string Name, object Value)[] attributes)
    {
        var node = NewMessage();
        foreach (string input in inputs)
        {
            node.Text(1, input);
        }

        foreach (string output in outputs)
        {
            node.Text(2, output);
        }

        node.Text(3, outputs.Length > 0 ? op + "_" + outputs[0] : op).Text(4, op);
        foreach (var (name, value) in attributes)
        {
            node.Message(5, Attribute(name, value));
        }

        return node;
    }

    /// <summary>A tensor's header: dims, type, name.</summary>
    public ProtoMessage Header(string name, int type, params long[] dims)
    {
        var tensor = NewMessage();
        foreach (long extent in dims)
        {
            tensor.Number(1, extent);
        }

        return tensor.Number(2, type).Text(8, name);
    }

    /// <summary>An external tensor: header and location entries.</summary>
    public ProtoMessage External(string name, int type, long[] dims, params (string Key, string Value)[] entries)
    {
        var tensor = Header(name, type, dims);
        foreach (var (key, value) in entries)
        {
            tensor.Message(13, NewMessage().Text(1, key).Text(2, value));
        }

        return tensor.Number(14, 1);
    }

    /// <summary>The graph alone.</summary>
    public ProtoMessage Graph()
    {
        var graph = NewMessage();
        foreach (var (field, message) in _children)
        {
            graph.Message(field, message);
        }

        return graph.Text(2, "graph");
    }

    /// <summary>The model.</summary>
    public byte[] ToArray() => NewMessage()
        .Number(1, IrVersion)
        .Text(2, "EquiNorm.Testing")
        .Message(7, Graph())
        .Message(8, NewMessage().Text(1, "").Number(2, Opset))
        .ToArray();

    /// <summary>Writes the model to a file and returns its path.</summary>
    public string Save(string path)
    {
        File.WriteAllBytes(path, ToArray());
        return path;
    }

    private ProtoMessage Attribute(string name, object value)
    {
        var attribute = NewMessage().Text(1, name);
        return value switch
        {
            long i => attribute.Number(3, i).Number(20, 2),
            int i => attribute.Number(3, i).Number(20, 2),
            float f => attribute.Float(2, f).Number(20, 1),
            string s => attribute.Text(4, s).Number(20, 3),
            long[] many => many.Aggregate(attribute, (a, i) => a.Number(8, i)).Number(20, 7),
            ProtoMessage tensor => attribute.Message(5, tensor).Number(20, 4),
            OnnxModelWriter subgraph => attribute.Message(6, subgraph.Graph()).Number(20, 5),
            _ => throw new ArgumentException($"An attribute of type {value.GetType()} is not supported.", nameof(value)),
        };
    }

    private ProtoMessage ValueInfo(string name, long[] dims)
    {
        var shape = NewMessage();
        foreach (long extent in dims)
        {
            shape.Message(1, extent >= 0 ? NewMessage().Number(1, extent) : NewMessage().Text(2, "N"));
        }

        return NewMessage().Text(1, name).Message(2, NewMessage().Message(1, NewMessage().Number(1, 1).Message(2, shape)));
    }
}
