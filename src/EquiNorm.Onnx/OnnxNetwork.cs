using System.Diagnostics;
using EquiNorm.Model;
using EquiNorm.Onnx.Analysis;
using EquiNorm.Onnx.Files;
using EquiNorm.Onnx.Rescaling;
using EquiNorm.Problem;

namespace EquiNorm.Onnx;

/// <summary>The network of an ONNX model: weights between channel groups, bound to the tensors of the file.</summary>
public sealed class OnnxNetwork : IDisposable
{
    /// <summary>How the reason ends why <see cref="NormalizationHandling.Scale"/> pins what a normalisation reads; the node is named before it.</summary>
    public const string PinnedInTraining = "it uses the statistics of the batch in training";

    private readonly GraphAnalysis _analysis;
    private NetworkTensors? _tensors;

    internal OnnxNetwork(GraphAnalysis analysis)
    {
        _analysis = analysis;
        Network = _analysis.Builder.Build();
        FoldedNormalizations = [.. _analysis.Folding.All.Select(f => f.Normalization.DisplayName)];
        ScaledNormalizations = _analysis.ScaledNormalizations;
        Shapes = _analysis.Uses.All.Where(u => u.Role == UseRole.Declared).DistinctBy(u => u.WeightName)
            .ToDictionary(u => u.WeightName, u => (IReadOnlyList<long>)[.. u.Tensor.Dims]);
    }

    /// <summary>The network. The reason why a group is pinned names the node and its operator.</summary>
    public Network Network { get; }

    /// <summary>The elements of <see cref="Network"/>'s weights, in the mapped file; folded biases in memory. Read only.</summary>
    public NetworkTensors Tensors => _tensors ??= Bind(Network);

    /// <summary>The batch normalisations that are folded into the operator in front of them.</summary>
    public IReadOnlyList<string> FoldedNormalizations { get; }

    /// <summary>The batch normalisations whose gamma and beta carry factors, with <see cref="NormalizationHandling.Scale"/>.</summary>
    public IReadOnlyList<string> ScaledNormalizations { get; }

    /// <summary>Extents of the stored tensors by weight, outermost first; folded biases have none.</summary>
    public IReadOnlyDictionary<string, IReadOnlyList<long>> Shapes { get; }

    /// <summary>Binds the elements to a network derived from <see cref="Network"/> (with frozen groups, say). Read only; dispose it after use.</summary>
    /// <exception cref="ArgumentException">The network has other weights.</exception>
    public unsafe NetworkTensors Bind(Network network)
    {
        RequireDerived(network);
        var result = new NetworkTensors(network);
        foreach (var use in _analysis.Uses.All.Where(u => u.Role == UseRole.Declared))
        {
            var weight = network.Weight(use.WeightName);
            if (!result.IsBound(weight.Index))
            {
                var tensor = use.Tensor;
                result.Bind(weight.Name, new TensorMemory((nint)tensor.Pointer(0, tensor.ByteLength), tensor.ElementCount, weight.ElementType));
            }
        }

        foreach (var fold in _analysis.Folding.All)
        {
            result.Bind(fold.BiasName, fold.Bias);
        }

        return result;
    }

    /// <summary>
    /// Writes the model with the factors applied, to a temporary file that is renamed at the end. Tensors are streamed. With nothing
    /// free in the network the output is the input, byte for byte. A model with data files gets one, PATH.data.
    /// </summary>
    /// <param name="path">The output; may be the model itself; Windows needs it closed then, so it is.</param>
    /// <param name="scalings">Factors of <see cref="Network"/> or a network derived from it.</param>
    /// <param name="cancellation">Cancels the writing; nothing is left behind.</param>
    /// <exception cref="NetworkException">A rescaled element is not finite in its storage type; nothing is written.</exception>
    /// <exception cref="IOException">The output cannot be written.</exception>
    public OnnxSaveReport Save(string path, Scalings scalings, CancellationToken cancellation = default) =>
        Save(path, scalings, null, cancellation);

    /// <summary>The same, with biases moved. The output is then not quite the same function.</summary>
    /// <param name="path">The output; may be the model itself; Windows needs it closed then, so it is.</param>
    /// <param name="scalings">Factors of <see cref="Network"/> or a network derived from it.</param>
    /// <param name="absorption">A plan of <see cref="PlanAbsorption"/>; null to leave biases where they are.</param>
    /// <param name="cancellation">Cancels the writing; nothing is left behind.</param>
    /// <exception cref="NetworkException">A rescaled element is not finite in its storage type; nothing is written.</exception>
    /// <exception cref="IOException">The output cannot be written.</exception>
    public OnnxSaveReport Save(string path, Scalings scalings, BiasAbsorption? absorption, CancellationToken cancellation = default)
    {
        RequireDerived(scalings.Network);
        long start = Stopwatch.GetTimestamp();
        var changes = absorption?.Changes ?? new Dictionary<NodeLayout, double[]>();
        var rescaler = scalings.Network.FreeChannelCount == 0 && changes.Count == 0 ? null : ModelRescaler.Rescale(_analysis, scalings, changes);
        var apply = ModelWriter.Write(_analysis.Layout, rescaler?.Edits ?? new ModelEdits(_analysis.Layout), path, cancellation);
        return new OnnxSaveReport(apply, Stopwatch.GetElapsedTime(start) - apply, rescaler?.Copies ?? 0, rescaler?.Underflowed ?? 0);
    }

    /// <summary>
    /// Finds the high biases behind folded normalisations that the next layer can take. Nothing is found with other handlings of batch
    /// normalisation than <see cref="NormalizationHandling.Fold"/>.
    /// </summary>
    /// <param name="scalings">The factors that the model will be saved with; they decide the amounts, not the channels.</param>
    public BiasAbsorption PlanAbsorption(Scalings scalings)
    {
        RequireDerived(scalings.Network);
        return new AbsorptionPlanner(_analysis, Tensors, scalings).Plan();
    }

    /// <summary>Releases what was pinned in memory; the model stays open.</summary>
    public void Dispose() => _tensors?.Dispose();

    private void RequireDerived(Network network)
    {
        if (network.ChannelCount != Network.ChannelCount || !network.Weights.SequenceEqual(Network.Weights))
        {
            throw new ArgumentException("The network is not derived from this model's network.", nameof(network));
        }
    }
}

/// <summary>What saving did, and where its time went.</summary>
/// <param name="Apply">Applying factors.</param>
/// <param name="Write">Copying and writing.</param>
/// <param name="Copies">Tensors added because several nodes read one tensor and need different factors.</param>
/// <param name="Underflowed">Elements that were not zero and are zero now, below the smallest number of their storage type.</param>
public readonly record struct OnnxSaveReport(TimeSpan Apply, TimeSpan Write, int Copies, long Underflowed);
