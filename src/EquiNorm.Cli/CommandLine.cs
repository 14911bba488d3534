using System.CommandLine;
using System.Text.Json;
using EquiNorm.Cli.Backends;
using EquiNorm.Cli.Commands;
using EquiNorm.Cli.Json;
using EquiNorm.Cli.Text;
using EquiNorm.Gpu.Cuda;
using EquiNorm.Onnx;
using EquiNorm.Problem;
using EquiNorm.Safetensors;
using static EquiNorm.Cli.ValueOption;

namespace EquiNorm.Cli;

/// <summary>The commands and their options, and the one place where failures become messages and exit codes.</summary>
internal static class CommandLine
{
    /// <summary>Runs the tool.</summary>
    /// <param name="args">Arguments, without the program's name.</param>
    /// <param name="streams">Where it writes.</param>
    /// <param name="cancellation">Cancels it.</param>
    /// <param name="gpus">The GPUs; null for those of this machine.</param>
    public static int Run(string[] args, Streams streams, CancellationToken cancellation = default, Gpus? gpus = null)
    {
        gpus ??= Gpus.Installed;
        var root = new RootCommand("Equi-normalization of ONNX and safetensors models: the equivalent network of smallest weight norm.")
        {
            Rescale(streams, gpus, cancellation),
            Compare(streams, gpus, cancellation),
            Inspect(streams, cancellation),
            Verify(streams, cancellation),
            Describe(streams, cancellation),
            Devices(streams, gpus),
        };
        root.Add(CommandReference.Command(root, streams));
        var parsed = root.Parse(args);
        if (CommandReference.IsHelp(parsed))
        {
            return (int)CommandReference.WriteHelp(parsed.CommandResult.Command, streams);
        }

        bool json = args.Contains("--json");
        if (parsed.Errors.Count > 0)
        {
            string problem = string.Join(" ", parsed.Errors.Select(e => e.Message));
            return (int)Fail(ExitCode.Usage, $"{problem} See 'equinorm --help' or 'equinorm COMMAND --help'.", json, streams);
        }

        try
        {
            return parsed.Invoke(new InvocationConfiguration
            {
                Output = streams.Out,
                Error = streams.Error,
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null, // Program cancels
            });
        }
        catch (Exception e) when (Describe(e) is var (code, message))
        {
            return (int)Fail(code, message, json, streams);
        }
    }

    private static (ExitCode Code, string Message)? Describe(Exception exception) => exception switch
    {
        CliException e => (e.Code, e.Message),
        OnnxFormatException e => (ExitCode.InvalidModel, e.Message),
        SafetensorsException e => (ExitCode.InvalidModel, e.Message),
        CudaException e => (ExitCode.Device, $"{e.Message} Nothing was written; --backend cpu does the same without a GPU."),
        OperationCanceledException => (ExitCode.Cancelled, "Cancelled. Nothing was written."),
        _ => null,
    };

    private static ExitCode Fail(ExitCode code, string message, bool json, Streams streams)
    {
        streams.Error.WriteLine($"equinorm: {message}");
        if (json)
        {
            streams.Out.WriteLine(JsonSerializer.Serialize(new FailureDocument(code.ToString(), (int)code, message), Documents.Default.FailureDocument));
        }

        return code;
    }

    private static Command Rescale(Streams streams, Gpus gpus, CancellationToken cancellation)
    {
        var place = new PlaceOptions();
        var output = new Option<string?>("--output", "-o") { Description = "Where the rescaled model goes; may be the model itself.", HelpName = "OUT" };
        var norm = Of<double>("--norm", "2", "Exponent p of the norm: 2, 1 or any positive number; or inf, which makes the largest magnitudes of each channel equal (cross-layer equalization).", "P", Values.Norm);
        var solve = new SolveOptions(SolveWords.Rescale);
        var order = Of<SweepOrder>("--order", "auto", "Order of updates. Every order ends at the same optimum (for --norm inf residual networks may have several end points).", "auto|sequential|jacobi|colored|forward-backward", Values.Order);
        var absorb = new Option<bool>("--absorb-bias") { Description = "Move high biases behind folded batch normalisations into the next layer. The function is then not quite the same." };
        var int8 = new Option<bool>("--int8") { Description = "Report the signal-to-noise of the weights in int8, before and after." };
        var dryRun = new Option<bool>("--dry-run") { Description = "Solve and report, write nothing." };
        var report = new Option<string?>("--report") { Description = "Also write a report as one HTML page: what was done, how well, what was left alone and why.", HelpName = "OUT.html" };
        var json = Json();
        var command = new Command("rescale", "Writes the equivalent model of smallest weight norm.") { place.Model, output, place.Network, place.Names, norm };
        Add(command, [.. solve.Ends, order, .. solve.Means, absorb, int8, dryRun, report, json]);
        ForOnnx(command, place, [.. solve.ForOnnx, absorb]);
        command.SetAction(p => (int)RescaleCommand.Run(
            new RescaleRequest(solve.Read(p, place.Read(p), p.GetValue(order)), p.GetValue(output), p.GetValue(norm))
            {
                Biases = p.GetValue(absorb) ? BiasHandling.Absorb : BiasHandling.Keep,
                Int8 = p.GetValue(int8) ? Int8Report.Yes : Int8Report.No,
                Mode = p.GetValue(dryRun) ? WriteMode.DryRun : WriteMode.Write,
                Report = p.GetValue(report),
                CommandLine = Values.Quote(p.Tokens.Select(t => t.Value)),
            },
            Format(p.GetValue(json)), streams, gpus, cancellation));
        return command;
    }

    private static Command Compare(Streams streams, Gpus gpus, CancellationToken cancellation)
    {
        var place = new PlaceOptions();
        var norms = Of<IReadOnlyList<double>>("--norms", "1,2,inf", "Exponents of the norms to compare: positive numbers, or inf.", "P,P,...", Values.Norms);
        var solve = new SolveOptions(SolveWords.Compare);
        var json = Json();
        var command = new Command("compare", "Solves a model for several norms and tables them, with what 8 bits lose of the weights. Writes nothing.")
        {
            place.Model, place.Network, place.Names, norms,
        };
        Add(command, [.. solve.Ends, .. solve.Means, json]);
        ForOnnx(command, place, solve.ForOnnx);
        command.SetAction(p => (int)CompareCommand.Run(
            new CompareRequest(solve.Read(p, place.Read(p), SweepOrder.Auto), p.GetValue(norms)!), Format(p.GetValue(json)), streams, gpus, cancellation));
        return command;
    }

    private static Command Inspect(Streams streams, CancellationToken cancellation)
    {
        var place = new PlaceOptions();
        var norm = Of<double>("--norm", "2", "Exponent p of the norm: any positive number, or inf for largest magnitudes.", "P", Values.Norm);
        var json = Json();
        var command = new Command("inspect", "Shows the channel groups of a model, what pins them, and the norms of its layers.") { place.Model, place.Network, place.Names, norm, json };
        command.SetAction(p => (int)InspectCommand.Run(place.Read(p), p.GetValue(norm), Format(p.GetValue(json)), streams, cancellation));
        return command;
    }

    private static Command Verify(Streams streams, CancellationToken cancellation)
    {
        var first = new PlaceOptions("A");
        var second = new Argument<string>("B") { Description = "What should be a rescaling of it." };
        var json = Json();
        var command = new Command("verify", "Proves from the two files that B is a rescaling of A.") { first.Model, second, first.Network, first.Names, json };
        command.SetAction(p => (int)VerifyCommand.Run(
            first.Read(p), first.Read(p) with { Path = p.GetRequiredValue(second) }, Format(p.GetValue(json)), streams, cancellation));
        return command;
    }

    private static Command Describe(Streams streams, CancellationToken cancellation)
    {
        var input = new Argument<string>("IN.onnx") { Description = "The model." };
        var output = new Option<string?>("--output", "-o") { Description = "Where the description goes; standard output if it is absent.", HelpName = "NET.json" };
        var command = new Command("describe", "Writes the network of a model as JSON: channel groups, and the weights between them.") { input, output };
        command.SetAction(p => (int)DescribeCommand.Run(p.GetRequiredValue(input), p.GetValue(output), streams, cancellation));
        return command;
    }

    private static Command Devices(Streams streams, Gpus gpus)
    {
        var json = Json();
        var command = new Command("devices", "Lists the GPUs, and says which of them can be used.") { json };
        command.SetAction(p => (int)DevicesCommand.Run(Format(p.GetValue(json)), streams, gpus));
        return command;
    }

    private static void Add(Command command, IEnumerable<Option> options)
    {
        foreach (var option in options)
        {
            command.Add(option);
        }
    }

    // What the description of a safetensors model says already.
    private static void ForOnnx(Command command, PlaceOptions place, IReadOnlyList<Option> options) => command.Validators.Add(result =>
    {
        if (result.GetValue(place.Network) is not null && options.FirstOrDefault(o => result.GetResult(o) is { Implicit: false }) is { } given)
        {
            result.AddError($"{given.Name} is for ONNX models: the description of a safetensors model says what is rescaled.");
        }
    });

    private static Option<bool> Json() => new("--json") { Description = "One JSON object on standard output instead of text." };

    private static ResultFormat Format(bool json) => json ? ResultFormat.Json : ResultFormat.Text;
}

/// <summary>How results are shown.</summary>
internal enum ResultFormat
{
    /// <summary>For people.</summary>
    Text,

    /// <summary>One JSON object.</summary>
    Json,
}
