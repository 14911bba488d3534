using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;

namespace EquiNorm.Testing.Safetensors;

/// <summary>Builds safetensors files for tests, independent of the product: a header in the order of the calls, the tensors' bytes behind it.</summary>
public sealed class SafetensorsBuilder
{
    private readonly List<(string Name, string Type, long[] Shape, byte[] Bytes)> _tensors = [];
    private readonly List<(string Key, string Text)> _metadata = [];

    /// <summary>The header is padded with spaces to a multiple of this.</summary>
    public int Alignment { get; init; } = 8;

    /// <summary>Adds a text to <c>__metadata__</c>.</summary>
    public SafetensorsBuilder Metadata(string key, string text)
    {
        _metadata.Add((key, text));
        return this;
    }

    /// <summary>Adds a tensor of any type by its bytes.</summary>
    public SafetensorsBuilder Add(string name, string type, long[] shape, byte[] bytes)
    {
        _tensors.Add((name, type, shape, bytes));
        return this;
    }

    /// <summary>Adds numbers as F32, F64, F16 or BF16, rounded by truncation of the binary32 for BF16.</summary>
    public SafetensorsBuilder Add(string name, string type, long[] shape, double[] values) => Add(name, type, shape, Encode(type, values));

    /// <summary>Numbers as bytes of a floating-point type.</summary>
    public static byte[] Encode(string type, double[] values) => type switch
    {
        "F64" => MemoryMarshal.AsBytes(values.AsSpan()).ToArray(),
        "F32" => MemoryMarshal.AsBytes(Array.ConvertAll(values, v => (float)v).AsSpan()).ToArray(),
        "F16" => MemoryMarshal.AsBytes(Array.ConvertAll(values, v => (Half)v).AsSpan()).ToArray(),
        "BF16" => MemoryMarshal.AsBytes(Array.ConvertAll(values, v => (ushort)(BitConverter.SingleToUInt32Bits((float)v) >> 16)).AsSpan()).ToArray(),
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "No floating-point type."),
    };

    /// <summary>Bytes of a floating-point type as numbers.</summary>
    public static double[] Decode(string type, byte[] bytes) => type switch
    {
        "F64" => MemoryMarshal.Cast<byte, double>(bytes).ToArray(),
        "F32" => Array.ConvertAll(MemoryMarshal.Cast<byte, float>(bytes).ToArray(), v => (double)v),
        "F16" => Array.ConvertAll(MemoryMarshal.Cast<byte, Half>(bytes).ToArray(), v => (double)v),
        "BF16" => Array.ConvertAll(MemoryMarshal.Cast<byte, ushort>(bytes).ToArray(), v => (double)BitConverter.UInt32BitsToSingle((uint)v << 16)),
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "No floating-point type."),
    };

    /// <summary>A file of any header and data: the length in front is that of the header.</summary>
    public static byte[] Raw(string header, byte[] data)
    {
        byte[] text = Encoding.UTF8.GetBytes(header);
        byte[] length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, text.Length);
        return [.. length, .. text, .. data];
    }

    /// <summary>The tensors of a file by name: type, shape and bytes. Trusts the file.</summary>
    public static Dictionary<string, (string Type, long[] Shape, byte[] Bytes)> Read(byte[] file)
    {
        int header = (int)BinaryPrimitives.ReadInt64LittleEndian(file);
        using var json = JsonDocument.Parse(file.AsMemory(8, header));
        return json.RootElement.EnumerateObject().Where(p => p.Name != "__metadata__").ToDictionary(p => p.Name, p =>
        {
            long[] offsets = [.. p.Value.GetProperty("data_offsets").EnumerateArray().Select(o => o.GetInt64())];
            return (
                p.Value.GetProperty("dtype").GetString()!,
                p.Value.GetProperty("shape").EnumerateArray().Select(e => e.GetInt64()).ToArray(),
                file[(int)(8 + header + offsets[0])..(int)(8 + header + offsets[1])]);
        });
    }

    /// <summary>The file.</summary>
    public byte[] ToArray()
    {
        var entries = new List<string>();
        if (_metadata.Count > 0)
        {
            entries.Add($"\"__metadata__\":{{{string.Join(",", _metadata.Select(m => $"{JsonSerializer.Serialize(m.Key)}:{JsonSerializer.Serialize(m.Text)}"))}}}");
        }

        long position = 0;
        foreach (var (name, type, shape, bytes) in _tensors)
        {
            entries.Add($"{JsonSerializer.Serialize(name)}:{{\"dtype\":\"{type}\",\"shape\":[{string.Join(",", shape)}],\"data_offsets\":[{position},{position + bytes.Length}]}}");
            position += bytes.Length;
        }

        string header = $"{{{string.Join(",", entries)}}}";
        int length = Encoding.UTF8.GetByteCount(header);
        header += new string(' ', (Alignment - length % Alignment) % Alignment);
        return Raw(header, [.. _tensors.SelectMany(t => t.Bytes)]);
    }

    /// <summary>Writes the file and returns its path.</summary>
    public string Save(string path)
    {
        File.WriteAllBytes(path, ToArray());
        return path;
    }
}
