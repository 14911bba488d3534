using EquiNorm.Model;

namespace EquiNorm.Files.Verification;

/// <summary>Whether one positive factor per channel explains every pair of tensors: recovers the factors, holds each element against them.</summary>
internal static class ParameterVerifier
{
    /// <summary>Fills in the report.</summary>
    /// <param name="report">What is known of the two models.</param>
    /// <param name="network">Network of the first model.</param>
    /// <param name="parameters">The pairs.</param>
    /// <param name="cancellation">Cancels the comparison.</param>
    public static VerificationReport Verify(
        VerificationReport report, Network network, IReadOnlyList<Parameter> parameters, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        var recovery = FactorRecovery.Run(network, parameters);
        var tensors = new TensorDeviation[parameters.Count];
        // The factors of a float32 gain beside bfloat16 weights are known to the precision of the weights.
        double precision = parameters.Where(p => p.Evidence == Evidence.Weight).Select(p => TensorDeviation.ToleranceOf(p.B.Type)).DefaultIfEmpty(0).Max();
        Parallel.For(0, tensors.Length, new ParallelOptions { CancellationToken = cancellation }, n =>
        {
            var deviation = ParameterCheck.Run(parameters[n], recovery.Factors);
            tensors[n] = deviation with { Tolerance = Math.Max(deviation.Tolerance, precision) };
        });
        var worst = tensors.Length == 0 ? null : tensors.MaxBy(t => t.Deviation / t.Tolerance);
        var factors = network.Groups.Where(g => !g.IsPinned).SelectMany(g => recovery.Factors.Skip(g.FirstChannel).Take(g.Count)).ToList();
        return report with
        {
            Channels = network.ChannelCount,
            Tensors = tensors,
            Worst = worst,
            Reason = Reason(worst, network, recovery),
            RescaledChannels = factors.Count(f => Math.Abs(f - 1) > TensorDeviation.ToleranceOf(ElementType.Float32)),
            UndeterminedChannels = recovery.Undetermined,
            SmallestFactor = factors.DefaultIfEmpty(1).Min(),
            LargestFactor = factors.DefaultIfEmpty(1).Max(),
        };
    }

    private static string? Reason(TensorDeviation? worst, Network network, FactorRecovery recovery)
    {
        if (recovery.NegativeChannel >= 0)
        {
            var group = network.Groups.Last(g => g.FirstChannel <= recovery.NegativeChannel && g.Count > 0);
            return $"channel {recovery.NegativeChannel - group.FirstChannel} of '{group.Name}' has a negative factor";
        }

        return worst is null || worst.IsExplained ? null : FormattableString.Invariant(
            $"tensor '{worst.Name}' is not explained by factors per channel: element {worst.Element} should be {worst.Expected:G9} and is {worst.Found:G9} (relative deviation {worst.Deviation:G3}, {worst.ElementType} allows {worst.Tolerance:G3})");
    }
}
