namespace EquiNorm.Model;

/// <summary>
/// Channels of one activation (or of several that are added together) that are rescaled together. Sources write them and are
/// multiplied by their factors, sinks read them and are divided by their factors.
/// </summary>
public sealed class ChannelGroup
{
    internal ChannelGroup(int index, string name, int count, int firstChannel, string? pinnedBecause)
    {
        Index = index;
        Name = name;
        Count = count;
        FirstChannel = firstChannel;
        PinnedBecause = pinnedBecause;
    }

    /// <summary>Position in <see cref="Network.Groups"/>; groups stand in network order.</summary>
    public int Index { get; }

    /// <summary>The axes that were merged into this group, the first of them as its name.</summary>
    public string Name { get; }

    /// <summary>Number of channels.</summary>
    public int Count { get; }

    /// <summary>Index of this group's channel 0 among all channels of the network.</summary>
    public int FirstChannel { get; }

    /// <summary>Why all factors of this group stay 1, or null if the group is free.</summary>
    public string? PinnedBecause { get; }

    /// <summary>True if all factors of this group stay 1.</summary>
    public bool IsPinned => PinnedBecause is not null;

    /// <inheritdoc/>
    public override string ToString() => IsPinned ? $"{Name} [{Count}], pinned: {PinnedBecause}" : $"{Name} [{Count}]";
}

/// <summary>Consecutive channels of one group: [<paramref name="Start"/>, <paramref name="Start"/> + <paramref name="Count"/>).</summary>
/// <param name="Group">Index of the group.</param>
/// <param name="Start">First channel within the group.</param>
/// <param name="Count">Number of channels.</param>
public readonly record struct ChannelRange(int Group, int Start, int Count);
