using EquiNorm.Cli.Json;

namespace EquiNorm.Cli.Text;

/// <summary>`equinorm inspect` for people.</summary>
internal static class InspectText
{
    /// <summary>Writes the report.</summary>
    public static void Write(InspectDocument document, Page page)
    {
        page.Title(document.Input);
        page.Table(
            ["Channel group", ">Channels", "Written by", "Read by", ">Imbalance"],
            [.. document.Groups.Select(g => (string[])[
                Say.Group(g.Name), $"{g.Channels}", Say.Some(g.Sources, 2), Say.Some(g.Sinks, 2), g.PinnedBecause is null ? Factor(g.Residual) : "pinned"])],
            "groups");
        var pinned = document.Groups.Where(g => g.PinnedBecause is not null).GroupBy(g => g.PinnedBecause);
        page.Facts(pinned.Select(g => ("Pinned", $"{Say.Some([.. g.Select(p => $"'{Say.Group(p.Name)}'")], 2)}: {g.Key}")));
        page.Table(
            ["Layer", "Out x in x kernel", "Type", $">{Say.Norm(document.Norm ?? double.PositiveInfinity)}"],
            [.. document.Layers.Select(l => (string[])[l.Name, Shape(l.Shape), l.Type, Say.Number(l.Norm ?? double.NaN)])],
            "layers");
        page.Gap();
        page.Facts(Facts(document));
    }

    private static IEnumerable<(string, string)> Facts(InspectDocument document)
    {
        int free = document.Groups.Count(g => g.PinnedBecause is null);
        yield return ("Free", $"{Say.Count(document.Channels, "channel")} in {Say.Count(free, "group")} can be rescaled");
        yield return ("Objective", FormattableString.Invariant($"{document.Objective ?? double.NaN:G10}: {Say.Objective(document.Norm ?? double.PositiveInfinity)}"));
        yield return ("Imbalance", $"what comes into a channel and what leaves it differ by a factor of up to {Factor(document.Residual)}");
        if (document.DeadChannels > 0)
        {
            yield return ("Dead", $"{Say.Count(document.DeadChannels, "channel")} that no non-zero weight writes, or none reads");
        }

        if (document.FoldedNormalizations.Count > 0)
        {
            yield return ("Folded", $"{Say.Count(document.FoldedNormalizations.Count, "batch normalisation")} would be folded into the operators in front; norms are those after folding");
        }

        foreach (string note in document.Notes)
        {
            yield return ("Note", note);
        }
    }

    private static string Factor(double? residual) => residual is { } r ? Say.Number(Math.Exp(r)) : "not finite";

    private static string Shape(IReadOnlyList<int> shape) => string.Join(" x ", shape[^1] == 1 ? shape.SkipLast(1) : shape);
}
