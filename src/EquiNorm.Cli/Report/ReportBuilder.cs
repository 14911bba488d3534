using EquiNorm.Cli.Commands;
using EquiNorm.Cli.Json;
using EquiNorm.Cli.Text;
using EquiNorm.Model;
using EquiNorm.Solve;

namespace EquiNorm.Cli.Report;

/// <summary>The outcome of `equinorm rescale` as the numbers of a report.</summary>
internal static class ReportBuilder
{
    /// <summary>Collects the numbers.</summary>
    /// <param name="outcome">What was done.</param>
    /// <param name="run">What did it.</param>
    /// <param name="verification">What comparing the files has shown.</param>
    /// <param name="verifying">The time that this took.</param>
    public static ReportData Build(RescaleOutcome outcome, RunFacts run, Verification verification, TimeSpan verifying)
    {
        var (request, network, result) = (outcome.Request, outcome.Network, outcome.Result);
        var document = RescaleJson.Of(outcome);
        var weights = network.Weights.Where(w => w.Role == WeightRole.Weight).ToList();
        return new ReportData
        {
            Result = document,
            Story = [.. ReportStory.Of(outcome, verification)],
            Run = run,
            Verification = verification,
            Convergence = Convergence.Of(result, request.Penalty.Name == "none" ? outcome.Before.Residual : null, request.Options, request.Norm),
            Layers = [.. weights.Select(w => new LayerNorms(
                w.Name, Say.Shape(w.Layout), outcome.Before.WeightNorms[w.Index], outcome.After.WeightNorms[w.Index]))],
            Channels = ChannelStrips.Of(outcome.Before, outcome.After),
            Gains = Gains.Of(result),
            Pinned = [.. RescaleOutcomeText.Pinned(network).GroupBy(g => PinnedCause.Split(g.PinnedBecause!)).Select(g => new PinnedCause(
                g.Key.Operator, g.Key.Why, [.. g.Select(p => (Say.Group(p.Name), p.Count))]))],
            Frozen = [.. result.Frozen.GroupBy(f => (f.Group, f.Reason)).Select(g => new FrozenChannels(
                Say.Group(g.Key.Group.Name), [.. g.Select(f => f.Channel)], Reason(g.Key.Reason)))],
            Timings =
            [
                ("read", document.Seconds.Read), ("solve", document.Seconds.Solve), ("apply", document.Seconds.Apply), ("write", document.Seconds.Write),
                .. verification is Verification.Skipped ? Array.Empty<(string, double)>() : [("verify", verifying.TotalSeconds)],
            ],
            Elements = weights.Sum(w => w.Layout.Elements),
        };
    }

    private static string Reason(FrozenReason reason) => reason switch
    {
        FrozenReason.NoIncoming => "nothing writes it: all its incoming weights are zero",
        FrozenReason.NoOutgoing => "nothing reads it: all its outgoing weights are zero",
        _ => "cut off: only dead channels write it, or read it",
    };
}
