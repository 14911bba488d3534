namespace EquiNorm.Model;

/// <summary>The channels of one activation while a network is being built. Made and read by <see cref="NetworkBuilder"/>.</summary>
public sealed class ChannelAxis
{
    internal ChannelAxis(NetworkBuilder owner, int[] channels, ChannelAxis[] predecessors)
    {
        Owner = owner;
        Channels = channels;
        Predecessors = predecessors;
    }

    /// <summary>Number of channels.</summary>
    public int Length => Channels.Length;

    internal NetworkBuilder Owner { get; }

    internal int[] Channels { get; }

    /// <summary>The activations that this one was made from: the data flow, needed for the depth of a weight.</summary>
    internal ChannelAxis[] Predecessors { get; }
}

/// <summary>A tensor with the channels it writes and reads, and its further uses.</summary>
internal sealed record TensorUse(
    WeightDeclaration Declaration, ChannelAxis Output, ChannelAxis Input, List<(ChannelAxis Output, ChannelAxis Input)> Others);

/// <summary>
/// Height of each weight: the number of further weights on the longest path of activations from its output to the end of the network.
/// Activations are made after what they are made from, so the data flow has no cycle even where channel groups do (residual streams).
/// </summary>
internal static class ActivationHeights
{
    public static int[] Of(IReadOnlyList<TensorUse> uses)
    {
        var written = new HashSet<ChannelAxis>(ReferenceEqualityComparer.Instance);
        var axes = new List<ChannelAxis>();
        var seen = new HashSet<ChannelAxis>(ReferenceEqualityComparer.Instance);
        foreach (var use in uses.Where(u => u.Declaration.Role == WeightRole.Weight))
        {
            written.Add(use.Output);
            written.UnionWith(use.Others.Select(o => o.Output));
        }

        foreach (var use in uses)
        {
            Visit(use.Output, axes);
            foreach (var other in use.Others)
            {
                Visit(other.Output, axes);
            }
        }

        // Postorder lists predecessors first; walk it backwards and push heights towards the inputs.
        var height = new Dictionary<ChannelAxis, int>(ReferenceEqualityComparer.Instance);
        for (var a = axes.Count - 1; a >= 0; a--)
        {
            var axis = axes[a];
            var passed = height.GetValueOrDefault(axis) + (written.Contains(axis) ? 1 : 0);
            foreach (var predecessor in axis.Predecessors)
            {
                height[predecessor] = Math.Max(height.GetValueOrDefault(predecessor), passed);
            }
        }

        return [.. uses.Select(u => u.Others.Select(o => o.Output).Append(u.Output).Max(o => height.GetValueOrDefault(o)))];

        // Iterative: networks may be thousands of layers deep.
        void Visit(ChannelAxis root, List<ChannelAxis> postorder)
        {
            var stack = new Stack<(ChannelAxis Axis, int Next)>();
            if (seen.Add(root))
            {
                stack.Push((root, 0));
            }

            while (stack.TryPop(out var top))
            {
                if (top.Next < top.Axis.Predecessors.Length)
                {
                    stack.Push((top.Axis, top.Next + 1));
                    var next = top.Axis.Predecessors[top.Next];
                    if (seen.Add(next))
                    {
                        stack.Push((next, 0));
                    }
                }
                else
                {
                    postorder.Add(top.Axis);
                }
            }
        }
    }
}
