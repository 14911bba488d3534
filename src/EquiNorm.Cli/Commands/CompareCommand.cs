using System.Text.Json;
using EquiNorm.Backends;
using EquiNorm.Cli.Backends;
using EquiNorm.Cli.Json;
using EquiNorm.Cli.Text;
using EquiNorm.Model;
using EquiNorm.Onnx;
using EquiNorm.Problem;
using EquiNorm.Quantization;
using EquiNorm.Solve;

namespace EquiNorm.Cli.Commands;

/// <summary>equinorm compare: several norms on one model, side by side. Reads only.</summary>
internal static class CompareCommand
{
    /// <summary>Runs the command.</summary>
    public static ExitCode Run(CompareRequest request, ResultFormat format, Streams streams, Gpus gpus, CancellationToken cancellation)
    {
        using var backend = BackendFactory.Create(request.Backend, request.Threads, gpus, streams);
        using var model = OnnxModel.Open(request.Input);
        using var onnx = model.Analyze(request.Model);
        var network = FrozenNames.Freeze(onnx.Network, request.Freeze);
        using var tensors = onnx.Bind(network);
        var before = AsItIs(request, tensors, cancellation);
        var rows = request.Norms.Select(norm => Solve(norm, request, tensors, backend, streams, cancellation)).ToList();
        var outcome = new CompareOutcome(request, network, before, rows, onnx.FoldedNormalizations);
        if (format == ResultFormat.Json)
        {
            streams.Out.WriteLine(JsonSerializer.Serialize(CompareJson.Of(outcome), CompareDocuments.Default.CompareDocument));
        }
        else
        {
            CompareText.Write(outcome, Page.For(streams));
        }

        return outcome.ExitCode;
    }

    // A NaN in the model is no matter of the norm.
    private static Int8Survey AsItIs(CompareRequest request, NetworkTensors tensors, CancellationToken cancellation)
    {
        try
        {
            return Int8Survey.Take(tensors, request.Threads, cancellation, Scalings.Identity(tensors.Network))[0];
        }
        catch (NetworkException e)
        {
            throw new CliException(ExitCode.NonFinite, $"{request.Input}: {e.Message}", e);
        }
    }

    private static CompareRow Solve(
        double norm, CompareRequest request, NetworkTensors tensors, IBackend backend, Streams streams, CancellationToken cancellation)
    {
        RescalingResult? result = null;
        try
        {
            using var progress = new ProgressLine(streams);
            var problem = new RescalingProblem(tensors.Network) { Norm = norm, Penalty = request.Penalty.Penalty };
            result = RescalingSolver.Solve(problem, tensors, request.Options, backend, progress, cancellation);
            return result.Scalings is { } scalings
                ? new CompareRow(norm, result, Int8Survey.Take(tensors, request.Threads, cancellation, scalings)[0], null)
                : new CompareRow(norm, result, null, result.Advice);
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException or NetworkException)
        {
            // One norm that cannot be had, or whose weights their type cannot hold, leaves the others.
            return new CompareRow(norm, result, null, e is ArgumentOutOfRangeException { ParamName: nameof(RescalingProblem.Norm) }
                ? "this norm cannot be solved for" : e.Message);
        }
    }
}
