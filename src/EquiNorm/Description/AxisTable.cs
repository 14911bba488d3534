using EquiNorm.Model;

namespace EquiNorm.Description;

/// <summary>The axes of a description by name, and the references to them: a name, or a list of names and parts.</summary>
internal sealed class AxisTable(NetworkBuilder builder)
{
    private const string Reference = "the name of an axis, or a list of names and of objects with axis, start, count";

    private static readonly string[] AxisProperties = ["name", "channels", "pinned"];
    private static readonly string[] PartProperties = ["axis", "start", "count"];

    private readonly Dictionary<string, ChannelAxis> _axes = new(StringComparer.Ordinal);
    private long _channels;
    private long _positions;

    /// <summary>Declares an axis.</summary>
    public void Declare(JsonPlace place)
    {
        if (place.Properties(AxisProperties) is not [{ } name, { } channels, var pinned])
        {
            throw place.Wrong("an axis needs name and channels.");
        }

        var text = name.Text();
        var count = (int)channels.Integer(0, NetworkDescription.MaxChannels);
        _channels += count;
        if (_channels > NetworkDescription.MaxChannels)
        {
            throw channels.Unexpected($"all axes together may have {NetworkDescription.MaxChannels} channels, these are {_channels}");
        }

        if (_axes.ContainsKey(text))
        {
            throw name.Unexpected("a name that no other axis has is expected");
        }

        _axes.Add(text, pinned is null ? builder.Free(text, count) : builder.Pinned(text, count, pinned.Text()));
    }

    /// <summary>The channels that a reference names.</summary>
    public ChannelAxis Resolve(JsonPlace place)
    {
        if (place.IsText)
        {
            var whole = Find(place);
            Count(place, whole.Length);
            return whole;
        }

        // Counted before the channels are listed: a short text can name many.
        var parts = new List<(ChannelAxis Axis, int Start, int Count)>();
        foreach (var item in place.Items(Reference))
        {
            var part = Part(item);
            Count(item, part.Count);
            parts.Add(part);
        }

        return builder.Concat([.. parts.Select(p => p.Count == p.Axis.Length ? p.Axis : builder.Slice(p.Axis, p.Start, p.Count))]);
    }

    private (ChannelAxis Axis, int Start, int Count) Part(JsonPlace place)
    {
        if (place.IsText)
        {
            var whole = Find(place);
            return (whole, 0, whole.Length);
        }

        if (place.Properties(PartProperties) is not [{ } name, { } start, { } count])
        {
            throw place.Wrong("a part of an axis needs axis, start and count.");
        }

        var axis = Find(name);
        var first = (int)start.Integer(0, axis.Length);
        return (axis, first, (int)count.Integer(0, axis.Length - first));
    }

    private ChannelAxis Find(JsonPlace place) =>
        _axes.TryGetValue(place.Text(), out var axis) ? axis : throw place.Unexpected("the name of an axis is expected, and axes has none of that name");

    private void Count(JsonPlace place, int count)
    {
        _positions += count;
        if (_positions > NetworkDescription.MaxPositions)
        {
            throw place.Wrong($"all references together name more than {NetworkDescription.MaxPositions} channels.");
        }
    }
}
