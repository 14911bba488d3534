using EquiNorm.Model;
using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>
/// Batch normalisation that is not folded: y = gamma (x - mean) / sqrt(variance + epsilon) + beta is a diagonal weight between the
/// channels before and behind it: gamma d_out / d_in, mean d_in, beta d_out, variance untouched. In training mean and variance are those of
/// the batch and follow d_in, so that it would vanish: for a model that will be trained d_in is 1.
/// </summary>
internal static class NormalizationRules
{
    /// <summary>BatchNormalization in inference; channels are axis 1.</summary>
    public static string? BatchNormalization(NodeContext node)
    {
        if (NormalizationParameters.Read(node.Analysis, node.Node, out string reason) is not { } p)
        {
            return reason;
        }

        int features = p.Gamma.Length;
        if (features == 0 || node.Inputs.Skip(1).Any(i => i is not ConstantValue { Tensor: not null })
            || node.Input(0) is not { Shape: { Length: >= 2 } shape } x)
        {
            return "the place of its channels is not known";
        }

        var (input, positions) = x switch
        {
            PlainValue plain => (node.Analysis.Pinned(plain, features), 1),
            ChannelValue { FrontDim: 1 } c when c.Axis.Length > 0 && features % c.Axis.Length == 0 => (c.Axis, features / c.Axis.Length),
            _ => (null, 0),
        };
        if (input is null || (x is ChannelValue { Positions: { } known } && known != positions))
        {
            return "it does not normalise the channels";
        }

        Declare(node, input, positions, 1 - shape.Length);
        if (node.Analysis.Options.Normalization == NormalizationHandling.Scale)
        {
            node.Analysis.Builder.Pin(input, $"{node.Node.DisplayName}: {OnnxNetwork.PinnedInTraining}");
            node.Analysis.ScaledNormalizations.Add(node.Node.DisplayName);
        }

        return null;
    }

    private static void Declare(NodeContext node, ChannelAxis input, int positions, int dim)
    {
        var uses = node.Analysis.Uses;
        var gamma = node.Constant(1)!;
        var mean = node.Constant(3)!;
        string name = uses.UniqueName(gamma.Name, node.Node);
        int features = input.Length * positions;
        var layout = WeightLayout.Convolution(features, input.Length, 1, input.Length);
        var output = node.Analysis.Builder.Weight(
            new WeightDeclaration(name, gamma.Tensor!.DataType.ElementType()!.Value, layout) { OutputName = node.Node.Header.Output[0] }, input);
        uses.Add(new TensorUse(gamma.Tensor, node.Node, 1, name, UseRole.Declared));
        uses.Add(new TensorUse(mean.Tensor!, node.Node, 3, name, UseRole.Mean));
        Biases.Declare(node, node.Constant(2)!, 2, output, WeightLayout.Dense(features, 1));
        node.Set(0, new ChannelValue(output, dim, 1));
    }
}
