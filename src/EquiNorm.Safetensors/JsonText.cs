using System.Text.Json;

namespace EquiNorm.Safetensors;

/// <summary>Reads from a JSON text.</summary>
internal delegate void JsonBody(ref Utf8JsonReader reader);

/// <summary>What the readers of headers, indexes and names share: strict JSON, and errors that name the file.</summary>
internal static class JsonText
{
    private const int Depth = 16;

    /// <summary>Runs a reader over a text; whatever is wrong with the JSON becomes an error of the file.</summary>
    /// <param name="file">Path, for errors.</param>
    /// <param name="what">The text, for errors.</param>
    /// <param name="text">UTF-8.</param>
    /// <param name="body">Reads it.</param>
    public static void Guard(string file, string what, ReadOnlySpan<byte> text, JsonBody body)
    {
        try
        {
            var reader = new Utf8JsonReader(text, new JsonReaderOptions { MaxDepth = Depth });
            body(ref reader);
        }
        catch (JsonException e)
        {
            // The reader's own text counts lines from 0.
            throw new SafetensorsException(
                file, $"{what} is not valid JSON, line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1}: {e.Message.Split(" LineNumber:")[0]}", e);
        }
        catch (InvalidOperationException e)
        {
            // Halves of surrogate pairs are found when the text is asked for.
            throw new SafetensorsException(file, $"{what} holds a text that is not valid Unicode.", e);
        }
    }

    /// <summary>An object of texts by name; the reader stands at its beginning.</summary>
    /// <exception cref="SafetensorsException">It is none, holds something else, a name twice, or more than <paramref name="most"/> texts.</exception>
    public static Dictionary<string, string> Strings(ref Utf8JsonReader reader, string file, string what, int most)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw new SafetensorsException(file, $"{what} is no object of texts by name.");
        }

        var result = new Dictionary<string, string>(StringComparer.Ordinal);
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString()!;
            reader.Read();
            if (reader.TokenType != JsonTokenType.String)
            {
                throw new SafetensorsException(file, $"{what}: '{name}' is no text.");
            }

            if (!result.TryAdd(name, reader.GetString()!))
            {
                throw new SafetensorsException(file, $"{what}: '{name}' is there twice.");
            }

            if (result.Count > most)
            {
                throw new SafetensorsException(file, $"{what} has more than {most} entries.");
            }
        }

        return result;
    }
}
