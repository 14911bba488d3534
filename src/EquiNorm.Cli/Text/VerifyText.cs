using EquiNorm.Files.Verification;

namespace EquiNorm.Cli.Text;

/// <summary>`equinorm verify` for people.</summary>
internal static class VerifyText
{
    /// <summary>Writes the report.</summary>
    public static void Write(string a, string b, VerificationReport report, Page page)
    {
        page.Title(report.Same ? $"Same: {b} is a rescaling of {a}" : $"Not the same: {b} is no rescaling of {a}");
        if (report.Reason is { } reason)
        {
            page.Line($"{char.ToUpperInvariant(reason[0])}{reason[1..]}.");
        }

        page.Facts(Facts(report));
    }

    private static IEnumerable<(string, string)> Facts(VerificationReport report)
    {
        if (report.Worst is { } worst)
        {
            yield return ("Deviation", FormattableString.Invariant($"at most {report.MaxDeviation:G3} relative, in {Say.Count(report.Tensors.Count, "tensor")}; '{worst.Name}' is explained worst ({worst.ElementType} allows {worst.Tolerance:G1})"));
            yield return ("Factors", $"{Say.Count(report.RescaledChannels, "channel")} rescaled by {Say.Number(report.SmallestFactor)} to {Say.Number(report.LargestFactor)}");
        }

        if (report.UndeterminedChannels > 0)
        {
            yield return ("Unknown", $"the factors of {Say.Count(report.UndeterminedChannels, "channel")} do not matter: no non-zero element connects them to the rest");
        }

        var (a, b) = report.FoldedNormalizations;
        if (a + b > 0)
        {
            yield return ("Folded", $"{Say.Count(a, "batch normalisation")} in the first model and {b} in the second, before comparing");
        }
    }
}
