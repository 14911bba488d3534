using System.CommandLine;
using System.Text.Json;
using EquiNorm.Cli.Backends;
using EquiNorm.Cli.Commands;
using EquiNorm.Cli.Json;
using EquiNorm.Cli.Models;
using EquiNorm.Cli.Text;
using EquiNorm.Gpu.Cuda;
using EquiNorm.Onnx;
using EquiNorm.Problem;
using EquiNorm.Safetensors;

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
        var (input, network, names) = Place();
        var output = new Option<string?>("--output", "-o") { Description = "Where the rescaled model goes; may be the model itself.", HelpName = "OUT" };
        var norm = Option<double>("--norm", "2", "Exponent p of the norm: 2, 1 or any positive number; or inf, which makes the largest magnitudes of each channel equal (cross-layer equalization).", "P", Values.Norm);
        var tolerance = Unset("--tolerance", "1e-8, and 1e-4 for --norm inf", "Certified relative gap to the optimum at which the solve ends; for --norm inf the residual.", "GAP", Values.Positive);
        var gain = Unset("--max-gain", "no limit", "Largest factor G: every factor is within 1/G and G, and the optimum is that of all such factors.", "G", Values.Gain);
        var sweeps = Option<int>("--max-sweeps", "1000", "Largest number of sweeps.", "N", Values.Count);
        var penalty = Option<PenaltyChoice>("--penalty", "none", "Weight of each tensor: none, size (1 / (fan-in fan-out)) or depth:C (c^(p h), h layers above the output).", "none|size|depth:C", Values.Penalty);
        var order = Option<SweepOrder>("--order", "auto", "Order of updates. Every order ends at the same optimum (for --norm inf residual networks may have several end points).", "auto|sequential|jacobi|colored|forward-backward", Values.Order);
        var exact = new Option<bool>("--exact") { Description = "Powers of two only: scaling is exact, the norm is a little above the optimum." };
        var freeze = new Option<string[]>("--freeze") { Description = "Keep a weight or channel group as it is. Can be repeated.", HelpName = "NAME" };
        var normalization = Option<NormalizationHandling>("--batch-norm", "fold", "Fold batch normalisation; or keep it and rescale its parameters; or scale gamma and beta only, for a model that will be trained further.", "fold|keep|scale", Values.Normalization);
        normalization.Aliases.Add("--bn");
        var shared = Option<SharedWeightHandling>("--shared-weights", "tie", "A weight with several readers: one set of factors, or a copy for each.", "tie|copy", Values.Shared);
        var backend = Option<BackendChoice>("--backend", "auto", "Where the problem is solved: auto is the first CUDA GPU that can be used, else the CPU.", "auto|cpu|cuda[:N]|ilgpu[:NAME]", Values.Backend);
        var threads = Option<int>("--threads", "0", "Threads; 0 for one per processor.", "N", Values.Threads);
        var absorb = new Option<bool>("--absorb-bias") { Description = "Move high biases behind folded batch normalisations into the next layer. The function is then not quite the same." };
        var int8 = new Option<bool>("--int8") { Description = "Report the signal-to-noise of the weights in int8, before and after." };
        var dryRun = new Option<bool>("--dry-run") { Description = "Solve and report, write nothing." };
        var report = new Option<string?>("--report") { Description = "Also write a report as one HTML page: what was done, how well, what was left alone and why.", HelpName = "OUT.html" };
        var json = Json();
        var command = new Command("rescale", "Writes the equivalent model of smallest weight norm.")
        {
            input, output, network, names, norm, tolerance, gain, sweeps, penalty, order, exact, freeze, normalization, shared, backend, threads, absorb, int8, dryRun, report, json,
        };
        ForOnnx(command, network, normalization, shared, absorb);
        command.SetAction(p => (int)RescaleCommand.Run(
            new RescaleRequest(p.GetRequiredValue(input), p.GetValue(output), p.GetValue(norm))
            {
                Network = p.GetValue(network),
                Names = p.GetValue(names),
                Options = new RescalingOptions
                {
                    Tolerance = p.GetValue(tolerance),
                    MaxGain = p.GetValue(gain),
                    MaxSweeps = p.GetValue(sweeps),
                    Order = p.GetValue(order),
                    Factors = p.GetValue(exact) ? FactorSet.PowersOfTwo : FactorSet.Real,
                },
                Penalty = p.GetValue(penalty)!,
                Model = new OnnxOptions { Normalization = p.GetValue(normalization), SharedWeights = p.GetValue(shared) },
                Freeze = p.GetValue(freeze) ?? [],
                Backend = p.GetValue(backend)!,
                Threads = p.GetValue(threads),
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
        var (input, network, names) = Place();
        var norms = Option<IReadOnlyList<double>>("--norms", "1,2,inf", "Exponents of the norms to compare: positive numbers, or inf.", "P,P,...", Values.Norms);
        var tolerance = Unset("--tolerance", "1e-8, and 1e-4 for inf", "Certified relative gap to the optimum at which a solve ends; for inf the residual.", "GAP", Values.Positive);
        var gain = Unset("--max-gain", "no limit", "Largest factor G, as for rescale.", "G", Values.Gain);
        var sweeps = Option<int>("--max-sweeps", "1000", "Largest number of sweeps for a norm.", "N", Values.Count);
        var penalty = Option<PenaltyChoice>("--penalty", "none", "Weight of each tensor, as for rescale.", "none|size|depth:C", Values.Penalty);
        var exact = new Option<bool>("--exact") { Description = "Powers of two only." };
        var freeze = new Option<string[]>("--freeze") { Description = "Keep a weight or channel group as it is. Can be repeated.", HelpName = "NAME" };
        var normalization = Option<NormalizationHandling>("--batch-norm", "fold", "What counts as the weights of a normalised layer, as for rescale.", "fold|keep|scale", Values.Normalization);
        normalization.Aliases.Add("--bn");
        var shared = Option<SharedWeightHandling>("--shared-weights", "tie", "A weight with several readers: one set of factors, or a copy for each.", "tie|copy", Values.Shared);
        var backend = Option<BackendChoice>("--backend", "auto", "Where the problems are solved, as for rescale.", "auto|cpu|cuda[:N]|ilgpu[:NAME]", Values.Backend);
        var threads = Option<int>("--threads", "0", "Threads; 0 for one per processor.", "N", Values.Threads);
        var json = Json();
        var command = new Command("compare", "Solves a model for several norms and tables them, with what 8 bits lose of the weights. Writes nothing.")
        {
            input, network, names, norms, tolerance, gain, sweeps, penalty, exact, freeze, normalization, shared, backend, threads, json,
        };
        ForOnnx(command, network, normalization, shared);
        command.SetAction(p => (int)CompareCommand.Run(
            new CompareRequest(p.GetRequiredValue(input), p.GetValue(norms)!)
            {
                Network = p.GetValue(network),
                Names = p.GetValue(names),
                Options = new RescalingOptions
                {
                    Tolerance = p.GetValue(tolerance),
                    MaxGain = p.GetValue(gain),
                    MaxSweeps = p.GetValue(sweeps),
                    Factors = p.GetValue(exact) ? FactorSet.PowersOfTwo : FactorSet.Real,
                },
                Penalty = p.GetValue(penalty)!,
                Model = new OnnxOptions { Normalization = p.GetValue(normalization), SharedWeights = p.GetValue(shared) },
                Freeze = p.GetValue(freeze) ?? [],
                Backend = p.GetValue(backend)!,
                Threads = p.GetValue(threads),
            },
            Format(p.GetValue(json)), streams, gpus, cancellation));
        return command;
    }

    private static Command Inspect(Streams streams, CancellationToken cancellation)
    {
        var (input, network, names) = Place();
        var norm = Option<double>("--norm", "2", "Exponent p of the norm: any positive number, or inf for largest magnitudes.", "P", Values.Norm);
        var json = Json();
        var command = new Command("inspect", "Shows the channel groups of a model, what pins them, and the norms of its layers.") { input, network, names, norm, json };
        command.SetAction(p => (int)InspectCommand.Run(
            new ModelPlace(p.GetRequiredValue(input), p.GetValue(network), p.GetValue(names)), p.GetValue(norm), Format(p.GetValue(json)), streams, cancellation));
        return command;
    }

    private static Command Verify(Streams streams, CancellationToken cancellation)
    {
        var (first, network, names) = Place("A");
        var second = new Argument<string>("B") { Description = "What should be a rescaling of it." };
        var json = Json();
        var command = new Command("verify", "Proves from the two files that B is a rescaling of A.") { first, second, network, names, json };
        command.SetAction(p => (int)VerifyCommand.Run(
            new ModelPlace(p.GetRequiredValue(first), p.GetValue(network), p.GetValue(names)),
            new ModelPlace(p.GetRequiredValue(second), p.GetValue(network), p.GetValue(names)), Format(p.GetValue(json)), streams, cancellation));
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

    // A model: an ONNX file, or a safetensors file with what it does not say itself.
    private static (Argument<string> Input, Option<string?> Network, Option<string?> Names) Place(string name = "MODEL") => (
        new Argument<string>(name) { Description = "The model: *.onnx; or, with --network, *.safetensors or *.safetensors.index.json." },
        new Option<string?>("--network") { Description = "The network of a safetensors model, as 'equinorm describe' writes it for an ONNX export.", HelpName = "NET.json" },
        new Option<string?>("--names") { Description = "A JSON object of names in the safetensors file by names in the network, where they differ.", HelpName = "NAMES.json" });

    // What the description of a safetensors model says already.
    private static void ForOnnx(Command command, Option<string?> network, params Option[] options) => command.Validators.Add(result =>
    {
        if (result.GetValue(network) is not null && options.FirstOrDefault(o => result.GetResult(o) is { Implicit: false }) is { } given)
        {
            result.AddError($"{given.Name} is for ONNX models: the description of a safetensors model says what is rescaled.");
        }
    });

    private static Option<bool> Json() => new("--json") { Description = "One JSON object on standard output instead of text." };

    private static ResultFormat Format(bool json) => json ? ResultFormat.Json : ResultFormat.Text;

    private static Option<double?> Unset(string name, string missing, string description, string help, ValueReader<double> read) =>
        Described<double?>(name, missing, description, help, (string text, out double? value) =>
        {
            bool valid = read(text, out double number);
            value = number;
            return valid;
        });

    private static Option<T> Option<T>(string name, string missing, string description, string help, ValueReader<T> read)
    {
        var option = Described(name, missing, description, help, read);
        option.DefaultValueFactory = _ => read(missing, out var value) ? value : throw new InvalidOperationException($"{name}: bad default {missing}.");
        return option;
    }

    private static Option<T> Described<T>(string name, string missing, string description, string help, ValueReader<T> read) => new(name)
    {
        Description = $"{description} [default: {missing}]",
        HelpName = help,
        CustomParser = result =>
        {
            string text = result.Tokens.Count > 0 ? result.Tokens[^1].Value : "";
            if (!read(text, out var value))
            {
                result.AddError($"{name}: '{text}' is not a valid {help}.");
            }

            return value;
        },
    };
}

/// <summary>How results are shown.</summary>
internal enum ResultFormat
{
    /// <summary>For people.</summary>
    Text,

    /// <summary>One JSON object.</summary>
    Json,
}
