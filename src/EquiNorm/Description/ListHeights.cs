using EquiNorm.Model;

namespace EquiNorm.Description;

/// <summary>
/// Heights where a description gives none: the longest path along which each weight reads channels that earlier weights in the list
/// write. A list has no data flow of its own: in a residual stream the order alone says what comes before what.
/// </summary>
internal static class ListHeights
{
    /// <summary>The height of each tensor, the largest of its uses.</summary>
    /// <param name="uses">In the order of the list: index of the tensor, what it is, its channels; no input for a bias.</param>
    /// <param name="network">The network.</param>
    public static int[] Of(IReadOnlyList<(int Tensor, WeightRole Role, ChannelMap Output, ChannelMap? Input)> uses, Network network)
    {
        var heights = new int[network.Weights.Count];
        var behind = new int[network.ChannelCount]; // further weights on the longest path from a channel, among those seen so far
        for (var u = uses.Count - 1; u >= 0; u--)
        {
            var (tensor, role, output, input) = uses[u];
            var height = Largest(behind, output, network);
            heights[tensor] = Math.Max(heights[tensor], height);
            if (role == WeightRole.Weight && input is not null)
            {
                Raise(behind, input, network, height + 1);
            }
        }

        return heights;
    }

    private static int Largest(int[] behind, ChannelMap map, Network network)
    {
        var largest = 0;
        foreach (var range in map.Ranges)
        {
            foreach (var height in behind.AsSpan(network.Groups[range.Group].FirstChannel + range.Start, range.Count))
            {
                largest = Math.Max(largest, height);
            }
        }

        return largest;
    }

    private static void Raise(int[] behind, ChannelMap map, Network network, int height)
    {
        foreach (var range in map.Ranges)
        {
            foreach (ref var channel in behind.AsSpan(network.Groups[range.Group].FirstChannel + range.Start, range.Count))
            {
                channel = Math.Max(channel, height);
            }
        }
    }
}
