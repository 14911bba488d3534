using EquiNorm.Model;
using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>Linear operators with a constant weight: Conv, ConvTranspose, Gemm, MatMul. Each makes new channels; a normalisation behind it is folded.</summary>
internal static class LinearRules
{
    /// <summary>A weight as an operator reads it.</summary>
    /// <param name="Constant">The weight.</param>
    /// <param name="Reader">The node that reads the stored tensor: the operator, or a Transpose in front of it.</param>
    /// <param name="Input">Index of the weight among its inputs.</param>
    /// <param name="Layout">Its layout.</param>
    /// <param name="Dim">Channel axis of the result, from the back.</param>
    /// <param name="BiasInput">Index of the bias; -1 if the operator has none.</param>
    /// <param name="BiasFactor">What the bias is multiplied by.</param>
    private sealed record Operand(ConstantValue Constant, Files.NodeLayout Reader, int Input, WeightLayout Layout, int Dim, int BiasInput, double BiasFactor);

    /// <summary>Convolution over any number of axes, with groups: W is [O, I / groups, kernel], transposed [I, O / groups, kernel].</summary>
    public static string? Convolution(NodeContext node)
    {
        if (Weight(node, out string reason) is not { IsTransposed: false, Constant: var w })
        {
            return reason;
        }

        long groups = node.Int("group", 1);
        var dims = w.Dims;
        if (dims.Length < 3 || groups < 1 || dims[0] % groups != 0 || !Fits(dims, groups))
        {
            return "the shape of its weight does not fit its groups";
        }

        if (node.Input(0)?.Shape is { } shape && shape.Length != dims.Length)
        {
            return $"its weight has {dims.Length} axes, its input {shape.Length}";
        }

        long kernel = dims[2..].Aggregate(1L, (a, b) => a * b);
        var (first, second) = ((int)dims[0], (int)(dims[1] * groups));
        var layout = node.Operator == "ConvTranspose"
            ? WeightLayout.TransposedConvolution(second, first, (int)kernel, (int)groups)
            : WeightLayout.Convolution(first, second, (int)kernel, (int)groups);
        return Channels(node, layout.Inputs, 1 - dims.Length, false) is { } x
            ? Define(node, new Operand(w, node.Node, 1, layout, 1 - dims.Length, 2, 1), x)
            : "the channels of its input are not axis 1";
    }

    /// <summary>Gemm: alpha A B + beta C with B constant, [I, O] or with transB [O, I].</summary>
    public static string? Gemm(NodeContext node)
    {
        if (Weight(node, out string reason) is not { Constant: var w } stored)
        {
            return reason;
        }

        if (node.Int("transA", 0) != 0 || w.Dims.Length != 2 || !Fits(w.Dims, 1))
        {
            return "it transposes its activation, or its weight is no matrix";
        }

        bool outputsFirst = node.Int("transB", 0) != 0 != stored.IsTransposed;
        int features = (int)w.Dims[outputsFirst ? 1 : 0], outputs = (int)w.Dims[outputsFirst ? 0 : 1];
        return Channels(node, features, -1, true) is { } x
            ? Define(node, new Operand(w, stored.Reader, stored.Input, Dense(outputs, x.Length, features, outputsFirst), -1, 2, node.Float("beta", 1)), x)
            : "the channels of its input are not the last axis";
    }

    /// <summary>MatMul with a constant matrix on the right, [I, O], or of activations.</summary>
    public static string? MatMul(NodeContext node)
    {
        bool isStored = node.Input(1) is ConstantValue or PlainValue { Transposed: not null };
        if (node.Inputs.Any(i => i is ScaledValue) && (!isStored || node.Input(1)!.Shape is not { Length: 2 }))
        {
            return ContractionRules.Apply(node);
        }

        if (node.Input(0) is ConstantValue)
        {
            return "its left operand is the constant";
        }

        if (Weight(node, out string reason) is not { Constant: var w } stored)
        {
            return reason;
        }

        if (node.Input(0) is SplitValue)
        {
            return SplitRules.OnOneAxis(node, MatMul, -1) is null ? null : ContractionRules.Apply(node);
        }

        if (w.Dims.Length != 2 || !Fits(w.Dims, 1))
        {
            return "its weight is no matrix";
        }

        if (node.Channels(0) is { Dim: < -1 } rows)
        {
            node.Set(0, rows with { Shape = null }); // it mixes another axis; the channels pass
            return null;
        }

        int features = (int)w.Dims[stored.IsTransposed ? 1 : 0], outputs = (int)w.Dims[stored.IsTransposed ? 0 : 1];
        return Channels(node, features, -1, true) is { } x
            ? Define(node, new Operand(w, stored.Reader, stored.Input, Dense(outputs, x.Length, features, stored.IsTransposed), -1, -1, 1), x)
            : "the channels of its input are not the last axis";
    }

    private static WeightLayout Dense(int outputs, int channels, int features, bool outputsFirst)
    {
        int positions = channels == 0 ? 1 : features / channels;
        return outputsFirst
            ? WeightLayout.DenseAfterFlatten(outputs, channels, positions)
            : WeightLayout.DenseAfterFlattenTransposed(outputs, channels, positions);
    }

    // Input 1 as it is stored, by itself or behind a Transpose.
    private static (ConstantValue Constant, Files.NodeLayout Reader, int Input, bool IsTransposed)? Weight(NodeContext node, out string reason)
    {
        var transposed = (node.Input(1) as PlainValue)?.Transposed;
        var constant = transposed?.Constant ?? node.Constant(1);
        reason = constant is null ? "its weight is not stored in the model"
            : constant.Tensor is not { HasBytes: true } t || t.DataType.ElementType() is null ? "its weight is not of a floating-point type" : "";
        return reason.Length > 0 ? null : transposed is null ? (constant!, node.Node, 1, false) : (constant!, transposed.Node, 0, true);
    }

    private static bool Fits(long[] dims, long groups) =>
        Array.TrueForAll(dims, d => d is > 0 and <= int.MaxValue) && groups <= int.MaxValue && dims[1] * groups <= int.MaxValue
        && dims[2..].Aggregate(1.0, (a, b) => a * b) <= int.MaxValue;

    // The channels that the weight reads, features = channels * positions of them; null where they are in another place.
    private static ChannelAxis? Channels(NodeContext node, int features, int dim, bool positionsAllowed)
    {
        switch (node.Input(0))
        {
            case PlainValue plain:
                return node.Analysis.Pinned(plain, features);
            case ChannelValue x when x.Dim == dim && x.Axis.Length > 0 && features % x.Axis.Length == 0:
                int positions = features / x.Axis.Length;
                return (x.Positions ?? positions) != positions
                    ? throw new NetworkException($"its weight reads {features} features, its input has {x.Axis.Length} channels of {x.Positions} positions.")
                    : positionsAllowed ? x.Axis : RangeRules.Features(node, x with { Positions = positions });
            case ChannelValue x when x.Dim == dim:
                throw new NetworkException($"its weight reads {features} features, its input has {x.Axis.Length} channels.");
            default:
                return null;
        }
    }

    private static string? Define(NodeContext node, Operand w, ChannelAxis input)
    {
        var analysis = node.Analysis;
        var bias = w.BiasInput >= 0 ? node.Input(w.BiasInput) : null;
        int outputs = w.Layout.Outputs;
        bool isVector = bias is ConstantValue { Tensor: { } b } && b.DataType.ElementType() is not null
            && b.ElementCount == outputs && (outputs == 1 || b.Dims[^1] == outputs);

        // A normalisation acts on axis 1, which need not be the channel axis of a MatMul; before opset 7 an Add does not broadcast.
        bool onAxis1 = w.Dim < -1 || node.Operator == "Gemm" || (node.OutputShapes[0] is { Length: 2 } && node.Opset >= 7);
        bool canFold = onAxis1 && w.Reader == node.Node && (bias is null || isVector);
        var values = isVector ? ((ConstantValue)bias!).Reals(outputs)!.Select(v => v * w.BiasFactor).ToArray() : null;
        var fold = canFold ? analysis.Folding.TryFold(node, w.Constant.Tensor!, values, w.BiasInput, w.BiasFactor, outputs) : null;
        var axis = DeclareWeight(node, w, input, fold);
        var result = new ChannelValue(axis, w.Dim, 1);
        if (fold is not null)
        {
            DefineFolded(node, w, fold, result);
            return null;
        }

        node.Set(0, result);
        if (isVector)
        {
            Biases.Declare(node, (ConstantValue)bias!, w.BiasInput, axis, WeightLayout.Dense(outputs, 1));
        }
        else if (bias is ChannelValue c && c.Dim == w.Dim && c.Axis.Length == outputs && node.Operator == "Gemm")
        {
            analysis.Builder.Tie(axis, c.Axis);
        }
        else if (bias is not null)
        {
            analysis.Builder.Pin(axis, $"{node.Node.DisplayName}: its bias is not one stored number per output");
            if (bias is ChannelValue other)
            {
                analysis.Builder.Pin(other.Axis, $"{node.Node.DisplayName}: read as a bias");
            }
        }

        return null;
    }

    private static ChannelAxis DeclareWeight(NodeContext node, Operand w, ChannelAxis input, FoldedNormalization? fold)
    {
        var analysis = node.Analysis;
        var tensor = w.Constant.Tensor!;
        bool tie = analysis.Options.SharedWeights == SharedWeightHandling.Tie;
        string name = tie ? analysis.Uses.TiedName(w.Constant.Name) : analysis.Uses.UniqueName(w.Constant.Name, node.Node);
        var axis = analysis.Builder.Weight(
            new WeightDeclaration(name, tensor.DataType.ElementType()!.Value, w.Layout)
            {
                OutputScale = fold?.Scale,
                OutputName = (fold?.Normalization ?? node.Node).Header.Output[0],
            },
            input);
        analysis.Uses.Add(new TensorUse(tensor, w.Reader, w.Input, name, UseRole.Declared));
        if (tie)
        {
            analysis.Uses.Tie(tensor, axis, input);
        }

        return axis;
    }

    private static void DefineFolded(NodeContext node, Operand w, FoldedNormalization fold, ChannelValue result)
    {
        var analysis = node.Analysis;
        if (w.BiasInput >= 0)
        {
            analysis.Uses.Replace(node.Node, w.BiasInput);
        }

        fold.BiasName = analysis.Uses.UniqueName($"{fold.Normalization.Header.Output[0]}.bias", fold.Normalization);
        analysis.Builder.Bias(new WeightDeclaration(fold.BiasName, ElementType.Float64, WeightLayout.Dense(fold.Bias.Length, 1)), result.Axis);
        analysis.Define(fold.Normalization, 0, result with { Shape = node.OutputShapes[0] });
    }
}
