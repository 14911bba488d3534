using System.Text.Json.Serialization;

namespace EquiNorm.Cli.Json;

// The objects that --json prints, one per run. Numbers that are not finite are null: JSON has none.

/// <summary>Every failure.</summary>
internal sealed record FailureDocument(string Status, int ExitCode, string Error);

/// <summary>equinorm rescale.</summary>
internal sealed record RescaleDocument
{
    public required string Status { get; init; }

    public required string Message { get; init; }

    public required string Input { get; init; }

    /// <summary>The description of a safetensors model; null for an ONNX model.</summary>
    public string? Network { get; init; }

    /// <summary>Null if nothing was written (--dry-run).</summary>
    public string? Output { get; init; }

    /// <summary>The exponent; null for largest magnitudes.</summary>
    public double? Norm { get; init; }

    /// <summary>The exponent as --norm takes it: "2", "inf".</summary>
    public required string NormName { get; init; }

    public double Tolerance { get; init; }

    /// <summary>The limit on factors; null for none.</summary>
    public double? MaxGain { get; init; }

    public required string Penalty { get; init; }

    public required string Order { get; init; }

    public bool Exact { get; init; }

    public double Sweeps { get; init; }

    public double? Residual { get; init; }

    /// <summary>Null where no bound can be had, and always for largest magnitudes.</summary>
    public double? GapBound { get; init; }

    /// <summary>For largest magnitudes the sum over all layers of the largest, which is not what is minimised.</summary>
    public double? ObjectiveBefore { get; init; }

    public double? ObjectiveAfter { get; init; }

    /// <summary>Channels of free groups, frozen ones included: one factor each.</summary>
    public int Channels { get; init; }

    /// <summary>Free groups.</summary>
    public int Groups { get; init; }

    /// <summary>Channels whose factors are at the limit.</summary>
    public int LimitedChannels { get; init; }

    /// <summary>The first hundred of them.</summary>
    public required IReadOnlyList<LimitedDocument> Limited { get; init; }

    public int FrozenChannels { get; init; }

    /// <summary>The first hundred of them.</summary>
    public required IReadOnlyList<FrozenDocument> Frozen { get; init; }

    public required IReadOnlyList<PinnedDocument> Pinned { get; init; }

    /// <summary>fold, keep or scale; described: by the description of a safetensors model.</summary>
    public required string BatchNorm { get; init; }

    public required IReadOnlyList<string> FoldedNormalizations { get; init; }

    /// <summary>Those whose gamma and beta carry factors, gamma counting in the objective, while what they read is pinned.</summary>
    public required IReadOnlyList<string> ScaledNormalizations { get; init; }

    /// <summary>Tensors added because several nodes read one and need different factors.</summary>
    public int CopiedTensors { get; init; }

    /// <summary>Elements that fell below the smallest number of their storage type.</summary>
    public long Underflowed { get; init; }

    public required IReadOnlyList<string> Notes { get; init; }

    public required IReadOnlyList<LayerDocument> Layers { get; init; }

    /// <summary>Null without --int8.</summary>
    public Int8Document? Int8 { get; init; }

    /// <summary>Null without --absorb-bias.</summary>
    public AbsorptionDocument? Absorbed { get; init; }

    public required string Backend { get; init; }

    public int Threads { get; init; }

    public required SecondsDocument Seconds { get; init; }
}

internal sealed record PinnedDocument(string Group, int Channels, string Reason);

internal sealed record FrozenDocument(string Group, int Channel, string Reason);

internal sealed record LimitedDocument(string Group, int Channel, string Side);

internal sealed record LayerDocument(string Name, IReadOnlyList<int> Shape, double? NormBefore, double? NormAfter);

internal sealed record SecondsDocument(double Read, double Solve, double Apply, double Write);

/// <summary>equinorm inspect.</summary>
internal sealed record InspectDocument
{
    public required string Input { get; init; }

    /// <summary>The exponent; null for largest magnitudes.</summary>
    public double? Norm { get; init; }

    /// <summary>The exponent as --norm takes it: "2", "inf".</summary>
    public required string NormName { get; init; }

    public double? Residual { get; init; }

    public double? Objective { get; init; }

    public int Channels { get; init; }

    public int DeadChannels { get; init; }

    public required IReadOnlyList<GroupDocument> Groups { get; init; }

    public required IReadOnlyList<InspectedLayerDocument> Layers { get; init; }

    public required IReadOnlyList<string> FoldedNormalizations { get; init; }

    public required IReadOnlyList<string> Notes { get; init; }
}

internal sealed record GroupDocument(
    string Name, int Channels, string? PinnedBecause, double? Residual, IReadOnlyList<string> Sources, IReadOnlyList<string> Sinks);

internal sealed record InspectedLayerDocument(string Name, IReadOnlyList<int> Shape, string Type, double? Norm);

/// <summary>equinorm verify.</summary>
internal sealed record VerifyDocument
{
    public required string Status { get; init; }

    public bool Same { get; init; }

    public double? MaxDeviation { get; init; }

    /// <summary>The tensor explained worst, in units of its tolerance.</summary>
    public string? Tensor { get; init; }

    public double? Tolerance { get; init; }

    public string? Reason { get; init; }

    public int Tensors { get; init; }

    public int RescaledChannels { get; init; }

    public int UndeterminedChannels { get; init; }

    public double? SmallestFactor { get; init; }

    public double? LargestFactor { get; init; }

    public double Seconds { get; init; }
}

/// <summary>equinorm devices.</summary>
internal sealed record DevicesDocument
{
    /// <summary>The CUDA version of the driver; null without one.</summary>
    public string? Driver { get; init; }

    /// <summary>What `--backend auto` takes.</summary>
    public required string Auto { get; init; }

    /// <summary>Why there is no device; null if there is one.</summary>
    public string? Reason { get; init; }

    public required IReadOnlyList<DeviceDocument> Devices { get; init; }
}

internal sealed record DeviceDocument(
    string Device, string Name, long MemoryBytes, string ComputeCapability, int Multiprocessors, bool Supported, string? Reason);

/// <summary>Serialisers made at compile time: no reflection at startup.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true, GenerationMode = JsonSourceGenerationMode.Serialization)]
[JsonSerializable(typeof(FailureDocument))]
[JsonSerializable(typeof(RescaleDocument))]
[JsonSerializable(typeof(InspectDocument))]
[JsonSerializable(typeof(VerifyDocument))]
[JsonSerializable(typeof(DevicesDocument))]
internal sealed partial class Documents : JsonSerializerContext;

/// <summary>Numbers that JSON can hold.</summary>
internal static class JsonNumber
{
    /// <summary>The number, or null if it is not finite.</summary>
    public static double? Finite(double? value) => value is { } v && double.IsFinite(v) ? v : null;
}
