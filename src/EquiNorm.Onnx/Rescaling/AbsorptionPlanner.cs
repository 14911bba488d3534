using EquiNorm.Model;
using EquiNorm.Onnx.Analysis;
using EquiNorm.Onnx.Files;
using EquiNorm.Problem;

namespace EquiNorm.Onnx.Rescaling;

/// <summary>
/// Finds the biases that can be moved, and what each linear operator's bias gains: -c for the one that writes the channels, W c for those that
/// read them, W being the weight with its folded normalisation. All before rescaling: factors apply to the sums as to any bias.
/// </summary>
internal sealed class AbsorptionPlanner(GraphAnalysis analysis, NetworkTensors tensors, Scalings scalings)
{
    // Three deviations: Nagel et al., section 4.1.3.
    private const double Deviations = 3;

    private readonly Dictionary<NodeLayout, double[]> _changes = [];
    private readonly List<AbsorbedLayer> _layers = [];
    private readonly List<UnabsorbedLayer> _refused = [];

    /// <summary>Makes the plan.</summary>
    public BiasAbsorption Plan()
    {
        foreach (var fold in analysis.Folding.All)
        {
            // It was read when it was folded, and says the same again.
            var p = NormalizationParameters.Read(analysis, fold.Normalization, out _)!;
            var amounts = p.Beta.Zip(p.Gamma, (beta, gamma) => Math.Max(0, beta - Deviations * Math.Abs(gamma))).ToArray();
            int channels = amounts.Count(c => c > 0);
            if (channels == 0)
            {
                continue;
            }

            var readers = new List<NodeLayout>();
            if (Refusal(fold, readers) is { } reason)
            {
                _refused.Add(new UnabsorbedLayer(fold.Normalization.DisplayName, channels, reason));
                continue;
            }

            Move(fold, amounts, readers);
        }

        return new BiasAbsorption(_layers, _refused, _changes);
    }

    private string? Refusal(FoldedNormalization fold, List<NodeLayout> readers)
    {
        string result = fold.Normalization.Header.Output[0];
        if (analysis.Readers.OnlyReader(result)?.Node is not { Header: { OpType: "Relu", Domain: "" or "ai.onnx" } } relu)
        {
            return "a Relu is not its only reader";
        }

        if (new AbsorptionReaders(analysis).Find(relu.Header.Output[0], readers) is { } reason)
        {
            return reason;
        }

        var written = Channels(tensors.Network.Weight(fold.BiasName).Outputs);
        var other = readers.Find(r => !Channels(WeightOf(r).Inputs).AsSpan().SequenceEqual(written));
        return readers.Count == 0 ? "nothing reads it" : other is null ? null : $"{other.DisplayName} reads it in another shape";
    }

    private void Move(FoldedNormalization fold, double[] amounts, List<NodeLayout> readers)
    {
        var own = Change(fold.Linear, amounts.Length);
        for (int c = 0; c < amounts.Length; c++)
        {
            own[c] -= amounts[c];
        }

        foreach (var reader in readers)
        {
            AddProduct(reader, amounts, Change(reader, WeightOf(reader).Layout.Outputs));
        }

        var factors = scalings.FactorsOf(scalings.Network.Weight(fold.BiasName).Outputs);
        _layers.Add(new AbsorbedLayer(
            fold.Normalization.DisplayName,
            [.. amounts.Index().Where(a => a.Item > 0).Select(a => new AbsorbedChannel(a.Index, a.Item * factors[a.Index]))],
            [.. readers.Select(r => r.DisplayName)]));
    }

    // change[o] += scale[o] sum over i, k of W[o, i, k] amounts[i]
    private unsafe void AddProduct(NodeLayout reader, double[] amounts, double[] change)
    {
        var weight = WeightOf(reader);
        var (layout, memory) = (weight.Layout, tensors[weight.Index]);
        double alpha = reader.Header.OpType == "Gemm" ? reader.Header.Attribute.FirstOrDefault(a => a.Name == "alpha")?.F ?? 1 : 1;
        for (int o = 0; o < layout.Outputs; o++)
        {
            int group = o / layout.OutputsPerGroup;
            double scale = weight.OutputScale.IsEmpty ? alpha : alpha * weight.OutputScale.Span[o];
            double sum = 0;
            for (int i = 0; i < layout.InputsPerGroup; i++)
            {
                double amount = amounts[group * layout.InputsPerGroup + i];
                long at = layout.Offset + group * layout.GroupStride + o % layout.OutputsPerGroup * layout.OutputStride + i * layout.InputStride;
                for (int k = 0; amount > 0 && k < layout.Kernel; k++, at += layout.KernelStride)
                {
                    sum += amount * Element((byte*)memory.Address, memory.ElementType, at);
                }
            }

            change[o] += scale * sum;
        }
    }

    private static unsafe double Element(byte* start, ElementType type, long at) => type switch
    {
        ElementType.Float32 => ((float*)start)[at],
        ElementType.Float64 => ((double*)start)[at],
        ElementType.Float16 => (double)((Half*)start)[at],
        _ => BitConverter.UInt32BitsToSingle((uint)((ushort*)start)[at] << 16),
    };

    private double[] Change(NodeLayout node, int outputs)
    {
        if (!_changes.TryGetValue(node, out double[]? change))
        {
            _changes.Add(node, change = new double[outputs]);
        }

        return change;
    }

    private Weight WeightOf(NodeLayout reader) =>
        tensors.Network.Weight(analysis.Uses.All.First(u => u.Node == reader && u.Input == 1 && u.Role == UseRole.Declared).WeightName);

    private int[] Channels(ChannelMap map) => map.ToChannels(tensors.Network.Groups);
}
