using System.Text.Json.Serialization;
using EquiNorm.Cli.Commands;
using EquiNorm.Problem;

namespace EquiNorm.Cli.Json;

/// <summary>equinorm compare.</summary>
internal sealed record CompareDocument
{
    /// <summary>Converged, or NotConverged if a norm has not.</summary>
    public required string Status { get; init; }

    public required string Input { get; init; }

    /// <summary>The limit on factors; null for none.</summary>
    public double? MaxGain { get; init; }

    public required string Penalty { get; init; }

    public bool Exact { get; init; }

    /// <summary>fold, keep or scale.</summary>
    public required string BatchNorm { get; init; }

    /// <summary>Channels of free groups.</summary>
    public int Channels { get; init; }

    /// <summary>Normalisations that count as folded, before and after.</summary>
    public required IReadOnlyList<string> FoldedNormalizations { get; init; }

    /// <summary>The model as it is.</summary>
    public required Int8NetworkDocument Before { get; init; }

    public required IReadOnlyList<CompareRowDocument> Norms { get; init; }
}

/// <summary>One norm.</summary>
internal sealed record CompareRowDocument
{
    /// <summary>The exponent; null for largest magnitudes.</summary>
    public double? Norm { get; init; }

    /// <summary>The exponent as --norms takes it: "2", "inf".</summary>
    public required string NormName { get; init; }

    /// <summary>Of the gap; of the residual for inf.</summary>
    public double Tolerance { get; init; }

    /// <summary>Converged, SweepLimit, Stalled, or Failed.</summary>
    public required string Status { get; init; }

    /// <summary>Why it failed; else null.</summary>
    public string? Error { get; init; }

    public double? ObjectiveBefore { get; init; }

    public double? ObjectiveAfter { get; init; }

    public double? Residual { get; init; }

    public double? GapBound { get; init; }

    public double? Sweeps { get; init; }

    /// <summary>Reading the weights once, and sweeps.</summary>
    public double? Seconds { get; init; }

    public string? Backend { get; init; }

    /// <summary>The largest max(d, 1/d) of all channels.</summary>
    public double? LargestGain { get; init; }

    /// <summary>Channels whose factor is at the limit of --max-gain.</summary>
    public int? LimitedChannels { get; init; }

    public int? FrozenChannels { get; init; }

    public Int8NetworkDocument? Int8 { get; init; }
}

/// <summary>The outcome of `equinorm compare` as its JSON object.</summary>
internal static class CompareJson
{
    /// <summary>Makes the object.</summary>
    public static CompareDocument Of(CompareOutcome outcome) => new()
    {
        Status = outcome.ExitCode == ExitCode.Success ? "Converged" : "NotConverged",
        Input = outcome.Request.Input,
        MaxGain = outcome.Request.Options.MaxGain,
        Penalty = outcome.Request.Penalty.Name,
        Exact = outcome.Request.Options.Factors == FactorSet.PowersOfTwo,
        BatchNorm = Values.Name(outcome.Request.Model.Normalization),
        Channels = outcome.Network.FreeChannelCount,
        FoldedNormalizations = outcome.Folded,
        Before = Int8Json.Of(outcome.Before),
        Norms = [.. outcome.Rows.Select(r => Of(r, outcome.Request.Options))],
    };

    private static CompareRowDocument Of(CompareRow row, RescalingOptions options) => new()
    {
        Norm = JsonNumber.Finite(row.Norm),
        NormName = Values.NormName(row.Norm),
        Tolerance = options.ToleranceFor(row.Norm),
        Status = row.Error is null ? row.Result!.Status.ToString() : "Failed",
        Error = row.Error,
        ObjectiveBefore = JsonNumber.Finite(row.Result?.ObjectiveBefore),
        ObjectiveAfter = JsonNumber.Finite(row.Result?.Objective),
        Residual = JsonNumber.Finite(row.Result?.Residual),
        GapBound = JsonNumber.Finite(row.Result?.GapBound),
        Sweeps = row.Result?.Sweeps,
        Seconds = row.Result is { } result ? (result.Timings.Read + result.Timings.Solve).TotalSeconds : null,
        Backend = row.Result?.Backend,
        LargestGain = JsonNumber.Finite(row.LargestGain),
        LimitedChannels = row.Result?.Limited.Count,
        FrozenChannels = row.Result?.Frozen.Count,
        Int8 = row.Int8 is { } int8 ? Int8Json.Of(int8) : null,
    };
}

/// <summary>The serialiser of <see cref="CompareDocument"/>, made at compile time.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true, GenerationMode = JsonSourceGenerationMode.Serialization)]
[JsonSerializable(typeof(CompareDocument))]
internal sealed partial class CompareDocuments : JsonSerializerContext;
