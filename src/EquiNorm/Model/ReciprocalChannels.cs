namespace EquiNorm.Model;

/// <summary>
/// Which weights stand the other way round, once some channels take the reciprocal of their unknown: W d_out / d_in with d_out = 1/d is
/// W d_in' / d, a weight that reads d. So each weight has a direction t and each unknown that has reciprocals a sign s, with
/// s * (-1)^reciprocal = t for every free channel that the weight touches; t is forward where it touches a free channel without reciprocals.
/// A two-colouring: it is found by merging, and where it contradicts itself the unknown is pinned.
/// </summary>
internal static class ReciprocalChannels
{
    /// <summary>Finds directions. Pins, in network order, what has none.</summary>
    /// <param name="union">The channels.</param>
    /// <param name="uses">The weights.</param>
    /// <param name="links">A channel of each link, and what made it.</param>
    /// <returns>For each weight whether it is reversed.</returns>
    public static bool[] Orient(ChannelUnion union, IReadOnlyList<TensorUse> uses, IReadOnlyList<(int Channel, string Name)> links)
    {
        if (links.Count == 0)
        {
            return new bool[uses.Count];
        }

        var linked = new Dictionary<int, string>();
        foreach (var (channel, name) in links)
        {
            linked.TryAdd(union.Unknown(channel).Root, name);
        }

        while (true)
        {
            var colouring = new Colouring(union, linked);
            var isReversed = new bool[uses.Count];
            for (var t = 0; t < uses.Count; t++)
            {
                colouring.Add(t, uses[t]);
            }

            if (colouring.Contradictions.Count == 0)
            {
                for (var t = 0; t < uses.Count; t++)
                {
                    isReversed[t] = colouring.IsReversed(t);
                }

                return isReversed;
            }

            foreach (var (root, reason) in colouring.Contradictions)
            {
                union.Pin(root, reason);
            }
        }
    }

    // Nodes: -1 the direction forward, weights by index, unknowns by ~(root + 1); each with a parent and whether it is against it.
    private sealed class Colouring(ChannelUnion union, Dictionary<int, string> linked)
    {
        private const int Forward = -1;

        private readonly Dictionary<int, (int Parent, bool Against)> _nodes = [];

        public Dictionary<int, string> Contradictions { get; } = [];

        public bool IsReversed(int weight)
        {
            var (root, against) = Find(weight);
            return root == Find(Forward).Root ? against ^ Find(Forward).Against : against;
        }

        public void Add(int weight, TensorUse use)
        {
            var other = use.Declaration.OutputScale.IsEmpty ? null : "has a scale of its outputs";
            other ??= Alone(use.Output) is null ? null : "holds them together with channels that are rescaled by themselves";
            other ??= Alone(use.Input) is { } read ? $"reads '{union.NameOf(read)}', which is rescaled by itself" : null;

            if (other is not null)
            {
                Merge(Forward, weight, false);
            }

            foreach (var channel in (int[])[.. use.Output.Channels, .. use.Input.Channels])
            {
                var (root, isReciprocal) = union.Unknown(channel);
                if (!union.IsPinned(channel) && linked.TryGetValue(root, out var name) && !Merge(~(root + 1), weight, isReciprocal))
                {
                    Contradictions.TryAdd(
                        root,
                        $"{name}: it would need factors and their reciprocals (queries and keys), and weight '{use.Declaration.Name}' {other ?? "holds both"}");
                }
            }
        }

        // A free channel without reciprocals.
        private int? Alone(ChannelAxis axis)
        {
            foreach (var channel in axis.Channels)
            {
                if (!union.IsPinned(channel) && !linked.ContainsKey(union.Unknown(channel).Root))
                {
                    return channel;
                }
            }

            return null;
        }

        // The root of a stays the root.
        private bool Merge(int a, int b, bool against)
        {
            var (rootA, ofA) = Find(a);
            var (rootB, ofB) = Find(b);
            if (rootA == rootB)
            {
                return ofA ^ ofB == against;
            }

            _nodes[rootB] = (rootA, against ^ ofA ^ ofB);
            return true;
        }

        private (int Root, bool Against) Find(int node)
        {
            var (root, against) = (node, false);
            while (_nodes.TryGetValue(root, out var up))
            {
                root = up.Parent;
                against ^= up.Against;
            }

            if (root != node)
            {
                _nodes[node] = (root, against);
            }

            return (root, against);
        }
    }
}
