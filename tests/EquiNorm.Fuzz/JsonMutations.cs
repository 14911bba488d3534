using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace EquiNorm.Fuzz;

/// <summary>Changes to a JSON text: of its tree (values replaced by extreme ones or by others, dropped, repeated), and of its words.</summary>
internal static class JsonMutations
{
    private static readonly string[] Words =
    [
        "0", "1", "-1", "2", "3", "8", "64", "2147483647", "2147483648", "4294967296", "9223372036854775807", "9223372036854775808", "4194304", "1e9", "1.0", "null", "true", "[]", "{}",
        "\"\"", "\"\\uD800\"", "\"weight\"", "\"bias\"", "\"diagonal\"", "\"input-output\"", "\"group-output-input\"", "\"float16\"", "\"F16\"", "\"F64\"", "\"I64\"", "\"F4\"", "\"BF16\"",
        "\"../x\"", "\"__metadata__\"", "[[[[[[[[[[[[[[[[[[[[", "{", "}", ",", ":", "\"groups\": 2,", "\"strides\": [0, 0],", "\"offset\": 576460752303423488,", "\"height\": 2147483647,",
    ];

    /// <summary>One to three changes.</summary>
    public static byte[] Mutate(byte[] source, Random random)
    {
        for (int n = random.Next(1, 4); n > 0; n--)
        {
            source = random.Next(3) switch
            {
                0 => OfTree(source, random),
                1 => OfWords(source, random),
                _ => ByteMutations.Once(source, source, random),
            };
        }

        return source;
    }

    private static byte[] OfTree(byte[] source, Random random)
    {
        // What an earlier change made of it need not be a tree that can be read, or written.
        try
        {
            var root = JsonNode.Parse(source);
            var nodes = new List<JsonNode>();
            Collect(root, nodes);
            if (nodes.Count > 1)
            {
                Change(nodes, random);
                return Encoding.UTF8.GetBytes(root!.ToJsonString());
            }
        }
        catch (Exception e) when (e is JsonException or ArgumentException or InvalidOperationException)
        {
        }

        return source;
    }

    private static void Change(List<JsonNode> nodes, Random random)
    {
        var node = nodes[random.Next(1, nodes.Count)];
        JsonNode? with = random.Next(4) switch
        {
            0 => Number(random),
            1 => nodes[random.Next(nodes.Count)].DeepClone(),
            2 => JsonValue.Create(new string('x', random.Next(300))),
            _ => null,
        };
        switch (node.Parent)
        {
            case JsonArray list:
                int at = list.IndexOf(node);
                list.RemoveAt(at);
                for (int copies = with is null ? 0 : random.Next(1, 4); copies > 0; copies--)
                {
                    list.Insert(at, with!.DeepClone());
                }

                break;
            case JsonObject parent:
                string name = node.GetPropertyName();
                if (with is null)
                {
                    parent.Remove(name);
                }
                else
                {
                    parent[name] = with;
                }

                break;
        }
    }

    private static JsonValue Number(Random random) =>
        random.Next(2) == 0 ? JsonValue.Create(random.Next(-2, 70)) : JsonValue.Create(ByteMutations.Extreme(random));

    private static void Collect(JsonNode? node, List<JsonNode> nodes)
    {
        if (node is null)
        {
            return;
        }

        nodes.Add(node);
        foreach (var child in node switch { JsonArray list => list, JsonObject o => o.Select(p => p.Value), _ => [] })
        {
            Collect(child, nodes);
        }
    }

    private static byte[] OfWords(byte[] source, Random random)
    {
        if (source.Length == 0)
        {
            return source;
        }

        var (start, end) = WordAt(source, random.Next(source.Length));
        var (from, to) = WordAt(source, random.Next(source.Length));
        byte[] word = random.Next(2) == 0 ? Encoding.UTF8.GetBytes(Words[random.Next(Words.Length)]) : source[from..to];
        return random.Next(4) == 0 ? [.. source[..end], .. word, .. source[end..]] : [.. source[..start], .. word, .. source[end..]];
    }

    private static (int Start, int End) WordAt(byte[] bytes, int at)
    {
        var (start, end) = (at, at);
        while (start > 0 && !IsBorder(bytes[start - 1]))
        {
            start--;
        }

        while (end < bytes.Length && !IsBorder(bytes[end]))
        {
            end++;
        }

        return (start, end);
    }

    private static bool IsBorder(byte b) => b is (byte)' ' or (byte)',' or (byte)':' or (byte)'[' or (byte)']' or (byte)'{' or (byte)'}' or (byte)'\n';
}
