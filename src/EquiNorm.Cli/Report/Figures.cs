using System.Globalization;

namespace EquiNorm.Cli.Report;

/// <summary>Numbers for the page, the same on every machine: 12.327, 0.0312, 4.41 × 10⁷.</summary>
internal static class Figures
{
    private const string Superscripts = "⁰¹²³⁴⁵⁶⁷⁸⁹";

    /// <summary>Significant digits; powers of ten beyond a million and below a thousandth.</summary>
    public static string Text(double value, int digits = 5)
    {
        if (!double.IsFinite(value))
        {
            return double.IsNaN(value) ? "not a number" : value > 0 ? "∞" : "−∞";
        }

        double size = Math.Abs(value);
        if (size != 0 && (size >= 1e6 || size < 1e-3))
        {
            string[] parts = value.ToString($"E{digits - 1}", CultureInfo.InvariantCulture).Split('E');
            string mantissa = parts[0].Contains('.') ? parts[0].TrimEnd('0').TrimEnd('.') : parts[0];
            int exponent = int.Parse(parts[1], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
            return mantissa is "1" ? Power(exponent) : $"{mantissa} × {Power(exponent)}";
        }

        // Digits before the point are all shown.
        int whole = size < 1 ? 0 : (int)Math.Floor(Math.Log10(size)) + 1;
        return whole >= digits
            ? Whole((long)Math.Round(value))
            : value.ToString($"G{digits}", CultureInfo.InvariantCulture);
    }

    /// <summary>Five significant digits with their zeros, for columns: 3.6200.</summary>
    public static string Aligned(double value)
    {
        string text = Text(value);
        if (text.Any(c => !char.IsAsciiDigit(c) && c is not ('.' or '-')) || text == "0")
        {
            return text;
        }

        int digits = text.TrimStart('-', '0', '.').Count(char.IsAsciiDigit);
        return digits >= 5 ? text : (text.Contains('.') ? text : text + ".") + new string('0', 5 - digits);
    }

    /// <summary>10 (or another number) with an exponent.</summary>
    public static string Power(int exponent, int of = 10)
    {
        string digits = string.Concat(Math.Abs(exponent).ToString(CultureInfo.InvariantCulture).Select(c => Superscripts[c - '0']));
        return exponent < 0 ? $"{of}⁻{digits}" : $"{of}{digits}";
    }

    /// <summary>A number of decimals.</summary>
    public static string Fixed(double value, int decimals) => value.ToString($"F{decimals}", CultureInfo.InvariantCulture);

    /// <summary>A whole number, thousands apart from 10 000 on.</summary>
    public static string Whole(long value) => value.ToString(Math.Abs(value) < 10_000 ? "0" : "#,0", CultureInfo.InvariantCulture).Replace(',', '\u202F');

    /// <summary>"12 ms", "3.1 s".</summary>
    public static string Seconds(double seconds) =>
        seconds >= 100 ? $"{Fixed(seconds, 0)} s" : seconds >= 1 ? $"{Fixed(seconds, 2)} s" : seconds >= 0.01 ? $"{Fixed(1000 * seconds, 0)} ms" : $"{Fixed(1000 * seconds, 1)} ms";

    /// <summary>"46.8 MB".</summary>
    public static string Bytes(long bytes) =>
        bytes >= 1_000_000_000 ? $"{Fixed(bytes / 1e9, 2)} GB" : bytes >= 1_000_000 ? $"{Fixed(bytes / 1e6, 1)} MB" : bytes >= 1000 ? $"{Fixed(bytes / 1e3, 1)} kB" : $"{bytes} bytes";

    /// <summary>A factor given by its log2: "×4.2", "÷37", "×1".</summary>
    public static string Factor(double log2)
    {
        string text = Text(Math.Pow(2, Math.Abs(log2)), 4);
        return text == "1" ? "×1" : log2 < 0 ? $"÷{text}" : $"×{text}";
    }
}
