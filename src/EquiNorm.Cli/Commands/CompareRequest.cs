using EquiNorm.Cli.Backends;
using EquiNorm.Onnx;
using EquiNorm.Problem;
using EquiNorm.Quantization;
using EquiNorm.Solve;

namespace EquiNorm.Cli.Commands;

/// <summary>What `equinorm compare` was asked to do.</summary>
/// <param name="Input">The model.</param>
/// <param name="Norms">The exponents p.</param>
internal sealed record CompareRequest(string Input, IReadOnlyList<double> Norms)
{
    /// <summary>How the problems are solved.</summary>
    public required RescalingOptions Options { get; init; }

    /// <summary>The penalty.</summary>
    public required PenaltyChoice Penalty { get; init; }

    /// <summary>How the model is understood.</summary>
    public required OnnxOptions Model { get; init; }

    /// <summary>Weights and groups to keep.</summary>
    public IReadOnlyList<string> Freeze { get; init; } = [];

    /// <summary>Where the problems are solved.</summary>
    public BackendChoice Backend { get; init; } = new(BackendKind.Auto);

    /// <summary>Threads; 0 for one per processor.</summary>
    public int Threads { get; init; }
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
