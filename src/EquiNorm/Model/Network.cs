namespace EquiNorm.Model;

/// <summary>
/// A network as equi-normalization sees it: weights between groups of channels. Shapes and types only; the elements are bound by
/// <see cref="NetworkTensors"/>. Immutable; built by <see cref="NetworkBuilder"/>.
/// </summary>
public sealed class Network
{
    private readonly Dictionary<string, Weight> _byName;

    internal Network(Weight[] weights, ChannelGroup[] groups, IReadOnlyList<string> notes)
    {
        Weights = weights;
        Groups = groups;
        Notes = notes;
        ChannelCount = groups.Sum(g => g.Count);
        _byName = weights.ToDictionary(w => w.Name, StringComparer.Ordinal);
    }

    /// <summary>All weights and biases, in network order.</summary>
    public IReadOnlyList<Weight> Weights { get; }

    /// <summary>All channel groups, pinned ones too, in network order.</summary>
    public IReadOnlyList<ChannelGroup> Groups { get; }

    /// <summary>Channels of all groups, pinned ones too.</summary>
    public int ChannelCount { get; }

    /// <summary>Channels of the free groups: the number of unknowns.</summary>
    public int FreeChannelCount => Groups.Where(g => !g.IsPinned).Sum(g => g.Count);

    /// <summary>What a user should know of how the network was understood (tied weights that could not be merged, say).</summary>
    public IReadOnlyList<string> Notes { get; }

    /// <summary>The weight of that name.</summary>
    /// <exception cref="NetworkException">There is none.</exception>
    public Weight Weight(string name) => _byName.TryGetValue(name, out var weight)
        ? weight
        : throw new NetworkException($"The network has no weight '{name}'.");

    /// <summary>The weight of that name, or null.</summary>
    public Weight? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>Whether another network has the same weights (names, types, layouts) in the same order, whatever is pinned in it.</summary>
    public bool HasSameWeights(Network other) =>
        Weights.Count == other.Weights.Count
        && Weights.Zip(other.Weights).All(w =>
            w.First.Name == w.Second.Name && w.First.ElementType == w.Second.ElementType && w.First.Layout == w.Second.Layout);

    /// <summary>
    /// The same network with every group pinned that a named weight reads or writes, or that is named itself. A weight named here
    /// keeps every element.
    /// </summary>
    /// <exception cref="NetworkException">A name is neither a weight nor a group.</exception>
    public Network Freeze(IEnumerable<string> names)
    {
        var reasons = Groups.Select(g => g.PinnedBecause).ToArray();
        foreach (var name in names)
        {
            var reason = $"frozen by request ({name})";
            var found = false;
            foreach (var group in Groups.Where(g => g.Name == name))
            {
                reasons[group.Index] ??= reason;
                found = true;
            }

            if (_byName.TryGetValue(name, out var weight))
            {
                found = true;
                foreach (var range in weight.Outputs.Ranges.Concat(weight.Inputs.Ranges))
                {
                    reasons[range.Group] ??= reason;
                }
            }

            if (!found)
            {
                throw new NetworkException($"Cannot freeze '{name}': the network has no weight or channel group of that name.");
            }
        }

        var groups = Groups.Select(g => new ChannelGroup(g.Index, g.Name, g.Count, g.FirstChannel, reasons[g.Index])).ToArray();
        return new Network([.. Weights], groups, Notes);
    }
}
