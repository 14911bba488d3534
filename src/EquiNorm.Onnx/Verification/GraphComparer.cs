using EquiNorm.Onnx.Analysis;
using EquiNorm.Onnx.Files;
using EquiNorm.Onnx.Schema;

namespace EquiNorm.Onnx.Verification;

/// <summary>
/// Compares two models in canonical form: inputs, outputs, operator sets, nodes, attributes and every constant that no factor touches.
/// Names of inner values do not count. Stops at the first difference.
/// </summary>
internal sealed class GraphComparer(CanonicalGraph a, CanonicalGraph b)
{
    /// <summary>The first difference, or null.</summary>
    public string? Difference()
    {
        var (la, lb) = (a.Analysis.Layout, b.Analysis.Layout);
        if (!CanonicalGraph.SameDeclarations(Inputs(la), Inputs(lb)) || !CanonicalGraph.SameDeclarations(la.Outputs, lb.Outputs))
        {
            return "the inputs or outputs of the graphs are declared differently";
        }

        if (la.OperatorSets.Count != lb.OperatorSets.Count || la.OperatorSets.Any(s => lb.OperatorSets.GetValueOrDefault(s.Key, -1) != s.Value))
        {
            return "the operator sets differ";
        }

        if (!SameFields(new WireField(0, WireType.LengthDelimited, 0, 0, 0, la.File.Length, 0), new WireField(0, WireType.LengthDelimited, 0, 0, 0, lb.File.Length, 0), 25))
        {
            return "the model-local functions differ";
        }

        if (!SameFields(la.Graph, lb.Graph, 15))
        {
            return "the sparse initializers differ";
        }

        for (int n = 0; n < Math.Min(a.Nodes.Count, b.Nodes.Count); n++)
        {
            if (Difference(a.Nodes[n], b.Nodes[n]) is { } difference)
            {
                return difference;
            }
        }

        return a.Nodes.Count != b.Nodes.Count
            ? $"the graphs have {a.Nodes.Count} and {b.Nodes.Count} operators (normalisations that can be folded and constants not counted)"
            : OutputDifference(la);
    }

    private string? OutputDifference(ModelLayout layout)
    {
        foreach (var output in layout.Outputs)
        {
            if (Difference(a.Resolve(output.Name), b.Resolve(output.Name)) is { } difference)
            {
                return $"graph output '{output.Name}': {difference}";
            }
        }

        return null;
    }

    private string? Difference(CanonicalNode x, CanonicalNode y)
    {
        string name = x.Node.DisplayName;
        if (x.Node.Header.OpType != y.Node.Header.OpType || x.Node.Header.Domain != y.Node.Header.Domain || x.Node.Header.Overload != y.Node.Header.Overload)
        {
            return $"{name} of the first model stands where the second has {y.Node.DisplayName}";
        }

        if (AttributeDifference(x.Node, y.Node) is { } attribute)
        {
            return $"{name}: attribute '{attribute}' differs";
        }

        if (!x.Node.Header.Output.Select(o => o.Length > 0).SequenceEqual(y.Node.Header.Output.Select(o => o.Length > 0)))
        {
            return $"{name}: the outputs differ";
        }

        int count = Math.Max(x.Inputs.Count, y.Inputs.Count);
        for (int i = 0; i < count; i++)
        {
            bool bias = i == x.BiasInput && i == y.BiasInput;
            if (!bias && InputDifference(x, y, i) is { } difference)
            {
                return $"{name}, input {i}: {difference}";
            }
        }

        foreach (string outer in x.Node.OuterReferences.Order(StringComparer.Ordinal))
        {
            if (Difference(a.Resolve(outer), b.Resolve(outer)) is { } difference)
            {
                return $"{name} reads '{outer}' inside: {difference}";
            }
        }

        return null;
    }

    private string? InputDifference(CanonicalNode x, CanonicalNode y, int i)
    {
        var (ix, iy) = (i < x.Inputs.Count ? x.Inputs[i] : new CanonicalInput("", null), i < y.Inputs.Count ? y.Inputs[i] : new CanonicalInput("", null));
        if (a.Use(x.Node, i) is null)
        {
            return Difference(ix, iy);
        }

        // A tensor that carries factors: its elements are compared later.
        return iy.Constant?.Tensor is not { } tensor ? "the second model reads no stored tensor there"
            : ShapeDifference(ix.Constant!.Tensor!, tensor);
    }

    private string? Difference(CanonicalInput x, CanonicalInput y) =>
        x.Place != y.Place ? $"the first model reads {Describe(x)}, the second {Describe(y)}"
        : x.Constant is { } cx && y.Constant is { } cy ? ConstantDifference(cx, cy) : null;

    private static string Describe(CanonicalInput input) =>
        input.Constant is { } c ? $"the constant '{c.Name}'"
        : input.Place switch
        {
            "" => "nothing",
            { } p when p.Contains(':') => $"output {p.Split(':')[1]} of operator {p.Split(':')[0]}",
            var p => p!,
        };

    private string? ConstantDifference(ConstantValue x, ConstantValue y)
    {
        if (x.Tensor is not { } tx || y.Tensor is not { } ty)
        {
            bool same = x.Tensor is null && y.Tensor is null && x.Dims.SequenceEqual(y.Dims) && x.Numbers!.AsSpan().SequenceEqual(y.Numbers);
            return same ? null : $"the constant '{x.Name}' differs";
        }

        if (ShapeDifference(tx, ty) is { } difference)
        {
            return difference;
        }

        if (!tx.HasBytes || !ty.HasBytes)
        {
            return SameFields(tx, ty) ? null : $"the constant '{x.Name}' differs, or cannot be compared";
        }

        const int Chunk = 1 << 24;
        for (long at = 0; at < tx.ByteLength; at += Chunk)
        {
            int length = (int)Math.Min(Chunk, tx.ByteLength - at);
            if (!tx.Span(at, length).SequenceEqual(ty.Span(at, length)))
            {
                return $"the constant '{x.Name}' differs, and it is not rescaled";
            }
        }

        return null;
    }

    // Strings and types of later versions: their fields must be the same bytes.
    private bool SameFields(OnnxTensor x, OnnxTensor y) => !x.IsExternal && !y.IsExternal
        && x.Layout.DataFields.Count == y.Layout.DataFields.Count && x.Layout.DataFields.Zip(y.Layout.DataFields).All(p => SameBytes(p.First, p.Second));

    private static string? ShapeDifference(OnnxTensor x, OnnxTensor y) =>
        x.DataType != y.DataType ? $"tensor '{x.Name}' is of type {x.DataType} in the first model and {y.DataType} in the second"
        : !x.Dims.SequenceEqual(y.Dims) ? $"tensor '{x.Name}' is [{string.Join(", ", x.Dims)}] in the first model and [{string.Join(", ", y.Dims)}] in the second"
        : null;

    private string? AttributeDifference(NodeLayout x, NodeLayout y)
    {
        var (ax, ay) = (a.Attributes(x), b.Attributes(y));
        foreach (string name in ax.Keys.Union(ay.Keys))
        {
            if (!ax.TryGetValue(name, out var fx) || !ay.TryGetValue(name, out var fy) || !SameBytes(fx, fy))
            {
                return name;
            }
        }

        return null;
    }

    private bool SameFields(WireField x, WireField y, int number)
    {
        var (fx, fy) = (Fields(a, x, number), Fields(b, y, number));
        return fx.Count == fy.Count && fx.Zip(fy).All(p => SameBytes(p.First, p.Second));
    }

    private static List<WireField> Fields(CanonicalGraph graph, WireField message, int number)
    {
        var result = new List<WireField>();
        var reader = new WireReader(graph.Analysis.Layout.File, message);
        while (reader.Read(out var field))
        {
            if (field.Is(number))
            {
                result.Add(field);
            }
        }

        return result;
    }

    private bool SameBytes(WireField x, WireField y) => x.ContentLength == y.ContentLength && x.ContentLength <= int.MaxValue
        && a.Analysis.Layout.File.Span(x.ContentStart, (int)x.ContentLength)
            .SequenceEqual(b.Analysis.Layout.File.Span(y.ContentStart, (int)y.ContentLength));

    // Before version 4 every initializer is an input, too: those are compared as the constants that they are.
    private static List<ValueInfoProto> Inputs(ModelLayout layout)
    {
        var constants = layout.IrVersion is > 0 and < 4 ? layout.Initializers.Select(t => t.Name).ToHashSet(StringComparer.Ordinal) : [];
        return [.. layout.Inputs.Where(i => !constants.Contains(i.Name))];
    }
}
