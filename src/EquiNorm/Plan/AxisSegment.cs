using System.Runtime.CompilerServices;
using EquiNorm.Model;

namespace EquiNorm.Plan;

/// <summary>The two channel axes of a weight.</summary>
public enum Axis
{
    /// <summary>The channels that a weight writes; they multiply it.</summary>
    Output = 0,

    /// <summary>The channels that a weight reads; they divide it.</summary>
    Input = 1,
}

/// <summary>
/// The positions of a weight's axis that belong to one channel group. A whole axis is one segment unless it is a concatenation; a block
/// (output segment x input segment) of a weight is an edge of the coarse problem.
/// </summary>
public sealed class AxisSegment
{
    private int[]? _channels;

    // A run of consecutive channels, which is what most axes are.
    private AxisSegment(int group, int start, int firstChannel, int count)
    {
        Group = group;
        Start = start;
        FirstChannel = firstChannel;
        Count = count;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal AxisSegment(int group, int start, int[] channels)
        : this(group, start, channels.Length > 0 ? channels[0] : 0, channels.Length)
    {
        _channels = channels;
        for (var i = 0; i < channels.Length; i++)
        {
            if (channels[i] != FirstChannel + i)
            {
                FirstChannel = -1;
                break;
            }
        }
    }

    /// <summary>Index of the channel group.</summary>
    public int Group { get; }

    /// <summary>First position of the axis that belongs to the segment.</summary>
    public int Start { get; }

    /// <summary>Positions covered, from <see cref="Start"/>; some of them may belong to other segments (interleaved channels).</summary>
    public int Count { get; }

    /// <summary>For each covered position its channel among all channels of the network, or -1 if it belongs to another segment.</summary>
    public int[] Channels => _channels ??= [.. Enumerable.Range(FirstChannel, Count)];

    /// <summary>The channel of the first position if the channels are consecutive, else -1.</summary>
    public int FirstChannel { get; }

    /// <summary>Splits an axis by group.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static AxisSegment[] Of(ChannelMap map, IReadOnlyList<ChannelGroup> groups)
    {
        if (map.Ranges is [var only])
        {
            return [new AxisSegment(only.Group, 0, groups[only.Group].FirstChannel + only.Start, only.Count)];
        }

        var bounds = new SortedDictionary<int, (int First, int Last)>();
        var position = 0;
        foreach (var range in map.Ranges)
        {
            var first = bounds.TryGetValue(range.Group, out var seen) ? seen.First : position;
            position += range.Count;
            bounds[range.Group] = (first, position - 1);
        }

        var channels = map.ToChannels(groups);
        var segments = new List<AxisSegment>();
        foreach (var (group, (first, last)) in bounds)
        {
            var low = groups[group].FirstChannel;
            var high = low + groups[group].Count;
            var covered = channels[first..(last + 1)];
            for (var i = 0; i < covered.Length; i++)
            {
                covered[i] = covered[i] >= low && covered[i] < high ? covered[i] : -1;
            }

            segments.Add(new AxisSegment(group, first, covered));
        }

        return [.. segments];
    }
}
