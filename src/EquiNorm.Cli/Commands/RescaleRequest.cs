using System.Diagnostics.CodeAnalysis;
using EquiNorm.Onnx;
using EquiNorm.Quantization;
using EquiNorm.Solve;

namespace EquiNorm.Cli.Commands;

/// <summary>Whether the output is written.</summary>
internal enum WriteMode
{
    /// <summary>Yes.</summary>
    Write,

    /// <summary>No: report only.</summary>
    DryRun,
}

/// <summary>Whether the report says what 8 bits lose of the weights.</summary>
internal enum Int8Report
{
    /// <summary>No: it costs four more readings of the weights.</summary>
    No,

    /// <summary>Yes.</summary>
    Yes,
}

/// <summary>What becomes of high biases behind batch normalisations.</summary>
internal enum BiasHandling
{
    /// <summary>They stay.</summary>
    Keep,

    /// <summary>The next layer absorbs them where it can; the function is then not quite the same.</summary>
    Absorb,
}

/// <summary>What `equinorm rescale` was asked to do.</summary>
internal sealed record RescaleRequest : SolveRequest
{
    /// <summary>Makes a request.</summary>
    /// <param name="solve">The model, and how it is solved.</param>
    /// <param name="output">The output; null only with <see cref="WriteMode.DryRun"/>.</param>
    /// <param name="norm">The exponent p.</param>
    [SetsRequiredMembers]
    public RescaleRequest(SolveRequest solve, string? output, double norm) : base(solve) => (Output, Norm) = (output, norm);

    /// <summary>The output; null only with <see cref="WriteMode.DryRun"/>.</summary>
    public string? Output { get; }

    /// <summary>The exponent p.</summary>
    public double Norm { get; }

    /// <summary>Whether the output is written.</summary>
    public WriteMode Mode { get; init; }

    /// <summary>Where a report goes; null for none.</summary>
    public string? Report { get; init; }

    /// <summary>The command as it was typed.</summary>
    public string CommandLine { get; init; } = "";

    /// <summary>What becomes of high biases.</summary>
    public BiasHandling Biases { get; init; }

    /// <summary>Whether the report says what 8 bits lose.</summary>
    public Int8Report Int8 { get; init; }
}

/// <summary>What has been done.</summary>
/// <param name="Request">What was asked for.</param>
/// <param name="Network">The network, with what was asked to be frozen.</param>
/// <param name="Result">The solve.</param>
/// <param name="Before">Norms before.</param>
/// <param name="After">Norms after; the same as before if there are no factors.</param>
/// <param name="Folded">Normalisations that were folded.</param>
internal sealed record RescaleOutcome(
    RescaleRequest Request, Model.Network Network, RescalingResult Result, NetworkSurvey Before, NetworkSurvey After, IReadOnlyList<string> Folded)
{
    /// <summary>Normalisations whose gamma and beta carry factors, for a model that will be trained further.</summary>
    public IReadOnlyList<string> Scaled { get; init; } = [];

    /// <summary>What a user should know of how the model was understood.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>What 8 bits lose before and after, and how long it took to find out; null if nobody asked.</summary>
    public (Int8Survey Before, Int8Survey After, TimeSpan Time)? Int8 { get; init; }

    /// <summary>The biases that are moved; null if nobody asked.</summary>
    public BiasAbsorption? Absorption { get; init; }

    /// <summary>Opening and analysing the model, and reading its weights once.</summary>
    public TimeSpan Read { get; init; }

    /// <summary>Applying and writing.</summary>
    public OnnxSaveReport Saved { get; init; }

    /// <summary>Bytes of the model.</summary>
    public long Bytes { get; init; }

    /// <summary>Whether there was nothing to rescale.</summary>
    public bool NothingFree => Network.FreeChannelCount == 0;

    /// <summary>Whether the output differs from the input.</summary>
    public bool Changes => !NothingFree || Absorption is { Channels: > 0 };

    /// <summary>Whether normalisations are folded into the output.</summary>
    public bool Folds => Changes && Folded.Count > 0;

    /// <summary>What the process returns.</summary>
    public ExitCode ExitCode => Result.Status switch
    {
        RescalingStatus.Converged => ExitCode.Success,
        RescalingStatus.NonFinite => ExitCode.NonFinite,
        _ => ExitCode.NotConverged,
    };
}
