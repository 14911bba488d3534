using EquiNorm.Onnx.Files;

namespace EquiNorm.Onnx;

/// <summary>
/// High biases moved into the next layer (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, section 4.1.3).
/// A folded batch normalisation says how the pre-activation x of a ReLU channel is distributed: mean beta, deviation |gamma|. Where
/// c = max(0, beta - 3 |gamma|) is positive, relu(x) = relu(x - c) + c unless x &lt; c: c is taken from the bias, and W c added to the biases
/// of what reads the channel.
/// </summary>
/// <remarks>
/// The function is no longer the same: an activation whose x is below c comes out larger, by c - max(x, 0). If x is normal that happens to one in
/// 740. What is moved, and what is not and why, is listed here.
/// </remarks>
public sealed record BiasAbsorption
{
    internal BiasAbsorption(
        IReadOnlyList<AbsorbedLayer> layers, IReadOnlyList<UnabsorbedLayer> refused, IReadOnlyDictionary<NodeLayout, double[]> changes)
    {
        Layers = layers;
        Refused = refused;
        Changes = changes;
    }

    /// <summary>The layers with channels whose bias is moved, in graph order.</summary>
    public IReadOnlyList<AbsorbedLayer> Layers { get; }

    /// <summary>The layers that have such channels but cannot give their biases away.</summary>
    public IReadOnlyList<UnabsorbedLayer> Refused { get; }

    /// <summary>Channels whose bias is moved.</summary>
    public int Channels => Layers.Sum(l => l.Channels.Count);

    /// <summary>What is added to the bias of each linear operator, before rescaling, in units of its output.</summary>
    internal IReadOnlyDictionary<NodeLayout, double[]> Changes { get; }
}

/// <summary>A layer whose biases are moved.</summary>
/// <param name="Normalization">The batch normalisation.</param>
/// <param name="Channels">The channels.</param>
/// <param name="Readers">The operators whose biases take them.</param>
public sealed record AbsorbedLayer(string Normalization, IReadOnlyList<AbsorbedChannel> Channels, IReadOnlyList<string> Readers);

/// <summary>A channel whose bias is moved.</summary>
/// <param name="Channel">Its index.</param>
/// <param name="Amount">c, in units of the rescaled model.</param>
public readonly record struct AbsorbedChannel(int Channel, double Amount);

/// <summary>A layer with high biases that stay.</summary>
/// <param name="Normalization">The batch normalisation.</param>
/// <param name="Channels">Number of channels with a positive c.</param>
/// <param name="Reason">Why they stay.</param>
public sealed record UnabsorbedLayer(string Normalization, int Channels, string Reason);
