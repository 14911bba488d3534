using System.Buffers.Binary;
using System.Text.Json;
using System.Text.Unicode;
using EquiNorm.Files;

namespace EquiNorm.Safetensors;

/// <summary>What the header of a safetensors file says.</summary>
/// <param name="Tensors">The tensors in the order of their bytes.</param>
/// <param name="Metadata">The texts of <c>__metadata__</c>.</param>
internal sealed record SafetensorsHeader(IReadOnlyList<SafetensorsTensor> Tensors, IReadOnlyDictionary<string, string> Metadata);

/// <summary>
/// Reads a header: a little-endian 64-bit length N, N bytes of JSON (an object, padded with white space), the bytes of the tensors. As strict as the
/// format's own reader, and more: no name twice, no property that it does not know, and the tensors' bytes follow one another from the first
/// byte behind the header to the last of the file. Nothing is allocated before the bytes that ask for it have been seen.
/// </summary>
internal sealed class HeaderReader
{
    /// <summary>Bytes of a header, the limit of the format's own reader.</summary>
    public const int MaxBytes = 100_000_000;

    /// <summary>Dimensions of a tensor: as many as NumPy and torch have.</summary>
    public const int MaxDimensions = 64;

    /// <summary>Texts in the metadata.</summary>
    public const int MaxMetadata = 1 << 20;

    private const int LengthBytes = 8;
    private const string MetadataName = "__metadata__";
    private readonly MappedFile _file;
    private readonly long _dataStart;
    private readonly Dictionary<string, SafetensorsTensor> _tensors = new(StringComparer.Ordinal);
    private Dictionary<string, string>? _metadata;

    private HeaderReader(MappedFile file, long dataStart)
    {
        _file = file;
        _dataStart = dataStart;
    }

    /// <summary>Reads and checks the header.</summary>
    /// <exception cref="SafetensorsException">It is not valid.</exception>
    public static SafetensorsHeader Read(MappedFile file)
    {
        if (file.Length < LengthBytes)
        {
            throw FileKinds.Explain(file) ?? new SafetensorsException(
                file.Path, $"has {file.Length} bytes; the length of a safetensors header alone has {LengthBytes}.");
        }

        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(file.Span(0, LengthBytes));
        if (length > MaxBytes || (long)length > file.Length - LengthBytes)
        {
            throw FileKinds.Explain(file) ?? new SafetensorsException(
                file.Path, $"the header should have {length} bytes; the file has {file.Length - LengthBytes} behind the length, and a header at most {MaxBytes}.");
        }

        var text = file.Span(LengthBytes, (int)length);
        if (text.IsEmpty || text[0] != (byte)'{')
        {
            throw FileKinds.Explain(file) ?? new SafetensorsException(file.Path, "the header does not begin with '{'.");
        }

        var reader = new HeaderReader(file, LengthBytes + (long)length);
        reader.ReadText(text);
        return new SafetensorsHeader(reader.InOrder(), reader._metadata ?? []);
    }

    private void ReadText(ReadOnlySpan<byte> text)
    {
        if (!Utf8.IsValid(text))
        {
            throw Invalid("the header is not UTF-8 text");
        }

        JsonText.Guard(_file.Path, "the header", text, ReadRoot);
    }

    private void ReadRoot(ref Utf8JsonReader reader)
    {
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString()!;
            reader.Read();
            if (name == MetadataName)
            {
                _metadata = _metadata is null
                    ? JsonText.Strings(ref reader, _file.Path, MetadataName, MaxMetadata)
                    : throw Invalid($"{MetadataName} is there twice");
            }
            else if (!_tensors.TryAdd(name, ReadTensor(ref reader, name)))
            {
                throw Invalid($"tensor '{name}' is there twice");
            }
        }

        reader.Read(); // anything but white space behind the object is an error of the JSON reader
    }

    private SafetensorsTensor ReadTensor(ref Utf8JsonReader reader, string name)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw Invalid($"tensor '{name}' is no object with dtype, shape and data_offsets");
        }

        string? type = null;
        long[]? shape = null, offsets = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string property = reader.GetString()!;
            reader.Read();
            if (property == "dtype" && type is null)
            {
                type = reader.TokenType == JsonTokenType.String ? reader.GetString()! : throw Invalid($"tensor '{name}': dtype is no text");
            }
            else if (property == "shape" && shape is null)
            {
                shape = Numbers(ref reader, name, property, MaxDimensions);
            }
            else if (property == "data_offsets" && offsets is null)
            {
                offsets = Numbers(ref reader, name, property, 2);
            }
            else
            {
                bool twice = property is "dtype" or "shape" or "data_offsets";
                throw Invalid($"tensor '{name}': {(twice ? $"{property} is there twice" : $"unknown property '{property}'; dtype, shape and data_offsets are known")}");
            }
        }

        return type is not null && shape is not null && offsets is [var begin, var end]
            ? Tensor(name, type, shape, begin, end)
            : throw Invalid($"tensor '{name}' needs dtype, shape and data_offsets [begin, end]");
    }

    private SafetensorsTensor Tensor(string name, string type, long[] shape, long begin, long end)
    {
        int bits = SafetensorsTypes.Bits(type);
        if (bits == 0)
        {
            throw Invalid($"tensor '{name}': the dtype '{type}' is not known, so its bytes cannot be checked");
        }

        Int128 count = shape.Contains(0) ? 0 : 1;
        foreach (long extent in shape)
        {
            count *= extent;
            if (count > long.MaxValue / 64)
            {
                throw Invalid($"tensor '{name}' has the impossible shape [{string.Join(", ", shape)}]");
            }
        }

        long data = _file.Length - _dataStart;
        if (begin > end || end > data)
        {
            throw Invalid($"tensor '{name}': its bytes [{begin}, {end}) do not lie within the {data} bytes behind the header");
        }

        long bytes = (long)(count * bits / 8);
        return count * bits % 8 == 0 && bytes == end - begin
            ? new SafetensorsTensor(_file, name, type, shape, _dataStart + begin, bytes)
            : throw Invalid($"tensor '{name}' of shape [{string.Join(", ", shape)}] and type {type} needs {count * bits / 8}{(count * bits % 8 == 0 ? "" : " and a part")} bytes and has {end - begin}");
    }

    // No holes, no overlaps, nothing behind the last one: a byte that no tensor owns could be anything, and one with two owners be rescaled twice.
    private List<SafetensorsTensor> InOrder()
    {
        var tensors = _tensors.Values.OrderBy(t => t.Start).ThenBy(t => t.ByteLength).ToList();
        long position = _dataStart;
        foreach (var tensor in tensors)
        {
            if (tensor.Start != position)
            {
                throw Invalid($"the bytes of tensor '{tensor.Name}' begin at {tensor.Start - _dataStart}; they should follow those of the tensor in front, at {position - _dataStart}");
            }

            position += tensor.ByteLength;
        }

        return position == _file.Length ? tensors
            : throw Invalid($"the tensors end at byte {position - _dataStart} behind the header; the file goes on to {_file.Length - _dataStart}");
    }

    private long[] Numbers(ref Utf8JsonReader reader, string tensor, string property, int most)
    {
        if (reader.TokenType != JsonTokenType.StartArray)
        {
            throw Invalid($"tensor '{tensor}': {property} is no list");
        }

        var numbers = new List<long>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (numbers.Count == most)
            {
                throw Invalid($"tensor '{tensor}': {property} has more than {most} numbers");
            }

            numbers.Add(reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out long number) && number >= 0
                ? number
                : throw Invalid($"tensor '{tensor}': number {numbers.Count} of {property} is no whole number from 0 to {long.MaxValue}"));
        }

        return [.. numbers];
    }

    private SafetensorsException Invalid(string what) => new(_file.Path, $"not a valid safetensors file: {what}.");
}
