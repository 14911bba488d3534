using EquiNorm.Quantization;

namespace EquiNorm.Cli.Json;

// What --json says of int8. Decibels are null where there is no signal (noiseToSignal is null, too) and where nothing is lost (it is 0).

internal sealed record RatioDocument(double? Decibels, double? NoiseToSignal);

/// <summary>All layers of a network, with scales of one kind.</summary>
internal sealed record Int8SummaryDocument(double? Decibels, double? NoiseToSignal, double? MeanDecibels, double? WorstDecibels, string? WorstLayer);

/// <summary>A network at some factors. The spread is that of the layer where output channels differ most in range.</summary>
internal sealed record Int8NetworkDocument(Int8SummaryDocument PerTensor, Int8SummaryDocument PerChannel, double? ChannelSpread, string? WidestLayer);

/// <summary>A layer at some factors.</summary>
internal sealed record Int8LayerDocument(double Range, double? ChannelSpread, RatioDocument PerTensor, RatioDocument PerChannel);

internal sealed record Int8ChangeDocument(string Name, Int8LayerDocument Before, Int8LayerDocument After);

/// <summary>equinorm rescale --int8.</summary>
internal sealed record Int8Document(Int8NetworkDocument Before, Int8NetworkDocument After, IReadOnlyList<Int8ChangeDocument> Layers, double Seconds);

/// <summary>Surveys as JSON objects.</summary>
internal static class Int8Json
{
    /// <summary>Before and after, layer by layer.</summary>
    public static Int8Document Of(Int8Survey before, Int8Survey after, TimeSpan time) => new(
        Of(before), Of(after),
        [.. before.Weights.Zip(after.Weights).Where(w => w.First is not null).Select(w => new Int8ChangeDocument(w.First!.Weight.Name, Of(w.First), Of(w.Second!)))],
        time.TotalSeconds);

    /// <summary>A network.</summary>
    public static Int8NetworkDocument Of(Int8Survey survey) => new(
        Of(survey.PerTensor, n => n.PerTensor), Of(survey.PerChannel, n => n.PerChannel),
        JsonNumber.Finite(survey.WidestSpread?.ChannelSpread), survey.WidestSpread?.Weight.Name);

    private static Int8LayerDocument Of(Int8Noise noise) => new(
        noise.Range, JsonNumber.Finite(noise.ChannelSpread), Of(noise.PerTensor), Of(noise.PerChannel));

    private static RatioDocument Of(SignalToNoise ratio) => new(JsonNumber.Finite(ratio.Decibels), ratio.NoiseToSignal);

    private static Int8SummaryDocument Of(Int8Summary summary, Func<Int8Noise, SignalToNoise> ratio) => new(
        JsonNumber.Finite(summary.Total.Decibels), summary.Total.NoiseToSignal, summary.MeanDecibels,
        JsonNumber.Finite(summary.Worst is { } worst ? ratio(worst).Decibels : null), summary.Worst?.Weight.Name);
}
