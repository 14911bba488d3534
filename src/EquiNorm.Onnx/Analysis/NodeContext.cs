using EquiNorm.Model;
using EquiNorm.Onnx.Files;
using EquiNorm.Onnx.Schema;

namespace EquiNorm.Onnx.Analysis;

/// <summary>One node under analysis: its inputs as values, its attributes with defaults, and where its results go.</summary>
internal sealed class NodeContext(GraphAnalysis analysis, NodeLayout node, GraphValue?[] inputs, Extent[]?[] outputShapes)
{
    private ChannelAxis? _flow;
    private bool _knowsFlow;

    /// <summary>The analysis that the node is part of.</summary>
    public GraphAnalysis Analysis { get; } = analysis;

    /// <summary>The node.</summary>
    public NodeLayout Node { get; } = node;

    /// <summary>The operator.</summary>
    public string Operator => Node.Header.OpType;

    /// <summary>Version of the default operator set.</summary>
    public long Opset => Analysis.Opset;

    /// <summary>Values of the inputs; null for one that is left out.</summary>
    public IReadOnlyList<GraphValue?> Inputs { get; } = inputs;

    /// <summary>Inferred or recorded shapes of the outputs.</summary>
    public IReadOnlyList<Extent[]?> OutputShapes { get; } = outputShapes;

    /// <summary>The same node with other values in the places of its inputs.</summary>
    public NodeContext With(GraphValue?[] values) => new(Analysis, Node, values, [.. OutputShapes]);

    /// <summary>The input, or null if it is left out.</summary>
    public GraphValue? Input(int index) => index < Inputs.Count ? Inputs[index] : null;

    /// <summary>The input as activation with factors, or null.</summary>
    public ChannelValue? Channels(int index) => Input(index) as ChannelValue;

    /// <summary>The input as constant, or null.</summary>
    public ConstantValue? Constant(int index) => Input(index) as ConstantValue;

    /// <summary>Whether output <paramref name="index"/> is wanted.</summary>
    public bool HasOutput(int index) => index < Node.Header.Output.Count && Node.Header.Output[index].Length > 0;

    /// <summary>The attribute, or null.</summary>
    public AttributeProto? Attribute(string name) => Node.Header.Attribute.FirstOrDefault(a => a.Name == name);

    /// <summary>An integer attribute.</summary>
    public long Int(string name, long missing) => Attribute(name)?.I ?? missing;

    /// <summary>A number attribute.</summary>
    public double Float(string name, double missing) => Attribute(name)?.F ?? missing;

    /// <summary>A text attribute.</summary>
    public string Text(string name, string missing) => Attribute(name)?.S.ToStringUtf8() ?? missing;

    /// <summary>A list attribute, or null.</summary>
    public long[]? Ints(string name) => Attribute(name)?.Ints.ToArray();

    /// <summary>A list that is an attribute in old operator sets and an input in new ones; null if absent or not constant.</summary>
    public long[]? IntsOrInput(string name, int index) => Ints(name) ?? KnownElements(index);

    /// <summary>The elements of an integer input if all are known numbers.</summary>
    public long[]? KnownElements(int index) =>
        Input(index)?.Elements is { } e && Array.TrueForAll(e, x => x.IsKnown) ? Array.ConvertAll(e, x => x.Value) : null;

    /// <summary>All elements of an integer input: followed through the graph, or stored (longer lists, too).</summary>
    public long[]? KnownOrStored(int index) => KnownElements(index) ?? Constant(index)?.Tensor?.Integers(1 << 20);

    /// <summary>Sets an output to a value; its shape is the inferred one where the value has none.</summary>
    public void Set(int index, GraphValue value)
    {
        if (HasOutput(index))
        {
            value = value is PlainValue { Flow: null } plain ? plain with { Flow = Flow() } : value;
            Analysis.Define(Node, index, value with { Shape = Complete(value, OutputShapes[index] ?? value.Shape) });
        }
    }

    // The number of channels is known where the extent of their axis may not be.
    private static Extent[]? Complete(GraphValue value, Extent[]? shape) =>
        value is SplitValue { Shape: { } own } ? (shape?.Length == own.Length ? [.. shape.Zip(own, (e, o) => e.IsKnown ? e : o)] : own)
        : value is ChannelValue { Positions: { } positions } x && shape is not null && -x.Dim <= shape.Length && !shape[^-x.Dim].IsKnown
            ? [.. shape.Select((e, d) => d == shape.Length + x.Dim ? positions * x.Axis.Length : e)] : shape;

    // Where this node's results stand in the data flow.
    private ChannelAxis? Flow()
    {
        if (!_knowsFlow)
        {
            var before = new HashSet<ChannelAxis>(ReferenceEqualityComparer.Instance);
            foreach (var input in Inputs)
            {
                if ((input is ScaledValue channels ? channels.Axis : (input as PlainValue)?.Flow) is { } axis)
                {
                    before.Add(axis);
                }
            }

            _flow = before.Count switch { 0 => null, 1 => before.First(), _ => Analysis.Builder.Behind([.. before]) };
            _knowsFlow = true;
        }

        return _flow;
    }

    /// <summary>Sets an output to an unscaled value.</summary>
    public void SetPlain(int index, string? reason = null)
    {
        if (HasOutput(index))
        {
            string name = Node.Header.Output[index];
            Set(index, new PlainValue(name, reason ?? $"result of {Node.DisplayName}"));
        }
    }

    /// <summary>An axis attribute counted from the back (-1 is the last), or null if the rank would have to be known and is not.</summary>
    public static int? FromBack(long axis, Extent[]? shape) =>
        shape is not null ? (axis < shape.Length && axis >= -shape.Length ? (int)(axis < 0 ? axis : axis - shape.Length) : null)
            : axis is < 0 and > -16 ? (int)axis : null;
}
