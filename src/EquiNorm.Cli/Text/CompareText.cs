using EquiNorm.Cli.Commands;
using EquiNorm.Quantization;
using EquiNorm.Solve;

namespace EquiNorm.Cli.Text;

/// <summary>`equinorm compare` for people: a column for each norm, beside the model as it is.</summary>
internal static class CompareText
{
    private const string Nothing = "-";

    /// <summary>Writes the report.</summary>
    public static void Write(CompareOutcome outcome, Page page)
    {
        page.Title(outcome.Request.Input);
        page.Table(["", ">as it is", .. outcome.Rows.Select(r => $">norm {Values.NormName(r.Norm)}")], [.. Lines(outcome)], "lines");
        page.Gap();
        page.Facts(Facts(outcome));
        page.Gap();
        page.Line("More decibels are less noise. Nothing was written.");
    }

    private static IEnumerable<string[]> Lines(CompareOutcome outcome)
    {
        string[] Line(string name, string before, Func<CompareRow, string> value) => [name, before, .. outcome.Rows.Select(value)];
        string[] Of(string name, Func<RescalingResult, string> value) => Line(name, "", r => r.Result is { } result ? value(result) : Nothing);
        string[] Int8(string name, Func<Int8Survey, string> value) => Line(name, value(outcome.Before), r => r.Int8 is { } int8 ? value(int8) : Nothing);

        yield return Line("Status", "", r => r.Error is null ? Status(r.Result!.Status) : "failed");
        yield return Of("Objective before", r => Say.Number(r.ObjectiveBefore));
        yield return Of("Objective after", r => Say.Number(r.Objective));
        yield return Of("Residual", r => FormattableString.Invariant($"{r.Residual:G2}"));
        yield return Of("Gap at most", r => r.GapBound is { } gap ? FormattableString.Invariant($"{gap:G2}") : Nothing);
        yield return Of("Sweeps", r => FormattableString.Invariant($"{r.Sweeps:0.#}"));
        yield return Of("Time", r => Say.Time(r.Timings.Read + r.Timings.Solve));
        yield return Line("Largest gain", "", r => r.LargestGain is { } gain ? Say.Number(gain) : Nothing);
        yield return Int8("Channel spread", s => s.WidestSpread is { } n ? Say.Number(n.ChannelSpread) : Nothing);
        yield return Int8("int8 by tensor, dB", s => Int8Text.Ratio(s.PerTensor.Total));
        yield return Int8("  mean of layers", s => Mean(s.PerTensor));
        yield return Int8("  worst layer", s => Int8Text.Ratio(s.PerTensor.Worst?.PerTensor));
        yield return Int8("int8 by channel, dB", s => Int8Text.Ratio(s.PerChannel.Total));
        yield return Int8("  mean of layers", s => Mean(s.PerChannel));
        yield return Int8("  worst layer", s => Int8Text.Ratio(s.PerChannel.Worst?.PerChannel));
    }

    private static IEnumerable<(string, string)> Facts(CompareOutcome outcome)
    {
        if (outcome.Network.FreeChannelCount == 0)
        {
            yield return ("Nothing free", RescaleNothing);
        }

        foreach (var layers in Worst(outcome).GroupBy(w => w.Layers))
        {
            yield return ("Worst layer", $"{string.Join(", ", layers.Select(l => l.Name))}: {layers.Key}");
        }

        foreach (var row in outcome.Rows.Where(r => r.Error is not null))
        {
            yield return ($"Norm {Values.NormName(row.Norm)}", row.Error!);
        }

        foreach (var row in outcome.Rows.Where(r => r.Error is null && !r.IsConverged))
        {
            yield return ($"Norm {Values.NormName(row.Norm)}", row.Result!.Advice);
        }

        if (outcome.Folded.Count > 0)
        {
            yield return ("Folded", $"{Say.Count(outcome.Folded.Count, "batch normalisation")} into the operators in front, in every column");
        }
    }

    private const string RescaleNothing = "every channel group is pinned: all columns are the same; 'equinorm inspect' says why";

    private static IEnumerable<(string Name, string Layers)> Worst(CompareOutcome outcome)
    {
        yield return ("as it is", Layers(outcome.Before));
        foreach (var row in outcome.Rows.Where(r => r.Int8 is not null))
        {
            yield return ($"norm {Values.NormName(row.Norm)}", Layers(row.Int8!));
        }
    }

    private static string Layers(Int8Survey survey) =>
        $"by tensor '{survey.PerTensor.Worst?.Weight.Name}', by channel '{survey.PerChannel.Worst?.Weight.Name}', spread '{survey.WidestSpread?.Weight.Name}'";

    private static string Mean(Int8Summary summary) => summary.MeanDecibels is { } mean ? Int8Text.Decibels(mean) : Nothing;

    private static string Status(RescalingStatus status) => status switch
    {
        RescalingStatus.Converged => "converged",
        RescalingStatus.SweepLimit => "sweep limit",
        RescalingStatus.Stalled => "stalled",
        _ => "failed",
    };
}
