using System.Text.Json;
using System.Text.Unicode;
using EquiNorm.Files;

namespace EquiNorm.Safetensors;

/// <summary>JSON files beside the tensors: the index of a sharded model, a map of names.</summary>
internal static class TextFile
{
    /// <summary>Bytes of such a file.</summary>
    public const int MaxBytes = 1 << 28;

    /// <summary>Entries of a map of names.</summary>
    public const int MaxNames = 1 << 22;

    private static ReadOnlySpan<byte> ByteOrderMark => [0xEF, 0xBB, 0xBF];

    /// <summary>The shard of each tensor, as an index says: { "metadata": { ... }, "weight_map": { TENSOR: SHARD } }.</summary>
    /// <exception cref="SafetensorsException">The file is no such index, or a shard is not the name of a file beside it.</exception>
    public static Dictionary<string, string> ReadIndex(MappedFile file)
    {
        Dictionary<string, string>? map = null;
        JsonText.Guard(file.Path, "the index", Text(file), Root);
        foreach (var (tensor, shard) in map!)
        {
            if (shard.Length == 0 || shard is "." or ".." || shard.AsSpan().ContainsAny("/\\:\0"))
            {
                throw new SafetensorsException(file.Path, $"the index says that tensor '{tensor}' is in '{shard}', which is not the name of a file beside it; refused.");
            }
        }

        return map;

        void Root(ref Utf8JsonReader reader)
        {
            bool hasMetadata = false;
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
            {
                throw new SafetensorsException(file.Path, "the index is no object with weight_map.");
            }

            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                string name = reader.GetString()!;
                reader.Read();
                if (name == "weight_map" && map is null)
                {
                    map = JsonText.Strings(ref reader, file.Path, name, MaxNames);
                }
                else if (name == "metadata" && !hasMetadata && reader.TokenType == JsonTokenType.StartObject)
                {
                    hasMetadata = true;
                    reader.Skip();
                }
                else
                {
                    throw new SafetensorsException(file.Path, $"the index has an unknown property '{name}', or has it twice; weight_map and an object metadata are known.");
                }
            }

            reader.Read();
            if (map is null)
            {
                throw new SafetensorsException(file.Path, "the index has no weight_map.");
            }
        }
    }

    /// <summary>A map from names to names: { NAME: NAME }.</summary>
    /// <exception cref="SafetensorsException">The file is none.</exception>
    public static Dictionary<string, string> ReadNames(MappedFile file)
    {
        Dictionary<string, string>? map = null;
        JsonText.Guard(file.Path, "the map of names", Text(file), (ref reader) =>
        {
            reader.Read();
            map = JsonText.Strings(ref reader, file.Path, "the map of names", MaxNames);
            reader.Read();
        });
        return map!;
    }

    private static ReadOnlySpan<byte> Text(MappedFile file)
    {
        if (file.Length > MaxBytes)
        {
            throw new SafetensorsException(file.Path, $"has {file.Length} bytes; of a JSON file at most {MaxBytes} are read.");
        }

        var text = file.Span(0, (int)file.Length);
        if (!Utf8.IsValid(text))
        {
            throw new SafetensorsException(file.Path, "is not UTF-8 text.");
        }

        return text.StartsWith(ByteOrderMark) ? text[ByteOrderMark.Length..] : text;
    }
}
