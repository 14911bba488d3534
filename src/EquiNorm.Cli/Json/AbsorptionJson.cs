using EquiNorm.Onnx;

namespace EquiNorm.Cli.Json;

// What --json says of biases that were moved into the next layer.

internal sealed record AbsorbedChannelDocument(int Channel, double Amount);

internal sealed record AbsorbedLayerDocument(string Normalization, IReadOnlyList<string> Readers, IReadOnlyList<AbsorbedChannelDocument> Channels);

internal sealed record UnabsorbedLayerDocument(string Normalization, int Channels, string Reason);

/// <summary>equinorm rescale --absorb-bias.</summary>
internal sealed record AbsorptionDocument(int Channels, IReadOnlyList<AbsorbedLayerDocument> Layers, IReadOnlyList<UnabsorbedLayerDocument> Refused)
{
    /// <summary>Makes the object.</summary>
    public static AbsorptionDocument Of(BiasAbsorption absorption) => new(
        absorption.Channels,
        [.. absorption.Layers.Select(l => new AbsorbedLayerDocument(
            l.Normalization, l.Readers, [.. l.Channels.Select(c => new AbsorbedChannelDocument(c.Channel, c.Amount))]))],
        [.. absorption.Refused.Select(r => new UnabsorbedLayerDocument(r.Normalization, r.Channels, r.Reason))]);
}
