using System.Globalization;
using EquiNorm.Model;

namespace EquiNorm.Solve;

/// <summary>What a status means, in a sentence, and what to do about it.</summary>
internal static class SolveAdvice
{
    public static string For(RescalingStatus status, SolveRun run)
    {
        var gap = run.Gap();
        var have = gap is { } g
            ? Invariant($"the objective is within {g:G3} of the optimum (certified)")
            : Invariant($"incoming and outgoing norms agree within a factor exp({run.Residual:G3})");
        return status switch
        {
            RescalingStatus.Converged when run.TakesLargest =>
                $"Converged: {have}. Of largest magnitudes there is no optimum, and so no gap.",
            RescalingStatus.Converged when gap is null =>
                $"Converged by the residual: {have}. No bound on the gap can be had for this network.",
            RescalingStatus.Converged => $"Converged: {have}.",
            RescalingStatus.SweepLimit =>
                Invariant($"The sweep limit was reached before the tolerance of {run.Tolerance:G3}: {have}. ")
                + "The factors are a valid rescaling; allow more sweeps or a larger tolerance.",
            RescalingStatus.Stalled =>
                Invariant($"Rounding stops further progress towards the tolerance of {run.Tolerance:G3}: {have}. ")
                + "The factors are a valid rescaling; ask for a larger tolerance.",
            _ => "",
        };
    }

    public static string ForPowersOfTwo(string advice, SolveRun run) => advice + (run.Gap() is { } gap
        ? Invariant($" Rounded to powers of two the objective is within {gap:G3} of the optimum (certified).")
        : " Objective and residual are those of the factors rounded to powers of two.");

    public static string ForNonFinite(Weight weight, NonFiniteElement? element) => element is { } e
        ? Invariant($"Weight '{weight.Name}' holds {e.Value} at output {e.Output}, input {e.Input}, kernel position {e.Kernel}. Nothing was changed.")
        : $"The energies of weight '{weight.Name}' overflow at this exponent of the norm. Nothing was changed.";

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
