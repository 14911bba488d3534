using System.Runtime.InteropServices;
using EquiNorm.Model;
using EquiNorm.Onnx.Analysis;
using EquiNorm.Onnx.Files;
using EquiNorm.Onnx.Schema;
using EquiNorm.Problem;

namespace EquiNorm.Onnx.Rescaling;

/// <summary>Turns factors into edits of the model: folded normalisations, rescaled tensors, copies of tensors whose uses differ.</summary>
internal sealed class ModelRescaler
{
    // Of Conv and of Gemm.
    private const int BiasInput = 2;

    private readonly GraphAnalysis _analysis;
    private readonly Scalings _scalings;
    private readonly HashSet<string> _taken;
    private readonly Dictionary<(NodeLayout Node, int Input), string> _renamed = [];
    private readonly HashSet<NodeLayout> _droppedNodes = [];
    private readonly List<RescaleTransform> _transforms = [];
    private readonly HashSet<string> _extraReads = new(StringComparer.Ordinal);

    private readonly IReadOnlyDictionary<NodeLayout, double[]> _changes;

    private ModelRescaler(GraphAnalysis analysis, Scalings scalings, IReadOnlyDictionary<NodeLayout, double[]> changes)
    {
        _analysis = analysis;
        _scalings = scalings;
        _changes = changes;
        Edits = new ModelEdits(_analysis.Layout);
        _taken = [.. _analysis.Layout.Initializers.Select(t => t.Name), .. _analysis.Layout.Inputs.Select(i => i.Name),
            .. _analysis.Layout.Nodes.SelectMany(n => n.Header.Output), .. _analysis.Layout.Nodes.SelectMany(n => n.OuterReferences)];
    }

    /// <summary>The edits that apply the factors.</summary>
    public ModelEdits Edits { get; }

    /// <summary>Tensors added because the uses of a stored tensor differ.</summary>
    public int Copies { get; private set; }

    /// <summary>Elements that became zero, as far as the edits have been carried out.</summary>
    public long Underflowed => _transforms.Sum(t => t.Report.Underflowed);

    /// <summary>Turns factors into edits.</summary>
    /// <param name="analysis">The model.</param>
    /// <param name="scalings">The factors.</param>
    /// <param name="changes">What is added to the biases of linear operators, before rescaling.</param>
    public static ModelRescaler Rescale(GraphAnalysis analysis, Scalings scalings, IReadOnlyDictionary<NodeLayout, double[]> changes)
    {
        var rescaler = new ModelRescaler(analysis, scalings, changes);
        foreach (var fold in analysis.Folding.All)
        {
            rescaler.Fold(fold);
        }

        var folded = analysis.Folding.All.Select(f => f.Linear).ToHashSet();
        var changed = changes.Keys.Where(n => !folded.Contains(n)).ToHashSet();
        foreach (var node in analysis.Layout.Nodes.Where(changed.Contains))
        {
            rescaler.ChangeBias(node, changes[node]);
        }

        foreach (var uses in analysis.Uses.All.Where(u => u.Input != BiasInput || !changed.Contains(u.Node)).GroupBy(u => u.Tensor))
        {
            rescaler.RescaleTensor(uses.Key, [.. uses]);
        }

        rescaler.DropUnread();
        return rescaler;
    }

    private void Fold(FoldedNormalization fold)
    {
        var output = _scalings.FactorsOf(_scalings.Network.Weight(fold.BiasName).Outputs);
        double[]? change = _changes.GetValueOrDefault(fold.Linear);
        var values = fold.Bias.Select((b, c) => (b + (change?[c] ?? 0)) * output[c] / fold.BiasFactor).ToArray();
        string result = fold.Normalization.Header.Output[0];
        string bias = NewName(result + ".bias");
        Edits.Add(bias, fold.BiasDims, fold.DataType, new LiteralPiece(Encode(bias, values, fold.DataType)));
        if (fold.BiasInput < 0)
        {
            var add = new NodeProto { OpType = "Add", Name = fold.Normalization.Header.Name };
            add.Input.Add([fold.Linear.Header.Output[0], bias]);
            add.Output.Add(result);
            Edits.Replace(fold.Normalization, add);
            _extraReads.Add(fold.Linear.Header.Output[0]);
        }
        else
        {
            var last = fold.Add ?? fold.Linear;
            Rename(last, fold.BiasInput, bias);
            Edits.DropValueInfo(last.Header.Output[0]);
            Edits.RenameOutput(last, 0, result);
            Edits.Drop(fold.Normalization);
        }

        _droppedNodes.Add(fold.Normalization);
    }

    // A bias of the operator's own, or one that it did not have: the new one takes its place.
    private void ChangeBias(NodeLayout node, double[] change)
    {
        var use = _analysis.Uses.All.First(u => u.Node == node && u.Input == 1 && u.Role == UseRole.Declared);
        double factor = node.Header.OpType == "Gemm" ? node.Header.Attribute.FirstOrDefault(a => a.Name == "beta")?.F ?? 1 : 1;
        var old = node.Header.Input.Count > BiasInput ? _analysis.Value(node.Header.Input[BiasInput]) as ConstantValue : null;
        double[]? before = old?.Reals(change.Length);
        double[] output = _scalings.FactorsOf(_scalings.Network.Weight(use.WeightName).Outputs);
        var values = change.Select((c, o) => ((before?[o] ?? 0) + c / factor) * output[o]).ToArray();
        string bias = NewName(node.Header.Output[0] + ".bias");
        Edits.Add(bias, old?.Dims ?? [change.Length], use.Tensor.DataType, new LiteralPiece(Encode(bias, values, use.Tensor.DataType)));
        Rename(node, BiasInput, bias);
    }

    private void RescaleTensor(OnnxTensor tensor, List<TensorUse> uses)
    {
        var groups = new List<(RescaleTransform Transform, List<TensorUse> Uses)>();
        foreach (var use in uses)
        {
            var transform = Transform(use);
            int same = groups.FindIndex(g => g.Transform.SameAs(transform));
            if (same < 0)
            {
                same = groups.Count;
                groups.Add((transform, []));
            }

            groups[same].Uses.Add(use);
        }

        // One group keeps the tensor: the one that changes nothing if there is one, or must be one; else the first.
        int keeps = groups.FindIndex(g => g.Transform.IsIdentity);
        keeps = keeps < 0 && !_analysis.Uses.FixedBecause.ContainsKey(tensor) ? 0 : keeps;
        for (int g = 0; g < groups.Count; g++)
        {
            var (transform, users) = groups[g];
            _transforms.Add(transform);
            if (g != keeps)
            {
                Copies++;
                string name = NewName($"{users[0].WeightName}.rescaled");
                Edits.Add(name, tensor.Dims, tensor.DataType, new TensorPiece(tensor, transform.Apply));
                users.ForEach(u => Rename(u.Node, u.Input, name));
            }
            else if (!transform.IsIdentity)
            {
                Edits.Transform(tensor, transform.Apply);
            }
        }
    }

    private RescaleTransform Transform(TensorUse use)
    {
        var weight = _scalings.Network.Weight(use.WeightName);
        if (use.Role == UseRole.Mean)
        {
            int channels = weight.Layout.Inputs;
            var layout = WeightLayout.DenseAfterFlatten(channels, 1, (int)(use.Tensor.ElementCount / channels));
            return new RescaleTransform(use.Tensor.Name, use.Tensor.DataType.ElementType()!.Value, layout, _scalings.FactorsOf(weight.Inputs), [1]);
        }

        var (output, input) = _scalings.FactorsOf(weight);
        return new RescaleTransform(weight.Name, weight.ElementType, weight.Layout, output, input);
    }

    // What only the folded normalisations read goes; what nothing read in the source stays.
    private void DropUnread()
    {
        var layout = _analysis.Layout;
        var live = new HashSet<string>(_extraReads, StringComparer.Ordinal);
        live.UnionWith(layout.Outputs.Select(o => o.Name));
        live.UnionWith(layout.Inputs.Select(i => i.Name));
        foreach (var node in layout.Nodes.AsEnumerable().Reverse())
        {
            bool wasRead = node.Header.Output.Any(o => _analysis.Readers.Of(o).Count > 0);
            if (_analysis.IsConstant(node) && wasRead && !node.Header.Output.Any(live.Contains))
            {
                Edits.Drop(node);
                _droppedNodes.Add(node);
            }

            if (!_droppedNodes.Contains(node))
            {
                live.UnionWith(node.Header.Input.Select((name, i) => _renamed.GetValueOrDefault((node, i), name)));
                live.UnionWith(node.OuterReferences);
            }
        }

        foreach (var tensor in layout.Initializers.Where(t => !live.Contains(t.Name) && _analysis.Readers.Of(t.Name).Count > 0))
        {
            Edits.Drop(tensor);
        }
    }

    private void Rename(NodeLayout node, int input, string name)
    {
        _renamed.Add((node, input), name);
        Edits.RenameInput(node, input, name);
    }

    private string NewName(string name)
    {
        string result = name;
        for (int i = 2; !_taken.Add(result); i++)
        {
            result = $"{name}.{i}";
        }

        return result;
    }

    private static byte[] Encode(string name, double[] values, OnnxDataType type)
    {
        var bytes = type switch
        {
            OnnxDataType.Double => MemoryMarshal.AsBytes(values.AsSpan()).ToArray(),
            OnnxDataType.Float => MemoryMarshal.AsBytes(Array.ConvertAll(values, v => (float)v).AsSpan()).ToArray(),
            OnnxDataType.Float16 => MemoryMarshal.AsBytes(Array.ConvertAll(values, v => (Half)v).AsSpan()).ToArray(),
            _ => MemoryMarshal.AsBytes(Array.ConvertAll(values, BFloat16.Round).AsSpan()).ToArray(),
        };
        var identity = new RescaleTransform(name, type.ElementType()!.Value, WeightLayout.Dense(values.Length, 1), [.. values.Select(_ => 1d)], [1]);
        identity.Apply(0, bytes); // refuses what is not finite
        return bytes;
    }
}
