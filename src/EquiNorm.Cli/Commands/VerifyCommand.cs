using System.Diagnostics;
using System.Text.Json;
using EquiNorm.Cli.Json;
using EquiNorm.Cli.Models;
using EquiNorm.Cli.Text;
using EquiNorm.Onnx;
using EquiNorm.Files.Verification;
using EquiNorm.Onnx.Verification;
using EquiNorm.Safetensors;

namespace EquiNorm.Cli.Commands;

/// <summary>equinorm verify: is B a rescaling of A?</summary>
internal static class VerifyCommand
{
    /// <summary>Runs the command.</summary>
    public static ExitCode Run(ModelPlace first, ModelPlace second, ResultFormat format, Streams streams, CancellationToken cancellation)
    {
        var clock = Stopwatch.StartNew();
        var report = Compare(first.Checked(), second.Checked(), cancellation);
        if (format == ResultFormat.Json)
        {
            streams.Out.WriteLine(JsonSerializer.Serialize(Describe(report, clock.Elapsed), Documents.Default.VerifyDocument));
        }
        else
        {
            VerifyText.Write(first.Path, second.Path, report, Page.For(streams));
        }

        return report.Same ? ExitCode.Success : ExitCode.Different;
    }

    private static VerificationReport Compare(ModelPlace first, ModelPlace second, CancellationToken cancellation)
    {
        if (first.IsSafetensors)
        {
            using var x = SafetensorsInput.Open(first);
            using var y = SafetensorsInput.Open(second);
            return SafetensorsVerifier.Verify(x.Bound, y.Bound, cancellation);
        }

        using var a = OnnxModel.Open(first.Path);
        using var b = OnnxModel.Open(second.Path);
        return RescalingVerifier.Verify(a, b, cancellation);
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
