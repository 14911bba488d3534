namespace EquiNorm.Model;

/// <summary>
/// Union-find over single channels, and the forming of groups: merged channels are one unknown, and unknowns that were merged from the
/// same axes for the same reason form one group. Additions of concatenations thus fall apart into the ranges that move independently.
/// A channel may be merged as the reciprocal of another one: its factor is d or 1/d of the one unknown.
/// </summary>
internal sealed class ChannelUnion
{
    private readonly List<int> _parent = [];
    private readonly List<bool> _againstParent = []; // whether a channel is the reciprocal of its parent
    private readonly List<int> _axisOf = [];
    private readonly List<string> _axisNames = [];
    private readonly Dictionary<int, string> _pins = [];
    private int _last = -1;
    private (ChannelGroup[] Groups, (int Group, int Index)[] Places)? _grouped;

    public int[] Create(string name, int count)
    {
        _grouped = null;
        var channels = new int[count];
        for (var c = 0; c < count; c++)
        {
            channels[c] = _parent.Count;
            _parent.Add(_parent.Count);
            _againstParent.Add(false);
            _axisOf.Add(_axisNames.Count);
        }

        _axisNames.Add(name);
        return channels;
    }

    /// <summary>Makes a channel that is never merged the last one of the network.</summary>
    public void PlaceLast(int channel)
    {
        _grouped = null;
        _last = channel;
    }

    public string NameOf(ChannelAxis axis) => axis.Length == 0 ? "no channels" : NameOf(axis.Channels[0]);

    public string NameOf(int channel) => _axisNames[_axisOf[channel]];

    public void Pin(int channel, string reason)
    {
        _grouped = null;
        _pins.TryAdd(Find(channel), reason);
    }

    public bool IsPinned(int channel) => _pins.ContainsKey(Find(channel));

    /// <summary>The channel whose unknown this one has, and whether it has its reciprocal.</summary>
    public (int Root, bool IsReciprocal) Unknown(int channel)
    {
        var root = Find(channel);
        return (root, channel != root && _againstParent[channel]);
    }

    /// <summary>Makes two channels one unknown.</summary>
    public void Merge(int a, int b) => Merge(a, b, false);

    /// <summary>Makes two channels one unknown, the factor of one the reciprocal of the other's. False if they share a factor already.</summary>
    public bool MergeReciprocal(int a, int b) => Merge(a, b, true);

    private bool Merge(int a, int b, bool reciprocal)
    {
        _grouped = null;
        var against = reciprocal;
        (a, var of) = Unknown(a);
        against ^= of;
        (b, of) = Unknown(b);
        against ^= of;
        if (a == b)
        {
            if (against)
            {
                _pins.TryAdd(a, "its factor would have to be its own reciprocal");
            }

            return !against;
        }

        // The older channel stays the root, so that groups keep network order.
        var (root, child) = a < b ? (a, b) : (b, a);
        _parent[child] = root;
        _againstParent[child] = against;
        if (_pins.Remove(child, out var reason))
        {
            _pins.TryAdd(root, reason);
        }

        return true;
    }

    /// <summary>The groups, and for each channel ever created its (group, index); kept until something changes.</summary>
    public (ChannelGroup[] Groups, (int Group, int Index)[] Places) Group() => _grouped ??= MakeGroups();

    private (ChannelGroup[] Groups, (int Group, int Index)[] Places) MakeGroups()
    {
        var signatures = Signatures();
        var byKey = new Dictionary<(string Signature, string? Reason), int>();
        var counts = new List<int>();
        var names = new List<string>();
        var reasons = new List<string?>();
        var places = new (int Group, int Index)[_parent.Count];
        foreach (var c in NetworkOrder())
        {
            var root = Find(c);
            if (root != c)
            {
                places[c] = places[root];
                continue;
            }

            var reason = _pins.GetValueOrDefault(c);
            var key = (signatures[c], reason);
            if (!byKey.TryGetValue(key, out var group))
            {
                group = counts.Count;
                byKey.Add(key, group);
                counts.Add(0);
                names.Add(_axisNames[_axisOf[c]]);
                reasons.Add(reason);
            }

            places[c] = (group, counts[group]++);
        }

        var groups = new ChannelGroup[counts.Count];
        var first = 0;
        var unique = UniqueNames(names);
        for (var g = 0; g < groups.Length; g++)
        {
            groups[g] = new ChannelGroup(g, unique[g], counts[g], first, reasons[g]);
            first += counts[g];
        }

        return (groups, places);
    }

    private IEnumerable<int> NetworkOrder()
    {
        var all = Enumerable.Range(0, _parent.Count);
        return _last < 0 ? all : all.Where(c => c != _last).Append(_last);
    }

    // Parts of one axis that ended up in different groups, and axes of one name, have a number behind it from the second on.
    private static List<string> UniqueNames(List<string> names)
    {
        var taken = new HashSet<string>(names, StringComparer.Ordinal);
        var seen = new Dictionary<string, int>(StringComparer.Ordinal);
        var unique = new List<string>(names.Count);
        foreach (var name in names)
        {
            var number = seen.GetValueOrDefault(name) + 1;
            var result = name;
            while (number > 1 && !taken.Add(result = $"{name} #{number}"))
            {
                number++;
            }

            seen[name] = number;
            unique.Add(result);
        }

        return unique;
    }

    public static ChannelMap MapOf(ChannelAxis axis, (int Group, int Index)[] places)
    {
        var ranges = new List<ChannelRange>();
        foreach (var channel in axis.Channels)
        {
            var (group, index) = places[channel];
            if (ranges.Count > 0 && ranges[^1] is var last && last.Group == group && last.Start + last.Count == index)
            {
                ranges[^1] = last with { Count = last.Count + 1 };
            }
            else
            {
                ranges.Add(new ChannelRange(group, index, 1));
            }
        }

        return new ChannelMap([.. ranges]);
    }

    // For each root the sorted list of the axes merged into it. Most channels are never merged, so sets are made for merged roots only.
    private string[] Signatures()
    {
        var merged = new Dictionary<int, SortedSet<int>>();
        for (var c = 0; c < _parent.Count; c++)
        {
            var root = Find(c);
            if (root != c)
            {
                if (!merged.TryGetValue(root, out var axes))
                {
                    merged.Add(root, axes = [_axisOf[root]]);
                }

                axes.Add(_axisOf[c]);
            }
        }

        var ofAxis = new string?[_axisNames.Count];
        var ofSet = new Dictionary<string, string>(StringComparer.Ordinal);
        var signatures = new string[_parent.Count];
        for (var c = 0; c < signatures.Length; c++)
        {
            if (merged.TryGetValue(c, out var axes))
            {
                var text = string.Join(',', axes);
                signatures[c] = ofSet.TryGetValue(text, out var shared) ? shared : ofSet[text] = text;
            }
            else
            {
                signatures[c] = ofAxis[_axisOf[c]] ??= _axisOf[c].ToString(System.Globalization.CultureInfo.InvariantCulture);
            }
        }

        return signatures;
    }

    private int Find(int channel)
    {
        var root = channel;
        var against = false;
        while (_parent[root] != root)
        {
            against ^= _againstParent[root];
            root = _parent[root];
        }

        while (_parent[channel] != root)
        {
            var (next, step) = (_parent[channel], _againstParent[channel]);
            (_parent[channel], _againstParent[channel]) = (root, against);
            against ^= step;
            channel = next;
        }

        return root;
    }
}
