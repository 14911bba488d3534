using EquiNorm.Cli.Commands;
using EquiNorm.Cli.Json;
using EquiNorm.Model;
using EquiNorm.Onnx;
using EquiNorm.Problem;
using EquiNorm.Solve;

namespace EquiNorm.Cli.Text;

/// <summary>The outcome of `equinorm rescale` for people: what was done, layer by layer, how good it is, and what was left alone and why.</summary>
internal static class RescaleText
{
    /// <summary>Writes the report.</summary>
    public static void Write(RescaleOutcome outcome, Page page)
    {
        var request = outcome.Request;
        string to = request.Mode == WriteMode.Write ? $" -> {request.Output}" : " (dry run: nothing is written)";
        page.Title($"{request.Input}{to}");
        if (outcome.NothingFree)
        {
            page.Line(outcome.Changes ? RescaleOutcomeText.OnlyBiases : RescaleOutcomeText.NothingFree);
        }
        else
        {
            page.Table(["Layer", "Out x in x kernel", $">{Say.Norm(request.Norm)} before", ">after"], Layers(outcome), "layers");
        }

        if (outcome.Int8 is { } int8)
        {
            Int8Text.Write(int8.Before, int8.After, page);
        }

        page.Gap();
        page.Facts(Facts(outcome));
        page.Gap();
        page.Line(Ending(outcome));
    }

    private static List<string[]> Layers(RescaleOutcome outcome) =>
        [.. outcome.Network.Weights.Where(w => w.Role == WeightRole.Weight).Select(w => (string[])
            [w.Name, Say.Shape(w.Layout), Say.Number(outcome.Before.WeightNorms[w.Index]), Say.Number(outcome.After.WeightNorms[w.Index])])];

    private static IEnumerable<(string, string)> Facts(RescaleOutcome outcome)
    {
        var (request, network, result) = (outcome.Request, outcome.Network, outcome.Result);
        if (!outcome.NothingFree)
        {
            int groups = network.Groups.Count(g => !g.IsPinned && g.Count > 0);
            yield return ("Rescaled", $"{Say.Count(network.FreeChannelCount - result.Frozen.Count, "channel")} in {Say.Count(groups, "group")}");
            yield return ("Objective", Objective(outcome));
            yield return ("Optimality", Optimality(outcome));
            yield return ("Balance", FormattableString.Invariant(
                $"what comes into a channel and what leaves it agree within a factor of {Math.Exp(result.Residual):G9} (residual {result.Residual:G2})"));
            yield return ("Sweeps", FormattableString.Invariant($"{result.Sweeps:0.#} ({Values.Name(result.Order)}, at most {request.Options.MaxSweeps}), {result.Backend}, {Say.Count(result.Threads, "thread")}"));
        }

        foreach (var group in RescaleOutcomeText.Pinned(network).GroupBy(Cause))
        {
            yield return ("Left alone", $"{Say.Some([.. group.Select(g => $"'{Say.Group(g.Name)}'")], 2)} ({Say.Count(group.Sum(g => g.Count), "channel")}): {group.Key}");
        }

        foreach (var fact in Remarks(outcome))
        {
            yield return fact;
        }

        foreach (var fact in outcome.Absorption is { } absorption ? AbsorptionText.Facts(absorption) : [])
        {
            yield return fact;
        }

        foreach (var fact in outcome.Int8 is { } int8 ? Int8Text.Facts(int8.Before, int8.After) : [])
        {
            yield return fact;
        }

        yield return ("Time", $"read {Say.Time(outcome.Read)}, solve {Say.Time(result.Timings.Solve)}, apply {Say.Time(outcome.Saved.Apply)}, "
            + $"write {Say.Time(outcome.Saved.Write)} ({Say.Number(outcome.Bytes / 1e6)} MB)");
    }

    private static IEnumerable<(string, string)> Remarks(RescaleOutcome outcome)
    {
        var frozen = outcome.Result.Frozen;
        if (frozen.Count > 0)
        {
            var named = frozen.GroupBy(f => (f.Group, f.Reason)).Select(g =>
                $"'{Say.Group(g.Key.Group.Name)}' {Say.Some([.. g.Select(f => $"{f.Channel}")])} ({Reason(g.Key.Reason)})").ToList();
            yield return ("Frozen", $"{Say.Count(frozen.Count, "dead channel")} kept as they are: {Say.Some(named)}");
        }

        var limited = outcome.Result.Limited;
        if (limited.Count > 0)
        {
            var named = limited.GroupBy(l => (l.Group, l.Side)).Select(g =>
                $"'{Say.Group(g.Key.Group.Name)}' {Say.Some([.. g.Select(l => $"{l.Channel}")])} ({(g.Key.Side == GainSide.Largest ? "largest" : "smallest")} factor)").ToList();
            yield return ("Limited", FormattableString.Invariant($"{Say.Count(limited.Count, "channel")} at the limit of {outcome.Request.Options.MaxGain:G5} on factors: {Say.Some(named)}"));
        }

        if (outcome.Folds)
        {
            yield return ("Folded", $"{Say.Count(outcome.Folded.Count, "batch normalisation")} into the operators in front");
        }

        if (outcome.Scaled.Count > 0)
        {
            yield return ("Batch norm", $"gamma and beta of {Say.Count(outcome.Scaled.Count, "batch normalisation")} carry the factors of what is behind them, and gamma counts in "
                + "the objective. What they read and running statistics stay: the function is the same in training, too");
        }

        if (outcome.Request.Options.Factors == FactorSet.PowersOfTwo && !outcome.NothingFree)
        {
            yield return ("Exact", "every factor is a power of two: multiplying by it rounds nothing, and the objective stays a little above the optimum"
                + (outcome.Folds ? ". Folding a batch normalisation does round; --batch-norm keep avoids that" : ""));
        }

        if (outcome.Saved.Copies > 0)
        {
            yield return ("Copied", $"{Say.Count(outcome.Saved.Copies, "tensor")} that several operators read with different factors");
        }

        if (outcome.Saved.Underflowed > 0)
        {
            yield return ("Underflow", $"{Say.Count(outcome.Saved.Underflowed, "element")} became zero: below the smallest number of the storage type");
        }

        foreach (string note in outcome.Notes)
        {
            yield return ("Note", note);
        }
    }

    // One line for all normalisations of a model: each has a reason of its own, which differs by its name alone.
    private static string Cause(ChannelGroup group) =>
        group.PinnedBecause!.EndsWith(OnnxNetwork.PinnedInTraining, StringComparison.Ordinal) ? "read by a batch normalisation in training" : group.PinnedBecause;

    private static string Objective(RescaleOutcome outcome)
    {
        var result = outcome.Result;
        string penalty = outcome.Request.Penalty.Name == "none" ? "" : $", with penalty {outcome.Request.Penalty.Name}";
        string gammas = outcome.Scaled.Count > 0 ? " and every gamma" : "";
        string ratio = FormattableString.Invariant($"{100 * result.Objective / result.ObjectiveBefore:G3} %");
        return FormattableString.Invariant(
            $"{result.ObjectiveBefore:G10} -> {result.Objective:G10} ({ratio}), {Say.Objective(outcome.Request.Norm)}{gammas}{penalty}");
    }

    private static string Optimality(RescaleOutcome outcome)
    {
        var result = outcome.Result;
        string gap = double.IsPositiveInfinity(outcome.Request.Norm)
            ? "largest magnitudes have no optimum to be certified, the objective need not fall; the balance below decides"
            : result.GapBound is { } g
            ? $"certified: at most {Say.Number(g)} (relative) above the smallest that any rescaling {(outcome.Request.Options.MaxGain is null ? "" : "within the limit on factors ")}reaches"
            : "no bound can be computed for this network; the balance below decides";
        return result.Status == RescalingStatus.Converged ? gap : $"{gap}. {result.Advice}";
    }

    private static string Reason(FrozenReason reason) => reason switch
    {
        FrozenReason.NoIncoming => "nothing writes it",
        FrozenReason.NoOutgoing => "nothing reads it",
        _ => "cut off",
    };

    private static string Ending(RescaleOutcome outcome)
    {
        var request = outcome.Request;
        return request.Mode == WriteMode.DryRun ? "Nothing was written."
            : outcome.Absorption is { Channels: > 0 } ? AbsorptionText.Ending
            : outcome.NothingFree ? "The output is a copy of the input, byte for byte."
            : string.Equals(Path.GetFullPath(request.Input), Path.GetFullPath(request.Output!), StringComparison.Ordinal)
                ? "The model computes the same outputs as before, up to rounding."
            : $"The outputs of the network are unchanged up to rounding; check: equinorm verify {request.Input} {request.Output}{request.Place.Options}";
    }
}
