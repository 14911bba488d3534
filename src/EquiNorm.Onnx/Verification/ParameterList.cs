using EquiNorm.Files.Verification;
using EquiNorm.Model;
using EquiNorm.Onnx.Analysis;
using EquiNorm.Onnx.Files;

namespace EquiNorm.Onnx.Verification;

/// <summary>
/// Pairs the tensors of two models with equal graphs, after folding: scale = gamma / sqrt(variance + epsilon), weight * scale,
/// (bias - mean) * scale + beta. Folds by itself, so that the folding of the rescaler is checked, too.
/// </summary>
internal sealed class ParameterList
{
    private readonly CanonicalGraph _a;
    private readonly CanonicalGraph _b;
    private readonly Network _network;
    private readonly List<Parameter> _parameters = [];

    private ParameterList(CanonicalGraph a, CanonicalGraph b, Network network)
    {
        _a = a;
        _b = b;
        _network = network;
    }

    /// <summary>The pairs, in graph order. Channel <see cref="Network.ChannelCount"/> stands for the constant one that biases read.</summary>
    /// <param name="a">First model.</param>
    /// <param name="b">Second model, without a difference to the first.</param>
    /// <param name="network">Network of the first model.</param>
    public static List<Parameter> Pair(CanonicalGraph a, CanonicalGraph b, Network network)
    {
        var list = new ParameterList(a, b, network);
        for (int n = 0; n < a.Nodes.Count; n++)
        {
            if (a.Nodes[n].Weight is not null)
            {
                list.AddLinear(a.Nodes[n], b.Nodes[n]);
            }
            else
            {
                list.AddOther(a.Nodes[n], b.Nodes[n]);
            }
        }

        return list._parameters;
    }

    private void AddLinear(CanonicalNode x, CanonicalNode y)
    {
        var use = x.Weight!;
        var weight = _network.Weight(use.WeightName);
        int outputs = (weight.IsReversed ? weight.Layout.Reversed() : weight.Layout).Outputs;
        var (pa, pb) = (Normalization(_a, x), Normalization(_b, y));
        var other = y.Inputs[1].Constant!.Tensor!;
        _parameters.Add(new Parameter(
            use.WeightName, Evidence.Weight, Effective(use.Tensor, pa?.Scale), Effective(other, pb?.Scale),
            weight.Layout, weight.Outputs.ToChannels(_network.Groups), weight.Inputs.ToChannels(_network.Groups)));
        if (x.Bias is null && y.Bias is null && pa is null && pb is null)
        {
            return;
        }

        if (weight.IsReversed && x.Bias is { } place && _a.Use(place.Node, place.Input) is { } own && BiasTensor(_b, y) is { } found)
        {
            AddUse(own, found);
            return;
        }

        var typeA = BiasTensor(_a, x)?.DataType.ElementType() ?? weight.ElementType;
        var typeB = BiasTensor(_b, y)?.DataType.ElementType() ?? weight.ElementType;
        string name = x.Normalization is { } n ? $"bias of {n.DisplayName}" : BiasTensor(_a, x)?.Name is { Length: > 0 } given ? given : $"bias of {x.Node.DisplayName}";
        _parameters.Add(new Parameter(
            name, Evidence.Bias, Bias(_a, x, pa, outputs, typeA), Bias(_b, y, pb, outputs, typeB),
            weight.IsReversed ? WeightLayout.Dense(1, outputs) : WeightLayout.Dense(outputs, 1),
            weight.IsReversed ? [_network.ChannelCount] : weight.Outputs.ToChannels(_network.Groups),
            weight.IsReversed ? weight.Inputs.ToChannels(_network.Groups) : [_network.ChannelCount]));
    }

    private void AddOther(CanonicalNode x, CanonicalNode y)
    {
        for (int i = 0; i < x.Inputs.Count; i++)
        {
            if (_a.Use(x.Node, i) is { } use)
            {
                AddUse(use, y.Inputs[i].Constant!.Tensor!);
            }
        }
    }

    private void AddUse(TensorUse use, OnnxTensor other)
    {
        var weight = _network.Weight(use.WeightName);
        var (outputs, inputs) = (weight.Outputs.ToChannels(_network.Groups), weight.Inputs.ToChannels(_network.Groups));
        var layout = weight.Layout;
        bool isWeight = use.Role == UseRole.Declared && weight.Role == WeightRole.Weight;
        if (use.Role == UseRole.Mean)
        {
            // A bias of what the normalisation reads.
            int channels = weight.IsReversed ? weight.Layout.Outputs : weight.Layout.Inputs;
            layout = WeightLayout.DenseAfterFlatten(channels, 1, (int)(use.Tensor.ElementCount / channels));
            layout = weight.IsReversed ? layout.Reversed() : layout;
            int[] one = [_network.ChannelCount];
            (outputs, inputs) = weight.IsReversed ? (one, outputs) : (inputs, one);
        }
        else if (!isWeight && !weight.IsReversed)
        {
            inputs = [_network.ChannelCount];
        }

        _parameters.Add(new Parameter(
            use.Tensor.Name.Length > 0 ? use.Tensor.Name : use.WeightName, isWeight ? Evidence.Weight : Evidence.Bias,
            Effective(use.Tensor, null), Effective(other, null), layout, outputs, inputs));
    }

    private static EffectiveTensor Effective(OnnxTensor tensor, double[]? scale) => new(tensor, tensor.DataType.ElementType()!.Value, scale);

    private static OnnxTensor? BiasTensor(CanonicalGraph graph, CanonicalNode node) =>
        node.Bias is { } b ? (graph.Analysis.Value(b.Node.Header.Input[b.Input]) as ConstantValue)?.Tensor : null;

    private static (double[] Scale, NormalizationParameters Parameters)? Normalization(CanonicalGraph graph, CanonicalNode node) =>
        node.Normalization is not null && NormalizationParameters.Read(graph.Analysis, node.Normalization, out _) is { } p
            ? ([.. p.Gamma.Select((g, c) => g / Math.Sqrt(p.Variance[c] + p.Epsilon))], p) : null;

    private static EffectiveTensor Bias(
        CanonicalGraph graph, CanonicalNode node, (double[] Scale, NormalizationParameters Parameters)? normalization, int outputs, ElementType type)
    {
        double factor = node.Node.Header.OpType == "Gemm" ? node.Node.Header.Attribute.FirstOrDefault(a => a.Name == "beta")?.F ?? 1 : 1;
        double[] own = BiasTensor(graph, node)?.Reals() ?? new double[outputs];
        var values = new double[outputs];
        var magnitude = new double[outputs];
        for (int c = 0; c < outputs; c++)
        {
            double b = own[c] * factor;
            values[c] = b;
            magnitude[c] = Math.Abs(b);
            if (normalization is ({ } scale, { } p))
            {
                values[c] = (b - p.Mean[c]) * scale[c] + p.Beta[c];
                magnitude[c] = Math.Max(Math.Abs(p.Beta[c]), Math.Abs(scale[c]) * Math.Max(Math.Abs(b), Math.Abs(p.Mean[c])));
            }
        }

        return new EffectiveTensor(values, magnitude, type);
    }
}
