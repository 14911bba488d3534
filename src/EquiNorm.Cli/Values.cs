using System.Globalization;
using EquiNorm.Cli.Backends;
using EquiNorm.Onnx;
using EquiNorm.Problem;

namespace EquiNorm.Cli;

/// <summary>Reads the value of an option from its text; false if the text says nothing sensible.</summary>
internal delegate bool ValueReader<T>(string text, out T value);

/// <summary>Readers of option values. Numbers have a point on every machine.</summary>
internal static class Values
{
    /// <summary>Any positive finite number.</summary>
    public static bool Positive(string text, out double value) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out value) && double.IsFinite(value) && value > 0;

    /// <summary>An exponent of the norm: any positive number, or inf for largest magnitudes.</summary>
    public static bool Norm(string text, out double value)
    {
        value = double.PositiveInfinity;
        return text == "inf" || Positive(text, out value);
    }

    /// <summary>A largest gain: any finite number above 1.</summary>
    public static bool Gain(string text, out double value) => Positive(text, out value) && value > 1;

    /// <summary>Norms separated by commas, each positive or inf; one that comes twice counts once.</summary>
    public static bool Norms(string text, out IReadOnlyList<double> value)
    {
        var norms = new List<double>();
        value = norms;
        foreach (string part in text.Split(','))
        {
            if (part.Trim() == "inf")
            {
                norms.Add(double.PositiveInfinity);
            }
            else if (Positive(part.Trim(), out double norm))
            {
                norms.Add(norm);
            }
            else
            {
                return false;
            }
        }

        value = [.. norms.Distinct()];
        return true;
    }

    /// <summary>A norm as options take it.</summary>
    public static string NormName(double norm) => double.IsPositiveInfinity(norm) ? "inf" : norm.ToString(CultureInfo.InvariantCulture);

    /// <summary>1, 2, 3 ...</summary>
    public static bool Count(string text, out int value) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value) && value > 0;

    /// <summary>0 (all processors) to 1024.</summary>
    public static bool Threads(string text, out int value) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value) && value <= 1024;

    /// <summary>auto, cpu, cuda, cuda:N, ilgpu, ilgpu:NAME.</summary>
    public static bool Backend(string text, out BackendChoice value)
    {
        var (name, device) = text.Split(':', 2) is [var n, var d] ? (n, d) : (text, null);
        value = new BackendChoice(name switch
        {
            "cpu" => BackendKind.Cpu,
            "cuda" => BackendKind.Cuda,
            "ilgpu" => BackendKind.Ilgpu,
            _ => BackendKind.Auto,
        });
        if (device is null)
        {
            return name is "auto" or "cpu" or "cuda" or "ilgpu";
        }

        if (name == "cuda" && int.TryParse(device, NumberStyles.None, CultureInfo.InvariantCulture, out int index))
        {
            value = value with { Device = index };
            return true;
        }

        value = value with { Accelerator = device };
        return name == "ilgpu" && device.Length > 0;
    }

    /// <summary>none, size, depth:C.</summary>
    public static bool Penalty(string text, out PenaltyChoice value)
    {
        value = new PenaltyChoice(text, WeightPenalty.Uniform);
        if (text == "size")
        {
            value = value with { Penalty = WeightPenalty.Size };
        }
        else if (text.StartsWith("depth:", StringComparison.Ordinal) && Positive(text[6..], out double c))
        {
            value = value with { Penalty = WeightPenalty.Depth(c) };
        }
        else
        {
            return text == "none";
        }

        return true;
    }

    /// <summary>The orders by their names on the command line.</summary>
    public static bool Order(string text, out SweepOrder value) => Choose(text, out value,
        ("auto", SweepOrder.Auto), ("sequential", SweepOrder.Sequential), ("jacobi", SweepOrder.Jacobi), ("colored", SweepOrder.Colored),
        ("forward-backward", SweepOrder.ForwardBackward));

    /// <summary>fold, keep, scale.</summary>
    public static bool Normalization(string text, out NormalizationHandling value) =>
        Choose(text, out value, ("fold", NormalizationHandling.Fold), ("keep", NormalizationHandling.Keep), ("scale", NormalizationHandling.Scale));

    /// <summary>tie, copy.</summary>
    public static bool Shared(string text, out SharedWeightHandling value) =>
        Choose(text, out value, ("tie", SharedWeightHandling.Tie), ("copy", SharedWeightHandling.Copy));

    /// <summary>The name of a handling on the command line.</summary>
    public static string Name(NormalizationHandling handling) => handling switch
    {
        NormalizationHandling.Keep => "keep",
        NormalizationHandling.Scale => "scale",
        _ => "fold",
    };

    /// <summary>The name of an order on the command line.</summary>
    public static string Name(SweepOrder order) => order switch
    {
        SweepOrder.Sequential => "sequential",
        SweepOrder.Jacobi => "jacobi",
        SweepOrder.Colored => "colored",
        SweepOrder.ForwardBackward => "forward-backward",
        _ => "auto",
    };

    /// <summary>A command as one types it: words with anything unusual in them are quoted.</summary>
    public static string Quote(IEnumerable<string> words) => string.Join(' ', words.Prepend("equinorm").Select(
        w => w.Length > 0 && w.All(c => char.IsLetterOrDigit(c) || "-_./\\:=,+@%[]".Contains(c)) ? w : $"'{w.Replace("'", "'\\''", StringComparison.Ordinal)}'"));

    private static bool Choose<T>(string text, out T value, params ReadOnlySpan<(string Name, T Value)> choices)
    {
        foreach (var (name, choice) in choices)
        {
            if (name == text)
            {
                value = choice;
                return true;
            }
        }

        value = choices[0].Value;
        return false;
    }
}

/// <summary>A penalty as it was asked for.</summary>
/// <param name="Name">Its text.</param>
/// <param name="Penalty">The penalty.</param>
internal sealed record PenaltyChoice(string Name, WeightPenalty Penalty);
