using System.Globalization;

namespace EquiNorm.Onnx.Files;

/// <summary>The external_data entries of a tensor: location, offset (default 0) and length (default: what the dims need).</summary>
internal sealed record ExternalEntry(string Location, long Offset, long? Length)
{
    /// <summary>Reads and checks the entries; others (checksum, basepath) are ignored.</summary>
    public static ExternalEntry Read(TensorLayout layout, string file)
    {
        string? location = null, offset = null, length = null;

        // Readers differ in which of two they take, and a writer would have to redirect both.
        if (layout.Header.ExternalData.GroupBy(e => e.Key, StringComparer.Ordinal).FirstOrDefault(g => g.Key is "location" or "offset" or "length" && g.Skip(1).Any()) is { } twice)
        {
            throw new OnnxFormatException(file, $"tensor '{layout.Header.Name}' has the {twice.Key} of its external data twice.");
        }

        foreach (var entry in layout.Header.ExternalData)
        {
            switch (entry.Key)
            {
                case "location":
                    location = entry.Value;
                    break;
                case "offset":
                    offset = entry.Value;
                    break;
                case "length":
                    length = entry.Value;
                    break;
            }
        }

        string name = layout.Header.Name;
        return location is null
            ? throw new OnnxFormatException(file, $"tensor '{name}' has external data and no location.")
            : new ExternalEntry(location, Number(offset, "offset") ?? 0, Number(length, "length"));

        long? Number(string? text, string key) => text is null ? null
            : long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long value) ? value
            : throw new OnnxFormatException(file, $"tensor '{name}': the {key} '{text}' of its external data is not a number of bytes.");
    }
}
