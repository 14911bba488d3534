using EquiNorm.Quantization;

namespace EquiNorm.Cli.Text;

/// <summary>What 8 bits lose, for people.</summary>
internal static class Int8Text
{
    /// <summary>The table of `equinorm rescale --int8`.</summary>
    public static void Write(Int8Survey before, Int8Survey after, Page page)
    {
        page.Gap();
        page.Line("Signal-to-noise of the weights in int8, dB (with one scale for each tensor, with one for each output channel):");
        page.Table(
            ["Layer", ">by tensor", ">after", ">by channel", ">after", ">spread", ">after"],
            [.. before.Weights.Zip(after.Weights).Where(w => w.First is not null).Select(w => (string[])[
                w.First!.Weight.Name, Ratio(w.First.PerTensor), Ratio(w.Second!.PerTensor), Ratio(w.First.PerChannel), Ratio(w.Second.PerChannel),
                Say.Number(w.First.ChannelSpread), Say.Number(w.Second.ChannelSpread)])],
            "layers");
    }

    /// <summary>What belongs under the table.</summary>
    public static IEnumerable<(string, string)> Facts(Int8Survey before, Int8Survey after)
    {
        yield return ("Int8 by tensor", Change(before.PerTensor, after.PerTensor, n => n.PerTensor));
        yield return ("Int8 by channel", Change(before.PerChannel, after.PerChannel, n => n.PerChannel));
    }

    /// <summary>"31.4", "exact" where nothing is lost, "-" where there is nothing to lose.</summary>
    public static string Ratio(SignalToNoise? ratio) => ratio?.Decibels is not { } decibels ? "-" : Decibels(decibels);

    /// <summary>"31.4", or "exact".</summary>
    public static string Decibels(double decibels) => double.IsFinite(decibels) ? FormattableString.Invariant($"{decibels:0.0}") : "exact";

    private static string Change(Int8Summary before, Int8Summary after, Func<Int8Noise, SignalToNoise> ratio) =>
        $"{Ratio(before.Total)} -> {Ratio(after.Total)} dB over all weights, {Mean(before)} -> {Mean(after)} dB in the mean of the layers, "
        + $"{Worst(before, ratio)} -> {Worst(after, ratio)} dB in the worst layer{(after.Worst is { } worst ? $", which is '{worst.Weight.Name}' now" : "")}";

    private static string Mean(Int8Summary summary) => summary.MeanDecibels is { } mean ? Decibels(mean) : "-";

    private static string Worst(Int8Summary summary, Func<Int8Noise, SignalToNoise> ratio) => Ratio(summary.Worst is { } worst ? ratio(worst) : null);
}
