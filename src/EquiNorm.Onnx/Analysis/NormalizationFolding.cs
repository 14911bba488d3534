using EquiNorm.Onnx.Files;

namespace EquiNorm.Onnx.Analysis;

/// <summary>A batch normalisation folded into the linear operator in front of it.</summary>
/// <param name="Linear">Conv, Gemm or MatMul.</param>
/// <param name="Add">The bias addition between them, or null.</param>
/// <param name="Normalization">The BatchNormalization node, which is dropped.</param>
/// <param name="Scale">gamma / sqrt(variance + epsilon), one per output channel.</param>
/// <param name="Bias">(old bias - mean) * scale + beta, one per output channel: before rescaling.</param>
internal sealed record FoldedNormalization(NodeLayout Linear, NodeLayout? Add, NodeLayout Normalization, double[] Scale, double[] Bias)
{
    /// <summary>Name of the bias in the network; the network's channels are the linear operator's output.</summary>
    public string BiasName { get; set; } = "";

    /// <summary>Element type of the linear operator's weight, which the new bias gets.</summary>
    public OnnxDataType DataType { get; init; }

    /// <summary>What the linear operator multiplies its bias by (Gemm's beta).</summary>
    public double BiasFactor { get; init; } = 1;

    /// <summary>Extents of the new bias.</summary>
    public long[] BiasDims { get; init; } = [];

    /// <summary>Index of the bias among the inputs of the node that adds it; -1: an Add takes the normalisation's place.</summary>
    public int BiasInput { get; init; }
}

/// <summary>The parameters of a BatchNormalization in inference.</summary>
internal sealed record NormalizationParameters(double[] Gamma, double[] Beta, double[] Mean, double[] Variance, double Epsilon)
{
    /// <summary>Reads them; null with a reason if the node trains, or its parameters are not constants.</summary>
    public static NormalizationParameters? Read(GraphAnalysis analysis, NodeLayout node, out string reason)
    {
        var probe = new NodeContext(analysis, node, [.. node.Header.Input.Select(analysis.Value)], []);
        reason = Refusal(probe) ?? "";
        if (reason.Length > 0)
        {
            return null;
        }

        var read = Enumerable.Range(1, 4).Select(i => probe.Constant(i)?.Reals(int.MaxValue)).ToArray();
        double epsilon = probe.Float("epsilon", 1e-5f);
        if (read is not [{ } gamma, { } beta, { } mean, { } variance] || read.Any(r => r!.Length != gamma.Length))
        {
            reason = "its parameters are not constant vectors of one length";
            return null;
        }

        if (Array.Exists(variance, v => !(v + epsilon > 0) || !double.IsFinite(v)))
        {
            reason = "a variance is not positive";
            return null;
        }

        return new NormalizationParameters(gamma, beta, mean, variance, epsilon);
    }

    private static string? Refusal(NodeContext node) =>
        node.Opset < 7 && node.Int("is_test", 0) == 0 ? "it is in training mode (is_test = 0)"
        : node.Opset < 9 && node.Int("spatial", 1) == 0 ? "it normalises every position by itself (spatial = 0)"
        : node.Int("training_mode", 0) != 0 || node.HasOutput(1) ? "it is in training mode"
        : node.Inputs.Count != 5 ? "it does not have five inputs" : null;
}

/// <summary>Finds the normalisations that can be folded: inference, constant parameters, and the only reader of a linear operator's result.</summary>
internal sealed class NormalizationFolding(GraphAnalysis analysis)
{
    private readonly HashSet<NodeLayout> _consumed = [];
    private readonly List<FoldedNormalization> _all = [];

    /// <summary>What was folded, in graph order.</summary>
    public IReadOnlyList<FoldedNormalization> All => _all;

    /// <summary>Whether the node has become part of a linear operator.</summary>
    public bool IsFolded(NodeLayout node) => _consumed.Contains(node);

    /// <summary>Folds what follows a linear operator; null if nothing can be folded.</summary>
    /// <param name="node">The operator.</param>
    /// <param name="weight">Its weight.</param>
    /// <param name="bias">Its bias per channel, already multiplied by <paramref name="biasFactor"/>; null if it has none.</param>
    /// <param name="biasInput">Index of its bias among its inputs; -1 if it cannot have one.</param>
    /// <param name="biasFactor">What it multiplies its bias by.</param>
    /// <param name="channels">Output channels.</param>
    public FoldedNormalization? TryFold(NodeContext node, OnnxTensor weight, double[]? bias, int biasInput, double biasFactor, int channels)
    {
        if (analysis.Options.Normalization != NormalizationHandling.Fold || biasFactor == 0
            || (analysis.Uses.Reads(weight) != 1 && analysis.Options.SharedWeights == SharedWeightHandling.Tie)
            || analysis.Readers.OnlyReader(node.Node.Header.Output[0]) is not { } reader)
        {
            return null;
        }

        var (add, addInput, normalization) = biasInput < 0 && bias is null ? ThroughAdd(reader, channels, out bias) : (null, 0, reader.Node);
        if (normalization is null || Parameters(normalization, add?.Header.Output[0] ?? node.Node.Header.Output[0], channels) is not { } p)
        {
            return null;
        }

        var scale = new double[channels];
        var folded = new double[channels];
        for (int c = 0; c < channels; c++)
        {
            scale[c] = p.Gamma[c] / Math.Sqrt(p.Variance[c] + p.Epsilon);
            folded[c] = ((bias?[c] ?? 0) - p.Mean[c]) * scale[c] + p.Beta[c];
        }

        if (Array.Exists(scale, s => !double.IsFinite(s)) || Array.Exists(folded, b => !double.IsFinite(b)))
        {
            return null;
        }

        var result = new FoldedNormalization(node.Node, add, normalization, scale, folded)
        {
            DataType = weight.DataType,
            BiasFactor = biasFactor,
            BiasDims = [channels],
            BiasInput = add is null ? biasInput : addInput,
        };
        _consumed.Add(normalization);
        if (add is not null)
        {
            _consumed.Add(add);
        }

        _all.Add(result);
        return result;
    }

    private NormalizationParameters? Parameters(NodeLayout node, string input, int channels) =>
        node.Header.OpType == "BatchNormalization" && node.Header.Domain is "" or "ai.onnx"
        && node.Header.Output.Count > 0 && node.Header.Input.Count > 0 && node.Header.Input[0] == input
        && NormalizationParameters.Read(analysis, node, out _) is { } p && p.Gamma.Length == channels ? p : null;

    // MatMul, then Add of a constant vector, then the normalisation: the vector is the operator's bias.
    private (NodeLayout? Add, int Input, NodeLayout? Normalization) ThroughAdd((NodeLayout Node, int Input) reader, int channels, out double[]? bias)
    {
        bias = null;
        var node = reader.Node;
        if (node.Header.OpType != "Add" || node.Header.Input.Count != 2 || analysis.Opset < 7)
        {
            return (null, 0, node);
        }

        int other = 1 - reader.Input;
        if (node.Header.Output.Count == 0 || analysis.Value(node.Header.Input[other]) is not ConstantValue c || c.Dims.Length != 1 || c.Dims[0] != channels
            || c.Reals(channels) is not { } values || analysis.Readers.OnlyReader(node.Header.Output[0]) is not { } next)
        {
            return (null, 0, null);
        }

        bias = values;
        return (node, other, next.Node);
    }
}
