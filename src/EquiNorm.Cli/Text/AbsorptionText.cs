using EquiNorm.Onnx;

namespace EquiNorm.Cli.Text;

/// <summary>Biases that were moved into the next layer, for people.</summary>
internal static class AbsorptionText
{
    /// <summary>How the report ends where a bias was moved.</summary>
    public const string Ending = "The outputs of the network are NOT quite the same: biases were absorbed. equinorm verify names them as differences.";

    /// <summary>The facts.</summary>
    public static IEnumerable<(string, string)> Facts(BiasAbsorption absorption)
    {
        if (absorption.Layers.Count == 0)
        {
            yield return ("Absorbed", "no bias: no channel between a batch normalisation, a Relu and what can take it lies three deviations above zero");
        }

        foreach (var layer in absorption.Layers.Take(Most))
        {
            yield return ("Absorbed", $"{Some(layer.Channels)} of {layer.Normalization} into {Say.Some(layer.Readers, 2)}");
        }

        if (absorption.Layers.Count > 0)
        {
            string more = absorption.Layers.Count > Most ? $"{Say.Count(absorption.Layers.Count - Most, "more layer")}, --json lists all; in all " : "";
            yield return ("Absorbed", $"{more}{Say.Count(absorption.Channels, "channel")}. The function changes where a pre-activation of these channels is "
                + "below the amount: about once in 740 if it is normal with the mean and deviation that its normalisation gives it");
        }

        foreach (var refused in absorption.Refused.GroupBy(r => r.Reason).Take(Most))
        {
            yield return ("Not absorbed", $"{Say.Count(refused.Sum(r => r.Channels), "channel")} of {Say.Some([.. refused.Select(r => r.Normalization)], 2)}: {refused.Key}");
        }
    }

    private const int Most = 8;

    private static string Some(IReadOnlyList<AbsorbedChannel> channels) =>
        $"{Say.Count(channels.Count, "channel")} ({Say.Some([.. channels.Select(c => $"{c.Channel} by {Say.Number(c.Amount)}")], 3)})";
}
