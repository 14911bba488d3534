using EquiNorm.Model;

namespace EquiNorm.Description;

/// <summary>Builds a network from the root of a description.</summary>
internal sealed class DescriptionReader
{
    /// <summary>What a description calls itself.</summary>
    public const string Format = "equinorm-network";

    /// <summary>The newest version of the form: it has reciprocal channels.</summary>
    public const int Version = 2;

    private static readonly string[] RootProperties = ["format", "version", "axes", "ties", "weights"];
    private static readonly string[] RootPropertiesFrom2 = [.. RootProperties, "inverse"];

    private readonly NetworkBuilder _builder = new();
    private readonly List<WeightEntry> _entries = [];

    /// <summary>Extents of the stored tensors by name, where an entry gives them; the first entry of a tensor that is used twice.</summary>
    public Dictionary<string, IReadOnlyList<long>> Shapes { get; } = new(StringComparer.Ordinal);

    /// <summary>Reads the network.</summary>
    /// <exception cref="NetworkException">Something is not as docs/network-json.md says.</exception>
    public Network Read(JsonPlace root)
    {
        // First of all: of another format, or another version, other properties are to be expected.
        if (root.Peek("format") is { } format && !(format.IsText && format.Text() == Format))
        {
            throw format.Unexpected($"\"{Format}\" is expected");
        }

        var version = (int)(root.Peek("version")?.Integer(1, Version) ?? Version);
        if (root.Properties(version < 2 ? RootProperties : RootPropertiesFrom2) is not [not null, not null, { } axes, var ties, { } weights, .. var later])
        {
            throw root.Wrong("it needs format, version, axes and weights.");
        }

        var table = new AxisTable(_builder);
        foreach (var axis in axes.Items("a list of axes"))
        {
            table.Declare(axis);
        }

        foreach (var tie in ties?.Items("a list of ties") ?? [])
        {
            Tie(tie, table);
        }

        foreach (var pair in (later is [{ } inverse] ? inverse.Items("a list of pairs of references to axes") : []))
        {
            TieInverse(pair, table);
        }

        foreach (var weight in weights.Items("a list of weights"))
        {
            var entry = WeightEntry.Read(weight, table, version);
            _entries.Add(entry);
            if (entry.StoredShape is { } shape)
            {
                Shapes.TryAdd(entry.Declaration.Name, shape);
            }
        }

        return Build(HeightsByName());
    }

    private void Tie(JsonPlace place, AxisTable table)
    {
        ChannelAxis? first = null;
        var count = 0;
        foreach (var reference in place.Items("a list of references to axes"))
        {
            var axis = table.Resolve(reference);
            first ??= axis;
            if (axis.Length != first.Length)
            {
                throw reference.Wrong($"it names {axis.Length} channels, and the first of this tie {first.Length}; references of equal length are expected.");
            }

            _builder.Tie(first, axis);
            count++;
        }

        if (count < 2)
        {
            throw place.Unexpected("at least two references are expected");
        }
    }

    private void TieInverse(JsonPlace place, AxisTable table)
    {
        var axes = place.Items("a pair of references to axes").Take(3).Select(r => (Place: r, Axis: table.Resolve(r))).ToArray();
        if (axes is not [var (_, axis), var (reference, reciprocal)])
        {
            throw place.Unexpected("two references are expected");
        }

        if (reciprocal.Length != axis.Length)
        {
            throw reference.Wrong($"it names {reciprocal.Length} channels, and the other of this pair {axis.Length}; references of equal length are expected.");
        }

        _builder.TieInverse(axis, reciprocal, place.ToString());
    }

    // A tensor has one height, on whichever of its uses it is given.
    private Dictionary<string, int> HeightsByName()
    {
        var heights = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var entry in _entries.Where(e => e.Declaration.Height is not null))
        {
            var height = entry.Declaration.Height!.Value;
            if (!heights.TryAdd(entry.Declaration.Name, height) && heights[entry.Declaration.Name] != height)
            {
                throw entry.Place.Wrong($"the height of '{entry.Declaration.Name}' is {height} here and {heights[entry.Declaration.Name]} before; one is expected.");
            }
        }

        return heights;
    }

    private Network Build(Dictionary<string, int> heights)
    {
        var tensors = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var entry in _entries)
        {
            tensors.TryAdd(entry.Declaration.Name, tensors.Count);
            entry.Declare(_builder, heights.TryGetValue(entry.Declaration.Name, out var height) ? height : null);
        }

        var network = _builder.Build();
        return heights.Count == network.Weights.Count ? network : _builder.Build(ListHeights.Of([.. _entries.Select(Use)], network));

        (int, WeightRole, ChannelMap, ChannelMap?) Use(WeightEntry entry) => (
            tensors[entry.Declaration.Name],
            entry.Declaration.Role,
            _builder.MapOf(entry.Output),
            entry.Input is null ? null : _builder.MapOf(entry.Input));
    }
}
