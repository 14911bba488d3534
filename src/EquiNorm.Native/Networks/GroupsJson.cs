using System.Buffers;
using System.Text.Json;
using EquiNorm.Model;

namespace EquiNorm.Native.Networks;

/// <summary>The document of en_network_groups. Weights that count in the norm make a group; one that only biases know is left out.</summary>
internal static class GroupsJson
{
    public static byte[] Write(Network network)
    {
        var sources = Names(network, w => w.Outputs);
        var sinks = Names(network, w => w.Inputs);
        var buffer = new ArrayBufferWriter<byte>();
        using var json = new Utf8JsonWriter(buffer);
        json.WriteStartObject();
        json.WriteStartArray("groups");
        foreach (var group in network.Groups.Where(g => sources[g.Index].Count + sinks[g.Index].Count > 0))
        {
            json.WriteStartObject();
            json.WriteString("name", group.Name);
            json.WriteNumber("channels", group.Count);
            json.WriteString("pinned", group.PinnedBecause);
            Write(json, "sources", sources[group.Index]);
            Write(json, "sinks", sinks[group.Index]);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        Write(json, "notes", network.Notes);
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    private static void Write(Utf8JsonWriter json, string property, IReadOnlyList<string> names)
    {
        json.WriteStartArray(property);
        foreach (var name in names)
        {
            json.WriteStringValue(name);
        }

        json.WriteEndArray();
    }

    private static List<string>[] Names(Network network, Func<Weight, ChannelMap> axis)
    {
        var names = network.Groups.Select(_ => new List<string>()).ToArray();
        foreach (var weight in network.Weights.Where(w => w.Role == WeightRole.Weight))
        {
            foreach (var group in axis(weight).Ranges.Select(r => r.Group).Distinct())
            {
                names[group].Add(weight.Name);
            }
        }

        return names;
    }
}
