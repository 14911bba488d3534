using System.Diagnostics;
using EquiNorm.Files;
using EquiNorm.Model;
using EquiNorm.Problem;

namespace EquiNorm.Safetensors;

/// <summary>A network whose weights are bound to the tensors of a safetensors model.</summary>
public sealed class SafetensorsNetwork : IDisposable
{
    private readonly SafetensorsTensor[] _stored;
    private NetworkTensors? _tensors;

    internal SafetensorsNetwork(SafetensorsModel model, Network network, SafetensorsTensor[] stored)
    {
        Model = model;
        Network = network;
        _stored = stored;
        var used = stored.ToHashSet();
        OtherTensors = [.. model.Tensors.Where(t => !used.Contains(t))];
    }

    /// <summary>The model.</summary>
    public SafetensorsModel Model { get; }

    /// <summary>The network.</summary>
    public Network Network { get; }

    /// <summary>The elements of <see cref="Network"/>'s weights, in the mapped files. Read only.</summary>
    public NetworkTensors Tensors => _tensors ??= Bind(Network);

    /// <summary>The tensors of the model that the network does not have: they stay as they are.</summary>
    public IReadOnlyList<SafetensorsTensor> OtherTensors { get; }

    /// <summary>The tensor of a weight.</summary>
    public SafetensorsTensor TensorOf(Weight weight) => _stored[weight.Index];

    /// <summary>Binds the elements to a network derived from <see cref="Network"/> (with frozen groups, say). Read only; dispose it after use.</summary>
    /// <exception cref="ArgumentException">The network has other weights.</exception>
    public unsafe NetworkTensors Bind(Network network)
    {
        RequireDerived(network);
        var result = new NetworkTensors(network);
        foreach (var weight in network.Weights)
        {
            var tensor = _stored[weight.Index];
            result.Bind(weight.Name, new TensorMemory((nint)((ITensorSource)tensor).Pointer(0, tensor.ByteLength), tensor.ElementCount, weight.ElementType));
        }

        return result;
    }

    /// <summary>
    /// Writes the model with the factors applied: the same header, the same bytes wherever nothing is rescaled. Files are written aside and renamed at the
    /// end. The shards of a sharded model go beside the new index, under their names, so it needs a directory of its own; or the model replaces itself.
    /// </summary>
    /// <param name="path">The output, a file or an index as the model is; may be the model itself; Windows needs it closed then, so it is.</param>
    /// <param name="scalings">Factors of <see cref="Network"/> or a network derived from it.</param>
    /// <param name="cancellation">Cancels the writing; nothing is left behind.</param>
    /// <exception cref="NetworkException">A rescaled element is not finite in its storage type; nothing is written.</exception>
    /// <exception cref="IOException">The output cannot be written, or would replace a file of the model that must stay.</exception>
    public SafetensorsSaveReport Save(string path, Scalings scalings, CancellationToken cancellation = default)
    {
        RequireDerived(scalings.Network);
        long start = Stopwatch.GetTimestamp();
        var transforms = new Dictionary<SafetensorsTensor, RescaleTransform>();
        foreach (var weight in scalings.Network.Weights)
        {
            var (output, input) = scalings.FactorsOf(weight);
            var transform = new RescaleTransform(weight.Name, weight.ElementType, weight.Layout, output, input);
            if (!transform.IsIdentity)
            {
                transforms.Add(_stored[weight.Index], transform);
            }
        }

        var apply = SafetensorsWriter.Write(Model, transforms, path, cancellation);
        return new SafetensorsSaveReport(apply, Stopwatch.GetElapsedTime(start) - apply, transforms.Values.Sum(t => t.Report.Underflowed));
    }

    /// <summary>Releases the binding; the model stays open.</summary>
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
/// <param name="Underflowed">Elements that were not zero and are zero now, below the smallest number of their storage type.</param>
public readonly record struct SafetensorsSaveReport(TimeSpan Apply, TimeSpan Write, long Underflowed);
