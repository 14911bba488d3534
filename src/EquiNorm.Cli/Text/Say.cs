using EquiNorm.Model;

namespace EquiNorm.Cli.Text;

/// <summary>Numbers and names for people.</summary>
internal static class Say
{
    /// <summary>Five significant digits: 12.326, 8040, 4.41e+07.</summary>
    public static string Number(double value) => FormattableString.Invariant($"{value:G5}").Replace("E+", "e", StringComparison.Ordinal).Replace("E-", "e-", StringComparison.Ordinal);

    /// <summary>"2-norm", "inf-norm".</summary>
    public static string Norm(double norm) => double.IsPositiveInfinity(norm) ? "inf-norm" : $"{Number(norm)}-norm";

    /// <summary>What the objective of a norm adds up.</summary>
    public static string Objective(double norm) => double.IsPositiveInfinity(norm)
        ? "the sum over all layers of the largest |weight|" : FormattableString.Invariant($"the sum of |weight|^{norm:G5} over all layers");

    /// <summary>The name of a group without what exporters add to every name; --freeze takes it as well as the whole name.</summary>
    public static string Group(string name) => name.Replace("_output_0", "", StringComparison.Ordinal).TrimStart('/');

    /// <summary>"64 x 3 x 49" for outputs, inputs per output, kernel positions; the last only where there are several.</summary>
    public static string Shape(WeightLayout layout) => layout.Kernel == 1
        ? $"{layout.Outputs} x {layout.InputsPerGroup}" : $"{layout.Outputs} x {layout.InputsPerGroup} x {layout.Kernel}";

    /// <summary>"1 channel", "7 channels".</summary>
    public static string Count(long count, string noun) => FormattableString.Invariant($"{count} {noun}{(count == 1 ? "" : "s")}");

    /// <summary>The first few of a list, then how many more there are.</summary>
    public static string Some(IReadOnlyList<string> items, int most = 4) =>
        string.Join(", ", items.Take(most)) + (items.Count > most ? $", … {items.Count - most} more" : "");

    /// <summary>"0.31 s", "12 ms".</summary>
    public static string Time(TimeSpan time) => time.TotalSeconds >= 1
        ? FormattableString.Invariant($"{time.TotalSeconds:0.0#} s") : FormattableString.Invariant($"{time.TotalMilliseconds:0} ms");
}
