using EquiNorm.Onnx.Analysis;
using EquiNorm.Onnx.Files;
using EquiNorm.Onnx.Schema;

namespace EquiNorm.Onnx.Verification;

/// <summary>A node as it counts for the function: without constants, folded normalisations, and additions that are a MatMul's bias.</summary>
/// <param name="Node">The node.</param>
/// <param name="Inputs">What each input reads: "" (left out), a value's place, or a constant.</param>
internal sealed record CanonicalNode(NodeLayout Node, IReadOnlyList<CanonicalInput> Inputs)
{
    /// <summary>Weight (input 1), if this is a linear operator with a stored weight.</summary>
    public TensorUse? Weight { get; init; }

    /// <summary>The normalisation that acts behind it, or null.</summary>
    public NodeLayout? Normalization { get; set; }

    /// <summary>The node whose constant operand is its bias: itself, the addition behind it, or null.</summary>
    public (NodeLayout Node, int Input)? Bias { get; set; }

    /// <summary>Index of an input that is the bias, -1 if there is none: compared by what it does.</summary>
    public int BiasInput { get; init; } = -1;
}

/// <summary>What a node reads.</summary>
/// <param name="Place">The value's place: "name" of a graph input, "node:output"; null for a constant.</param>
/// <param name="Constant">The constant, or null.</param>
internal readonly record struct CanonicalInput(string? Place, ConstantValue? Constant);

/// <summary>A model in the form in which a model and its rescaling are alike: the same nodes in the same order, reading the same places.</summary>
internal sealed class CanonicalGraph
{
    private readonly Dictionary<string, string> _places = new(StringComparer.Ordinal);
    private readonly Dictionary<NodeLayout, FoldedNormalization> _folds = [];
    private readonly Dictionary<(NodeLayout, int), TensorUse> _uses = [];
    private readonly List<CanonicalNode> _nodes = [];

    private CanonicalGraph(GraphAnalysis analysis)
    {
        Analysis = analysis;
        foreach (var use in analysis.Uses.All)
        {
            _uses.TryAdd((use.Node, use.Input), use);
        }

        foreach (var fold in analysis.Folding.All)
        {
            _folds.Add(fold.Linear, fold);
        }

        foreach (var input in analysis.Layout.Inputs)
        {
            _places.TryAdd(input.Name, $"input {input.Name}");
        }
    }

    /// <summary>The analysis of the model.</summary>
    public GraphAnalysis Analysis { get; }

    /// <summary>The nodes in order.</summary>
    public IReadOnlyList<CanonicalNode> Nodes => _nodes;

    /// <summary>Brings a model into this form.</summary>
    public static CanonicalGraph Of(GraphAnalysis analysis)
    {
        var graph = new CanonicalGraph(analysis);
        foreach (var node in analysis.Layout.Nodes)
        {
            if (!analysis.IsConstant(node) && !analysis.Folding.IsFolded(node) && !graph.Absorb(node))
            {
                graph.Add(node);
            }
        }

        return graph;
    }

    /// <summary>What reading a name means.</summary>
    public CanonicalInput Resolve(string name) => name.Length == 0 ? new CanonicalInput("", null)
        : Analysis.Value(name) is ConstantValue constant ? new CanonicalInput(null, constant)
        : new CanonicalInput(_places.GetValueOrDefault(name, $"sparse {name}"), null);

    /// <summary>How an input is rescaled, or null if it is not.</summary>
    public TensorUse? Use(NodeLayout node, int input) => _uses.GetValueOrDefault((node, input));

    private void Add(NodeLayout node)
    {
        var inputs = node.Header.Input.Select(Resolve).ToList();
        string op = node.Header.Domain is "" or "ai.onnx" ? node.Header.OpType : "";
        var weight = op is "Conv" or "ConvTranspose" or "Gemm" or "MatMul" ? Use(node, 1) : null;
        int bias = weight is not null && op != "MatMul" && (Use(node, 2) is not null || _folds.ContainsKey(node) || inputs.Count < 3) ? 2 : -1;
        var result = new CanonicalNode(node, inputs) { Weight = weight, BiasInput = bias };
        if (bias >= 0 && inputs.Count > 2 && inputs[2].Constant is not null)
        {
            result.Bias = (node, 2);
        }

        if (_folds.TryGetValue(node, out var fold))
        {
            result.Normalization = fold.Normalization;
            if (fold.Add is { } add)
            {
                result.Bias = (add, Analysis.Value(add.Header.Input[0]) is ConstantValue ? 0 : 1);
            }

            Show(fold.Normalization, node, _nodes.Count);
        }

        Show(node, node, _nodes.Count);
        _nodes.Add(result);
    }

    // The names of shown's outputs mean the outputs of the canonical node.
    private void Show(NodeLayout shown, NodeLayout canonical, int index)
    {
        for (int i = 0; i < shown.Header.Output.Count; i++)
        {
            if (shown.Header.Output[i].Length > 0)
            {
                _places[shown.Header.Output[i]] = $"{index}:{i}";
            }
        }
    }

    // MatMul, then an addition of one stored number per output that nothing else reads: its bias, wherever a fold has put it.
    private bool Absorb(NodeLayout node)
    {
        if (node.Header.OpType != "Add" || node.Header.Domain is not ("" or "ai.onnx") || node.Header.Input.Count != 2 || node.Header.Output.Count != 1
            || Analysis.Opset < 7)
        {
            return false;
        }

        int constant = Analysis.Value(node.Header.Input[0]) is ConstantValue ? 0 : 1;
        string other = node.Header.Input[1 - constant];
        if (Use(node, constant) is not { } use || Producer(other) is not { } linear || linear.Node.Header.OpType != "MatMul"
            || linear.Weight is not { } weight || linear.Bias is not null || linear.Normalization is not null
            || Analysis.Readers.OnlyReader(other) is null || use.Tensor.Dims.Count != 1 || use.Tensor.Dims[0] != weight.Tensor.Dims[^1])
        {
            return false;
        }

        linear.Bias = (node, constant);
        Show(node, linear.Node, _nodes.IndexOf(linear));
        return true;
    }

    private CanonicalNode? Producer(string value) =>
        _places.TryGetValue(value, out string? place) && int.TryParse(place.Split(':')[0], out int index) ? _nodes[index] : null;

    /// <summary>The attributes as they lie in the file, by name: subgraphs and what later versions add are compared, too.</summary>
    public SortedDictionary<string, WireField> Attributes(NodeLayout node)
    {
        var file = Analysis.Layout.File;
        var result = new SortedDictionary<string, WireField>(StringComparer.Ordinal);
        var reader = new WireReader(file, node.Field);
        while (reader.Read(out var field))
        {
            if (field.Is(5))
            {
                var inside = new WireReader(file, field);
                string name = "";
                while (inside.Read(out var child))
                {
                    name = child.Is(1) ? file.Text(child.ContentStart, child.End) : name;
                }

                result[name] = field;
            }
        }

        return result;
    }

    /// <summary>Whether two graph inputs or outputs are declared alike.</summary>
    public static bool SameDeclarations(IReadOnlyList<ValueInfoProto> a, IReadOnlyList<ValueInfoProto> b) =>
        a.Count == b.Count && a.Zip(b).All(p => p.First.Equals(p.Second));
}
