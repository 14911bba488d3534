using EquiNorm.Cli.Backends;
using EquiNorm.Cli.Models;
using EquiNorm.Onnx;
using EquiNorm.Problem;

namespace EquiNorm.Cli.Commands;

/// <summary>What `equinorm rescale` and `equinorm compare` are asked alike: a model, and how it is solved.</summary>
/// <param name="Place">Where the model is.</param>
internal record SolveRequest(ModelPlace Place)
{
    /// <summary>The model.</summary>
    public string Input => Place.Path;

    /// <summary>The network of a safetensors file as JSON; null for an ONNX model.</summary>
    public string? Network => Place.Network;

    /// <summary>How a problem is solved.</summary>
    public required RescalingOptions Options { get; init; }

    /// <summary>The penalty.</summary>
    public required PenaltyChoice Penalty { get; init; }

    /// <summary>How the model is understood.</summary>
    public required OnnxOptions Model { get; init; }

    /// <summary>Weights and groups to keep.</summary>
    public IReadOnlyList<string> Freeze { get; init; } = [];

    /// <summary>Where a problem is solved.</summary>
    public BackendChoice Backend { get; init; } = new(BackendKind.Auto);

    /// <summary>Threads; 0 for one per processor.</summary>
    public int Threads { get; init; }
}
