using EquiNorm.Cli.Commands;
using EquiNorm.Cli.Text;
using EquiNorm.Problem;
using EquiNorm.Solve;

namespace EquiNorm.Cli.Report;

/// <summary>What happened, in words: the headline, how good it is, and whether the function is still the same. Nothing is claimed that was not checked.</summary>
internal static class ReportStory
{
    /// <summary>The sentences; the first is the headline.</summary>
    public static IEnumerable<string> Of(RescaleOutcome outcome, Verification verification)
    {
        if (outcome.NothingFree)
        {
            yield return "Nothing could be rescaled: every channel group is pinned.";
            yield return outcome.Request.Mode == WriteMode.DryRun
                ? "The reasons are below. Nothing was written (dry run)." : "The output is a copy of the input, byte for byte. The reasons are below.";
            yield break;
        }

        yield return Headline(outcome);
        yield return Optimality(outcome);
        yield return verification switch
        {
            Verification.Same same =>
                $"The function is unchanged. Verified from the two files: one positive factor per channel explains {Say.Count(same.Tensors, "tensor")}, with a relative deviation of at most {Figures.Text(same.Deviation, 2)}.",
            Verification.Different different => $"The output could not be verified to be a rescaling of the input: {different.Reason}.",
            Verification.Skipped skipped => skipped.Why,
            _ => "",
        };
    }

    private static string Headline(RescaleOutcome outcome)
    {
        var (request, result) = (outcome.Request, outcome.Result);
        string objective = double.IsInfinity(request.Norm) ? "The sum of the layers' largest weights"
            : request.Norm == 2 ? "The sum of squared weights"
            : request.Norm == 1 ? "The sum of absolute weights"
            : $"The sum of |weight|^{Figures.Text(request.Norm)}";
        string penalty = request.Penalty.Name == "none" ? "" : $" (with penalty {request.Penalty.Name})";
        string change = Change(result.ObjectiveBefore, result.Objective);
        string verb = request.Mode == WriteMode.DryRun ? "would fall" : "fell";
        return result.Objective < result.ObjectiveBefore
            ? $"{objective}{penalty} {verb} from {Figures.Text(result.ObjectiveBefore)} to {Figures.Text(result.Objective)}: {change}."
            : $"{objective}{penalty} was {Figures.Text(result.ObjectiveBefore)} and is {Figures.Text(result.Objective)}.";
    }

    // "37.4 % less" says more than "1.6 times smaller"; "5480 times smaller" says more than "99.98 % less".
    private static string Change(double before, double after)
    {
        double ratio = before / after;
        return ratio >= 3 ? $"{Figures.Text(ratio, 3)} times smaller" : $"{Figures.Text(100 * (1 - after / before), 3)} % less";
    }

    private static string Optimality(RescaleOutcome outcome)
    {
        var (result, exact) = (outcome.Result, outcome.Request.Options.Factors == FactorSet.PowersOfTwo);
        string effort = $"Solved in {Figures.Fixed(result.Sweeps, 1)} sweeps and {Figures.Seconds(result.Timings.Solve.TotalSeconds)}";
        string among = outcome.Request.Options.MaxGain is { } gain ? $"any rescaling by factors within 1/{Figures.Text(gain)} and {Figures.Text(gain)}" : "any rescaling of this network";
        string gap = result.GapBound is { } g
            ? $"That is at most {Figures.Text(g, 2)} (relative) above the smallest that {among} reaches: certified"
            : double.IsInfinity(outcome.Request.Norm)
            ? $"The largest weights into and out of a channel agree within a factor of {Figures.Text(Math.Exp(result.Residual))}, where factors may move; nothing is minimised, so there is no optimum to be near"
            : $"What comes into a channel and what leaves it agree within a factor of {Figures.Text(Math.Exp(result.Residual))}; no bound on the distance from the optimum can be had here";
        string powers = exact ? " Every factor is a power of two: that rounds nothing, and costs a little of the norm." : "";
        string advice = result.Status == RescalingStatus.Converged ? "" : $" {result.Advice}";
        return $"{gap}. {effort}.{powers}{advice}";
    }
}
