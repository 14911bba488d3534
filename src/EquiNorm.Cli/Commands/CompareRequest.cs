using System.Diagnostics.CodeAnalysis;
using EquiNorm.Quantization;
using EquiNorm.Solve;

namespace EquiNorm.Cli.Commands;

/// <summary>What `equinorm compare` was asked to do.</summary>
internal sealed record CompareRequest : SolveRequest
{
    /// <summary>Makes a request.</summary>
    /// <param name="solve">The model, and how it is solved.</param>
    /// <param name="norms">The exponents p.</param>
    [SetsRequiredMembers]
    public CompareRequest(SolveRequest solve, IReadOnlyList<double> norms) : base(solve) => Norms = norms;

    /// <summary>The exponents p.</summary>
    public IReadOnlyList<double> Norms { get; }
}

/// <summary>One norm.</summary>
/// <param name="Norm">The exponent p.</param>
/// <param name="Result">The solve; null if the norm cannot be solved for.</param>
/// <param name="Int8">What 8 bits lose of the rescaled weights; null if there are none.</param>
/// <param name="Error">Why there is no result, or no rescaled weights; null if there are.</param>
internal sealed record CompareRow(double Norm, RescalingResult? Result, Int8Survey? Int8, string? Error)
{
    /// <summary>The largest max(d, 1/d) of all channels; null without factors.</summary>
    public double? LargestGain
    {
        get
        {
            double largest = 0;
            foreach (double u in Result?.Scalings is { } scalings ? scalings.LogFactors : [])
            {
                largest = Math.Max(largest, Math.Abs(u));
            }

            return Result?.Scalings is null ? null : Math.Exp(largest);
        }
    }

    /// <summary>Whether this norm has ended as it should.</summary>
    public bool IsConverged => Error is null && Result?.Status == RescalingStatus.Converged;
}

/// <summary>What has been done.</summary>
/// <param name="Request">What was asked for.</param>
/// <param name="Network">The network, with what was asked to be frozen.</param>
/// <param name="Before">What 8 bits lose of the weights as they are.</param>
/// <param name="Rows">The norms, in the order of the request.</param>
/// <param name="Folded">Normalisations that count as folded.</param>
internal sealed record CompareOutcome(
    CompareRequest Request, Model.Network Network, Int8Survey Before, IReadOnlyList<CompareRow> Rows, IReadOnlyList<string> Folded)
{
    /// <summary>What the process returns.</summary>
    public ExitCode ExitCode => Rows.All(r => r.IsConverged) ? ExitCode.Success : ExitCode.NotConverged;
}
