using System.CommandLine;
using EquiNorm.Cli.Backends;
using EquiNorm.Cli.Commands;
using EquiNorm.Cli.Models;
using EquiNorm.Onnx;
using EquiNorm.Problem;
using static EquiNorm.Cli.ValueOption;

namespace EquiNorm.Cli;

/// <summary>Where a model is: an ONNX file, or a safetensors file with what it does not say itself.</summary>
/// <param name="name">The argument's name.</param>
internal sealed class PlaceOptions(string name = "MODEL")
{
    /// <summary>The file.</summary>
    public Argument<string> Model { get; } = new(name) { Description = "The model: *.onnx; or, with --network, *.safetensors or *.safetensors.index.json." };

    /// <summary>The network.</summary>
    public Option<string?> Network { get; } = new("--network")
    {
        Description = "The network of a safetensors model, as 'equinorm describe' writes it for an ONNX export.", HelpName = "NET.json",
    };

    /// <summary>Names that differ.</summary>
    public Option<string?> Names { get; } = new("--names")
    {
        Description = "A JSON object of names in the safetensors file by names in the network, where they differ.", HelpName = "NAMES.json",
    };

    /// <summary>What was given.</summary>
    public ModelPlace Read(ParseResult parsed) => new(parsed.GetRequiredValue(Model), parsed.GetValue(Network), parsed.GetValue(Names));
}

/// <summary>What a command says of the options that several share.</summary>
internal sealed record SolveWords(
    string Default, string Tolerance, string Gain, string Sweeps, string Penalty, string Exact, string Normalization, string Backend)
{
    /// <summary>Of `equinorm rescale`.</summary>
    public static SolveWords Rescale { get; } = new(
        "1e-8, and 1e-4 for --norm inf",
        "Certified relative gap to the optimum at which the solve ends; for --norm inf the residual.",
        "Largest factor G: every factor is within 1/G and G, and the optimum is that of all such factors.",
        "Largest number of sweeps.",
        "Weight of each tensor: none, size (1 / (fan-in fan-out)) or depth:C (c^(p h), h layers above the output).",
        "Powers of two only: scaling is exact, the norm is a little above the optimum.",
        "Fold batch normalisation; or keep it and rescale its parameters; or scale gamma and beta only, for a model that will be trained further.",
        "Where the problem is solved: auto is the first CUDA GPU that can be used, else the CPU.");

    /// <summary>Of `equinorm compare`.</summary>
    public static SolveWords Compare { get; } = new(
        "1e-8, and 1e-4 for inf",
        "Certified relative gap to the optimum at which a solve ends; for inf the residual.",
        "Largest factor G, as for rescale.",
        "Largest number of sweeps for a norm.",
        "Weight of each tensor, as for rescale.",
        "Powers of two only.",
        "What counts as the weights of a normalised layer, as for rescale.",
        "Where the problems are solved, as for rescale.");
}

/// <summary>The options of a command that solves: when a solve ends, and by what means.</summary>
/// <param name="words">What the command says of them.</param>
internal sealed class SolveOptions(SolveWords words)
{
    private readonly Option<double?> _tolerance = Unset("--tolerance", words.Default, words.Tolerance, "GAP", Values.Positive);
    private readonly Option<double?> _gain = Unset("--max-gain", "no limit", words.Gain, "G", Values.Gain);
    private readonly Option<int> _sweeps = Of<int>("--max-sweeps", "1000", words.Sweeps, "N", Values.Count);
    private readonly Option<PenaltyChoice> _penalty = Of<PenaltyChoice>("--penalty", "none", words.Penalty, "none|size|depth:C", Values.Penalty);
    private readonly Option<bool> _exact = new("--exact") { Description = words.Exact };
    private readonly Option<string[]> _freeze = new("--freeze") { Description = "Keep a weight or channel group as it is. Can be repeated.", HelpName = "NAME" };
    private readonly Option<NormalizationHandling> _normalization = Normalized(words);
    private readonly Option<SharedWeightHandling> _shared = Of<SharedWeightHandling>(
        "--shared-weights", "tie", "A weight with several readers: one set of factors, or a copy for each.", "tie|copy", Values.Shared);
    private readonly Option<BackendChoice> _backend = Of<BackendChoice>("--backend", "auto", words.Backend, "auto|cpu|cuda[:N]|ilgpu[:NAME]", Values.Backend);
    private readonly Option<int> _threads = Of<int>("--threads", "0", "Threads; 0 for one per processor.", "N", Values.Threads);

    /// <summary>What is solved for, and when it ends.</summary>
    public IReadOnlyList<Option> Ends => [_tolerance, _gain, _sweeps, _penalty];

    /// <summary>How the model is understood, and where it is solved.</summary>
    public IReadOnlyList<Option> Means => [_exact, _freeze, _normalization, _shared, _backend, _threads];

    /// <summary>Those that only an ONNX model has a use for.</summary>
    public IReadOnlyList<Option> ForOnnx => [_normalization, _shared];

    /// <summary>What was given.</summary>
    /// <param name="parsed">The parsed command line.</param>
    /// <param name="place">Where the model is.</param>
    /// <param name="order">Order of updates.</param>
    public SolveRequest Read(ParseResult parsed, ModelPlace place, SweepOrder order) => new(place)
    {
        Options = new RescalingOptions
        {
            Tolerance = parsed.GetValue(_tolerance),
            MaxGain = parsed.GetValue(_gain),
            MaxSweeps = parsed.GetValue(_sweeps),
            Order = order,
            Factors = parsed.GetValue(_exact) ? FactorSet.PowersOfTwo : FactorSet.Real,
        },
        Penalty = parsed.GetValue(_penalty)!,
        Model = new OnnxOptions { Normalization = parsed.GetValue(_normalization), SharedWeights = parsed.GetValue(_shared) },
        Freeze = parsed.GetValue(_freeze) ?? [],
        Backend = parsed.GetValue(_backend)!,
        Threads = parsed.GetValue(_threads),
    };

    private static Option<NormalizationHandling> Normalized(SolveWords words)
    {
        var option = Of<NormalizationHandling>("--batch-norm", "fold", words.Normalization, "fold|keep|scale", Values.Normalization);
        option.Aliases.Add("--bn");
        return option;
    }
}
