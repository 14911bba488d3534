using EquiNorm.Model;
using EquiNorm.Onnx.Files;
using EquiNorm.Onnx.Operators;

namespace EquiNorm.Onnx.Analysis;

/// <summary>
/// Walks the graph once in its (topological) order and builds the network: each node's rule says what becomes of the channels of its
/// inputs. What no rule handles is pinned, with the operator and node in the reason.
/// </summary>
internal sealed class GraphAnalysis
{
    private readonly Dictionary<string, GraphValue> _values = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Name, int Count), ChannelAxis> _pinnedAxes = [];
    private readonly Dictionary<string, Extent[]> _recorded = new(StringComparer.Ordinal);
    private readonly HashSet<NodeLayout> _constants = [];
    private readonly HashSet<string> _graphInputs = new(StringComparer.Ordinal);

    /// <summary>Analyses a model.</summary>
    public GraphAnalysis(ModelLayout layout, OnnxOptions options)
    {
        Layout = layout;
        Options = options;
        Opset = layout.OperatorSets.GetValueOrDefault("", 1);
        Readers = new ReaderIndex(layout);
        Uses = new TensorUses(layout);
        Folding = new NormalizationFolding(this);
    }

    /// <summary>The model.</summary>
    public ModelLayout Layout { get; }

    /// <summary>The options.</summary>
    public OnnxOptions Options { get; }

    /// <summary>Version of the default operator set.</summary>
    public long Opset { get; }

    /// <summary>Who reads which value.</summary>
    public ReaderIndex Readers { get; }

    /// <summary>Which tensors are rescaled where.</summary>
    public TensorUses Uses { get; }

    /// <summary>Batch normalisations and what they are folded into.</summary>
    public NormalizationFolding Folding { get; }

    /// <summary>Batch normalisations whose gamma and beta carry factors while what they read is pinned.</summary>
    public List<string> ScaledNormalizations { get; } = [];

    /// <summary>Whether a choice was made that depends on what else is pinned: which operand of a product keeps its factors.</summary>
    public bool HasChosen { get; set; }

    /// <summary>The network under construction.</summary>
    public NetworkBuilder Builder { get; } = new();

    /// <summary>Extents.</summary>
    public Extents Extents { get; } = new();

    /// <summary>Runs the analysis; afterwards <see cref="Builder"/> is complete.</summary>
    /// <exception cref="OnnxFormatException">The graph contradicts itself.</exception>
    public void Run()
    {
        DefineConstants();
        DefineInputs();
        foreach (var (info, _) in Layout.ValueInfos)
        {
            Record(info);
        }

        foreach (var node in Layout.Nodes)
        {
            try
            {
                Analyze(node);
            }
            catch (NetworkException e)
            {
                throw new OnnxFormatException(Layout.File.Path, $"{node.DisplayName}: {e.Message}", e);
            }
        }

        foreach (var output in Layout.Outputs)
        {
            var value = Value(output.Name) ?? throw Invalid($"the graph output '{output.Name}' is made by no node.");
            if (value is ScaledValue channels)
            {
                Builder.Output(channels.Axis, output.Name);
            }
            else if (value is ConstantValue { Tensor: { } tensor })
            {
                Uses.Fix(tensor, $"graph output {output.Name}");
            }
        }

        Uses.Finish(Builder);
    }

    /// <summary>The value of that name, or null.</summary>
    public GraphValue? Value(string name) => _values.GetValueOrDefault(name);

    /// <summary>Whether the node only shows a stored constant.</summary>
    public bool IsConstant(NodeLayout node) => _constants.Contains(node);

    /// <summary>Defines a node's output.</summary>
    public void Define(NodeLayout node, int output, GraphValue value)
    {
        string name = node.Header.Output[output];
        if (value is ChannelValue c && (c.Dim >= 0 || -c.Dim > c.Shape?.Length))
        {
            throw Invalid($"the value '{name}' of {node.DisplayName} has rank {c.Shape?.Length}, which leaves no place for its channels.");
        }

        if (!_values.TryAdd(name, value))
        {
            throw Invalid($"the value '{name}' is made twice, the second time by {node.DisplayName}.");
        }
    }

    /// <summary>The channels of an unscaled value, as pinned channels.</summary>
    public ChannelAxis Pinned(PlainValue value, int count)
    {
        if (!_pinnedAxes.TryGetValue((value.Name, count), out var axis))
        {
            axis = _graphInputs.Contains(value.Name) ? Builder.Input(value.Name, count) : Builder.Pinned(value.Name, count, value.Reason, value.Flow);
            _pinnedAxes.Add((value.Name, count), axis);
        }

        return axis;
    }

    /// <summary>An error in the graph.</summary>
    public OnnxFormatException Invalid(string problem) => new(Layout.File.Path, "not a valid ONNX model: " + problem);

    private void DefineConstants()
    {
        foreach (var tensor in Layout.Initializers)
        {
            if (!_values.TryAdd(tensor.Name, FromTensor(tensor, tensor.Name)))
            {
                throw Invalid($"there are two initializers named '{tensor.Name}'.");
            }
        }

        foreach (string name in Layout.SparseInitializers)
        {
            _values.TryAdd(name, new PlainValue(name, $"sparse initializer {name}"));
        }

        // Constants first, wherever they stand: folding looks ahead of the node under analysis.
        foreach (var node in Layout.Nodes)
        {
            if (node.Header.OpType == "Constant" && node.Header.Output.Count == 1 && Constant(node) is { } constant)
            {
                Define(node, 0, constant);
                _constants.Add(node);
            }
            else if (TensorUses.IsAlias(node) && Value(node.Header.Input[0]) is ConstantValue alias)
            {
                Define(node, 0, alias);
                _constants.Add(node);
            }
        }
    }

    private ConstantValue FromTensor(OnnxTensor tensor, string name)
    {
        tensor = Uses.Canonical(tensor);
        return new ConstantValue(tensor, Uses.Name(tensor, name))
        {
            Shape = [.. tensor.Dims.Select(d => (Extent)d)],
            Elements = tensor.Dims.Count <= 1 && tensor.Integers(ElementInference.Limit) is { } e ? Array.ConvertAll(e, v => (Extent)v) : null,
        };
    }

    private void DefineInputs()
    {
        foreach (var input in Layout.Inputs)
        {
            Record(input);
            _graphInputs.Add(input.Name);

            // An initializer that is also an input (IR version 3) is a default that callers do not override in practice.
            _values.TryAdd(input.Name, new PlainValue(input.Name, $"network input {input.Name}") { Shape = _recorded.GetValueOrDefault(input.Name) });
        }
    }

    private void Record(Schema.ValueInfoProto info)
    {
        if (info.Type?.TensorType?.Shape is { } shape)
        {
            _recorded[info.Name] = [.. shape.Dim.Select(d => d.HasDimValue && d.DimValue >= 0 ? d.DimValue : Extents.Named(d.HasDimParam ? d.DimParam : ""))];
        }
    }

    private void Analyze(NodeLayout node)
    {
        if (_constants.Contains(node) || Folding.IsFolded(node))
        {
            return; // defined already: as a constant, or by the operator that it is folded into
        }

        var inputs = node.Header.Input.Select(n => n.Length == 0 ? null : Value(n)
            ?? throw Invalid($"{node.DisplayName} reads '{n}', which nothing before it makes.")).ToArray();
        FixOuter(node);
        var probe = new NodeContext(this, node, inputs, new Extent[]?[node.Header.Output.Count]);
        var shapes = Enumerable.Range(0, node.Header.Output.Count).Select(i => OutputShape(probe, i)).ToArray();
        var context = new NodeContext(this, node, inputs, shapes);
        if ((shapes.Length == 0 ? "it has no output" : OperatorTable.Apply(context)) is { } reason)
        {
            Block(context, reason);
        }

        Uses.FixOtherReads(node);
        foreach (var input in inputs)
        {
            if (input is PlainValue { Transposed: { } matrix } && !Uses.IsRescaled(matrix.Node, 0))
            {
                Uses.Fix(matrix.Constant.Tensor!, $"also read by {node.DisplayName}");
            }
        }
    }

    private Extent[]? OutputShape(NodeContext node, int index)
    {
        var known = _recorded.GetValueOrDefault(node.Node.Header.Output[index]);
        var inferred = node.Node.Header.Domain is not ("" or "ai.onnx") ? null
            : index == 0 ? ShapeInference.Infer(node, Extents) : node.Operator == "Split" ? ShapeInference.Split(node, index, Extents) : null;
        return inferred is null ? known
            : known is null || known.Length != inferred.Length ? inferred
            : [.. inferred.Select((e, i) => e.IsKnown ? e : known[i].IsKnown ? known[i] : e)];
    }

    // Values that subgraphs read are read there by nodes that this analysis does not follow.
    private void FixOuter(NodeLayout node)
    {
        foreach (string name in node.OuterReferences)
        {
            string reason = $"read inside {node.DisplayName}";
            switch (Value(name))
            {
                case ScaledValue channels:
                    Builder.Pin(channels.Axis, reason);
                    break;
                case ConstantValue { Tensor: { } tensor }:
                    Uses.Fix(tensor, reason);
                    break;
            }
        }
    }

    private void Block(NodeContext context, string reason)
    {
        var node = context.Node;
        string full = $"{node.DisplayName}: {reason}";
        foreach (var input in context.Inputs)
        {
            if (input is ScaledValue channels)
            {
                Builder.Pin(channels.Axis, full);
            }
        }

        for (int i = 0; i < node.Header.Output.Count; i++)
        {
            if (context.HasOutput(i) && Value(node.Header.Output[i]) is null)
            {
                context.Set(i, new PlainValue(node.Header.Output[i], full) { Elements = i == 0 ? ElementInference.Infer(context) : null });
            }
        }
    }

    private ConstantValue? Constant(NodeLayout node)
    {
        string name = node.Header.Output[0];
        if (node.Value is { } tensor)
        {
            return FromTensor(tensor, name);
        }

        var attribute = node.Header.Attribute.FirstOrDefault();
        return attribute?.Name switch
        {
            "value_float" => new ConstantValue(null, name) { Shape = [], Numbers = [attribute.F] },
            "value_floats" => new ConstantValue(null, name) { Shape = [attribute.Floats.Count], Numbers = [.. attribute.Floats.Select(f => (double)f)] },
            "value_int" => new ConstantValue(null, name) { Shape = [], Numbers = [attribute.I], Elements = [attribute.I] },
            "value_ints" => new ConstantValue(null, name)
            {
                Shape = [attribute.Ints.Count],
                Numbers = [.. attribute.Ints.Select(i => (double)i)],
                Elements = attribute.Ints.Count <= ElementInference.Limit ? [.. attribute.Ints.Select(i => (Extent)i)] : null,
            },
            _ => null,
        };
    }
}
