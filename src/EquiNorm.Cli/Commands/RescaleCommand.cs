using System.Diagnostics;
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

/// <summary>equinorm rescale: read, solve, write, report.</summary>
internal static class RescaleCommand
{
    /// <summary>Runs the command.</summary>
    public static ExitCode Run(RescaleRequest request, ResultFormat format, Streams streams, Gpus gpus, CancellationToken cancellation)
    {
        CheckOutput(request);
        if (request.Biases == BiasHandling.Absorb && request.Model.Normalization != NormalizationHandling.Fold)
        {
            throw new CliException(ExitCode.Usage, "--absorb-bias moves the biases of folded batch normalisations; it needs --batch-norm fold.");
        }

        // Before the model is read: a GPU that is not there should be said at once.
        using var backend = BackendFactory.Create(request.Backend, request.Threads, gpus, streams);
        var clock = Stopwatch.StartNew();
        using var model = OnnxModel.Open(request.Input);
        using var onnx = model.Analyze(request.Model);
        var opened = clock.Elapsed;
        long bytes = model.Length;
        var outcome = Solve(request, onnx, backend, streams, cancellation) with { Bytes = bytes };
        outcome = outcome with { Read = opened + outcome.Result.Timings.Read };
        if (outcome.Result.Scalings is not { } scalings)
        {
            throw new CliException(ExitCode.NonFinite, $"{request.Input}: {outcome.Result.Advice}");
        }

        if (request.Mode == WriteMode.Write)
        {
            outcome = outcome with { Saved = Save(onnx, request.Output!, scalings, outcome.Absorption, cancellation) };
        }

        if (format == ResultFormat.Json)
        {
            streams.Out.WriteLine(JsonSerializer.Serialize(RescaleJson.Of(outcome), Documents.Default.RescaleDocument));
        }
        else
        {
            RescaleText.Write(outcome, Page.For(streams));
        }

        return outcome.ExitCode;
    }

    // Before any work: an hour of solving must not end in "no such directory".
    private static void CheckOutput(RescaleRequest request)
    {
        if (request.Mode == WriteMode.DryRun)
        {
            return;
        }

        if (string.IsNullOrEmpty(request.Output))
        {
            throw new CliException(ExitCode.Usage, "Say where the rescaled model goes with '-o OUT.onnx', or use --dry-run.");
        }

        OutputFile.Check(request.Output);
    }

    private static RescaleOutcome Solve(
        RescaleRequest request, OnnxNetwork onnx, IBackend backend, Streams streams, CancellationToken cancellation)
    {
        var network = FrozenNames.Freeze(onnx.Network, request.Freeze);
        using var tensors = onnx.Bind(network);
        using var progress = new ProgressLine(streams);
        var problem = new RescalingProblem(network) { Norm = request.Norm, Penalty = request.Penalty.Penalty };
        var result = RescalingSolver.Solve(problem, tensors, request.Options, backend, progress, cancellation);
        var identity = Scalings.Identity(network);
        var surveys = NetworkSurvey.Take(tensors, request.Norm, request.Threads, identity, result.Scalings ?? identity);
        return new RescaleOutcome(request, network, result, surveys[0], surveys[1], onnx.FoldedNormalizations)
        {
            Scaled = onnx.ScaledNormalizations,
            Absorption = request.Biases == BiasHandling.Absorb && result.Scalings is { } scalings ? onnx.PlanAbsorption(scalings) : null,
            Int8 = Int8(request, tensors, result.Scalings, cancellation),
        };
    }

    private static (Int8Survey Before, Int8Survey After, TimeSpan Time)? Int8(
        RescaleRequest request, NetworkTensors tensors, Scalings? scalings, CancellationToken cancellation)
    {
        if (request.Int8 == Int8Report.No || scalings is null)
        {
            return null;
        }

        try
        {
            var clock = Stopwatch.StartNew();
            var surveys = Int8Survey.Take(tensors, request.Threads, cancellation, Scalings.Identity(tensors.Network), scalings);
            return (surveys[0], surveys[1], clock.Elapsed);
        }
        catch (NetworkException e)
        {
            throw new CliException(ExitCode.NonFinite, e.Message + " Nothing was written.", e);
        }
    }

    private static OnnxSaveReport Save(
        OnnxNetwork onnx, string path, Scalings scalings, BiasAbsorption? absorption, CancellationToken cancellation)
    {
        try
        {
            return onnx.Save(path, scalings, absorption, cancellation);
        }
        catch (NetworkException e)
        {
            throw new CliException(ExitCode.NonFinite, e.Message + " Nothing was written.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw OutputFile.CannotWrite(path, e);
        }
    }
}
