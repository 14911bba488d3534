using EquiNorm.Files;
using EquiNorm.Files.Verification;
using EquiNorm.Model;

namespace EquiNorm.Safetensors;

/// <summary>
/// Proves from two models and the network that one is a rescaling of the other: the same tensors, one positive factor per channel that explains
/// every tensor of the network, and the same bytes in all others. How they are spread over shards does not matter.
/// </summary>
public static class SafetensorsVerifier
{
    private const int ChunkBytes = 1 << 24;

    /// <summary>Compares two models.</summary>
    /// <param name="a">The model, bound to its network.</param>
    /// <param name="b">What should be a rescaling of it, bound to the same network.</param>
    /// <param name="cancellation">Cancels the comparison.</param>
    public static VerificationReport Verify(SafetensorsNetwork a, SafetensorsNetwork b, CancellationToken cancellation = default)
    {
        var network = a.Network;
        if (!network.HasSameWeights(b.Network) || network.ChannelCount != b.Network.ChannelCount)
        {
            throw new ArgumentException("The two models are bound to different networks.", nameof(b));
        }

        var report = new VerificationReport { Channels = network.ChannelCount };
        if (Difference(a, b, cancellation) is { } difference)
        {
            return report with { Reason = difference };
        }

        var parameters = network.Weights.Select(w => new Parameter(
            w.Name,
            w.Role == WeightRole.Weight ? Evidence.Weight : Evidence.Bias,
            new EffectiveTensor(a.TensorOf(w), w.ElementType, null),
            new EffectiveTensor(b.TensorOf(w), w.ElementType, null),
            w.Layout,
            w.Outputs.ToChannels(network.Groups),
            w.Role == WeightRole.Weight || w.IsReversed ? w.Inputs.ToChannels(network.Groups) : [network.ChannelCount])).ToList();
        return ParameterVerifier.Verify(report, network, parameters, cancellation);
    }

    // Tensors of the network have the same type and shape: both were held against the description.
    private static string? Difference(SafetensorsNetwork a, SafetensorsNetwork b, CancellationToken cancellation)
    {
        if (b.Model.Tensors.FirstOrDefault(t => a.Model.Find(t.Name) is null) is { } added)
        {
            return $"tensor '{added.Name}' is in the second model only";
        }

        foreach (var x in a.Model.Tensors)
        {
            cancellation.ThrowIfCancellationRequested();
            if (b.Model.Find(x.Name) is not { } y)
            {
                return $"tensor '{x.Name}' is in the first model only";
            }

            if (x.Type != y.Type || !x.Shape.SequenceEqual(y.Shape))
            {
                return $"tensor '{x.Name}' is {x.Type} [{string.Join(", ", x.Shape)}] in the first model and {y.Type} [{string.Join(", ", y.Shape)}] in the second";
            }
        }

        return a.OtherTensors.FirstOrDefault(t => !SameBytes(t, b.Model.Find(t.Name)!, cancellation)) is { } changed
            ? $"tensor '{changed.Name}' differs, and is not part of the network"
            : null;
    }

    private static bool SameBytes(ITensorSource x, ITensorSource y, CancellationToken cancellation)
    {
        for (long at = 0; at < x.ByteLength; at += ChunkBytes)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = (int)Math.Min(ChunkBytes, x.ByteLength - at);
            if (!x.Span(at, count).SequenceEqual(y.Span(at, count)))
            {
                return false;
            }
        }

        return true;
    }
}
