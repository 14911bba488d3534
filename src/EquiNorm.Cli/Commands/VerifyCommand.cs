using System.Diagnostics;
using System.Text.Json;
using EquiNorm.Cli.Json;
using EquiNorm.Cli.Text;
using EquiNorm.Onnx;
using EquiNorm.Onnx.Verification;

namespace EquiNorm.Cli.Commands;

/// <summary>equinorm verify: is B a rescaling of A?</summary>
internal static class VerifyCommand
{
    /// <summary>Runs the command.</summary>
    public static ExitCode Run(string first, string second, ResultFormat format, Streams streams, CancellationToken cancellation)
    {
        var clock = Stopwatch.StartNew();
        using var a = OnnxModel.Open(first);
        using var b = OnnxModel.Open(second);
        var report = RescalingVerifier.Verify(a, b, cancellation);
        if (format == ResultFormat.Json)
        {
            streams.Out.WriteLine(JsonSerializer.Serialize(Describe(report, clock.Elapsed), Documents.Default.VerifyDocument));
        }
        else
        {
            VerifyText.Write(first, second, report, Page.For(streams));
        }

        return report.Same ? ExitCode.Success : ExitCode.Different;
    }

    private static VerifyDocument Describe(VerificationReport report, TimeSpan elapsed) => new()
    {
        Status = report.Same ? "Same" : "Different",
        Same = report.Same,
        MaxDeviation = JsonNumber.Finite(report.MaxDeviation),
        Tensor = report.Worst?.Name,
        Tolerance = report.Worst?.Tolerance,
        Reason = report.Reason,
        Tensors = report.Tensors.Count,
        RescaledChannels = report.RescaledChannels,
        UndeterminedChannels = report.UndeterminedChannels,
        SmallestFactor = JsonNumber.Finite(report.SmallestFactor),
        LargestFactor = JsonNumber.Finite(report.LargestFactor),
        Seconds = elapsed.TotalSeconds,
    };
}
