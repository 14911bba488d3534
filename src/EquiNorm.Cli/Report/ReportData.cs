using System.Text.RegularExpressions;
using EquiNorm.Cli.Json;

namespace EquiNorm.Cli.Report;

// The numbers behind `equinorm rescale --report`: no markup, no colours. Whatever is cut to bound the page says how much was left out.

/// <summary>Everything that a report shows.</summary>
internal sealed record ReportData
{
    /// <summary>The JSON object of the run: the page shows every number in it.</summary>
    public required RescaleDocument Result { get; init; }

    /// <summary>What happened, in sentences; the first is the headline.</summary>
    public required IReadOnlyList<string> Story { get; init; }

    /// <summary>What rescaled the model, where and when.</summary>
    public required RunFacts Run { get; init; }

    /// <summary>Whether the two files were compared, and what came of it.</summary>
    public required Verification Verification { get; init; }

    /// <summary>How the solve came down.</summary>
    public required Convergence Convergence { get; init; }

    /// <summary>Layers in network order.</summary>
    public required IReadOnlyList<LayerNorms> Layers { get; init; }

    /// <summary>Channel norms of the free groups.</summary>
    public required ChannelStrips Channels { get; init; }

    /// <summary>The factors.</summary>
    public required Gains Gains { get; init; }

    /// <summary>Pinned groups, those with one cause together.</summary>
    public required IReadOnlyList<PinnedCause> Pinned { get; init; }

    /// <summary>Frozen channels by group and reason.</summary>
    public required IReadOnlyList<FrozenChannels> Frozen { get; init; }

    /// <summary>Parts of the run and their seconds, in order.</summary>
    public required IReadOnlyList<(string Name, double Seconds)> Timings { get; init; }

    /// <summary>Elements of all weights.</summary>
    public required long Elements { get; init; }
}

/// <summary>The p-norm of a layer before and after.</summary>
internal readonly record struct LayerNorms(string Name, string Shape, double Before, double After);

/// <summary>Groups that one kind of operator pins for one reason.</summary>
/// <param name="Operator">The operator; null where a reason names none (inputs, outputs, requests).</param>
/// <param name="Why">The reason, without the names of nodes.</param>
/// <param name="Groups">The groups and their channels.</param>
internal sealed partial record PinnedCause(string? Operator, string Why, IReadOnlyList<(string Name, int Channels)> Groups)
{
    /// <summary>A reason as the analysis words it, "Clip 'node 7': it clips", as operator and why: 35 nodes of a kind are one line.</summary>
    public static (string? Operator, string Why) Split(string reason) =>
        OperatorAndNode().Match(reason) is { Success: true } m ? (m.Groups["operator"].Value, m.Groups["why"].Value) : (null, reason);

    [GeneratedRegex("^(?<operator>[A-Za-z]+) '.*': (?<why>.+)$", RegexOptions.Singleline)]
    private static partial Regex OperatorAndNode();
}

/// <summary>Channels of one group that are frozen for one reason.</summary>
internal sealed record FrozenChannels(string Group, IReadOnlyList<int> Channels, string Reason);

/// <summary>A file of the run. The hash is null where there is none to take.</summary>
internal sealed record FileFact(string Role, string Path, long Bytes, string? Sha256);

/// <summary>What rescaled the model, where and when.</summary>
internal sealed record RunFacts(
    string CommandLine, string Version, DateTimeOffset Made, IReadOnlyList<(string Name, string Value)> Machine, IReadOnlyList<FileFact> Files);

/// <summary>Whether the function was verified to be the same.</summary>
internal abstract record Verification
{
    private Verification()
    {
    }

    /// <summary>The files were compared, and the output is a rescaling of the input.</summary>
    internal sealed record Same(int Tensors, double Deviation) : Verification;

    /// <summary>The files were compared, and the output is not explained.</summary>
    internal sealed record Different(string Reason) : Verification;

    /// <summary>The files were not compared.</summary>
    internal sealed record Skipped(string Why) : Verification;
}
