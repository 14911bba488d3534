using System.Runtime.CompilerServices;

namespace EquiNorm.Model;

/// <summary>
/// Which channel each position of a tensor's axis belongs to. Most axes are one whole group; a concatenation has a range per part, a
/// channel shuffle a range per position.
/// </summary>
public sealed class ChannelMap
{
    private readonly ChannelRange[] _ranges;

    internal ChannelMap(ChannelRange[] ranges)
    {
        _ranges = ranges;
        foreach (var range in ranges)
        {
            Length += range.Count;
        }
    }

    /// <summary>Number of positions.</summary>
    public int Length { get; }

    /// <summary>The ranges, in the order of the positions.</summary>
    public IReadOnlyList<ChannelRange> Ranges => _ranges;

    /// <summary>Writes for each position its channel's index among all channels of the network.</summary>
    /// <param name="groups">The groups of the network.</param>
    /// <param name="channels">Receives <see cref="Length"/> indices.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void CopyChannels(IReadOnlyList<ChannelGroup> groups, Span<int> channels)
    {
        var position = 0;
        foreach (var range in _ranges)
        {
            var first = groups[range.Group].FirstChannel + range.Start;
            for (var i = 0; i < range.Count; i++)
            {
                channels[position++] = first + i;
            }
        }
    }

    /// <summary>For each position its channel's index among all channels of the network.</summary>
    /// <param name="groups">The groups of the network.</param>
    public int[] ToChannels(IReadOnlyList<ChannelGroup> groups)
    {
        var channels = new int[Length];
        CopyChannels(groups, channels);
        return channels;
    }
}
