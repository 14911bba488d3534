using System.Buffers.Binary;
using System.Globalization;
using EquiNorm.Files;

namespace EquiNorm.Onnx.Files;

// Finds a tensor's elements: raw_data, one of the typed fields (packed or not), or a range of an external file; and checks that
// their number is the one that the dims promise. A mismatch names file, tensor, expected and found.

/// <summary>From a located tensor to its elements.</summary>
internal sealed class TensorReader(MappedFile file, ExternalFiles external)
{
    private const int RawData = 9;

    /// <summary>Locates and checks the elements.</summary>
    /// <exception cref="OnnxFormatException">They are missing, of the wrong number, or outside their file.</exception>
    public OnnxTensor Read(TensorLayout layout)
    {
        var type = (OnnxDataType)layout.Header.DataType;
        int bits = type.Bits();
        if (bits == 0)
        {
            if (layout.IsExternal)
            {
                // Saving lays out the data files anew: what cannot be measured would be lost.
                throw Invalid(layout, $"has external data of type {layout.Header.DataType}, whose size is not known");
            }

            return new OnnxTensor(layout, null, 0, 0, null);
        }

        long bytes = layout.ElementCount / 8 * bits + (layout.ElementCount % 8 * bits + 7) / 8;
        if (layout.IsExternal)
        {
            return ReadExternal(layout, bytes);
        }

        var filled = layout.DataFields.Where(f => f.Number != RawData || f.ContentLength > 0).ToList();
        if (filled.Exists(f => f.Number == RawData))
        {
            if (filled.Count > 1 || !filled[0].Is(RawData))
            {
                throw Invalid(layout, "holds its data twice");
            }

            Expect(layout, bytes, filled[0].ContentLength, "bytes");
            return new OnnxTensor(layout, file, filled[0].ContentStart, bytes, null);
        }

        return ReadTyped(layout, type, filled, bytes);
    }

    private OnnxTensor ReadTyped(TensorLayout layout, OnnxDataType type, List<WireField> fields, long bytes)
    {
        int number = type.TypedField();
        if (number == 0)
        {
            return new OnnxTensor(layout, null, 0, 0, null); // packed small types: never read, so not decoded
        }

        var scalar = number is 4 ? WireType.Fixed32 : number is 10 ? WireType.Fixed64 : WireType.Varint;
        if (fields.Exists(f => f.Number != number || (f.Type != scalar && f.Type != WireType.LengthDelimited)))
        {
            throw Invalid(layout, $"is of type {type} and holds data of another type");
        }

        long width = number is 4 ? 4 : number is 10 ? 8 : 0;
        if (width == 0)
        {
            long count = fields.Sum(CountVarints);
            Expect(layout, layout.ElementCount, count, "elements");
            return new OnnxTensor(layout, null, 0, bytes, () => DecodeVarints(layout, fields, bytes));
        }

        Expect(layout, bytes, fields.Sum(f => f.ContentLength), "bytes");
        return fields.Count == 1
            ? new OnnxTensor(layout, file, fields[0].ContentStart, bytes, null)
            : new OnnxTensor(layout, null, 0, bytes, () => Gather(layout, fields, bytes));
    }

    private OnnxTensor ReadExternal(TensorLayout layout, long bytes)
    {
        string name = layout.Header.Name;
        var entry = ExternalEntry.Read(layout, file.Path);
        var data = external.Open(entry.Location, name);
        long length = entry.Length ?? bytes;
        if (entry.Offset > data.Length || length > data.Length - entry.Offset)
        {
            throw new OnnxFormatException(data.Path, string.Create(CultureInfo.InvariantCulture,
                $"tensor '{name}' of {file.Path} wants {length} bytes at {entry.Offset}; the file has {data.Length}."));
        }

        Expect(layout, bytes, length, "bytes");
        return new OnnxTensor(layout, data, entry.Offset, bytes, null);
    }

    private long CountVarints(WireField field)
    {
        if (field.Type == WireType.Varint)
        {
            return 1;
        }

        long count = 0;
        var reader = new WireReader(file, field);
        while (!reader.AtEnd)
        {
            reader.ReadVarint();
            count++;
        }

        return count;
    }

    private byte[] DecodeVarints(TensorLayout layout, List<WireField> fields, long bytes)
    {
        var result = Allocate(layout, bytes);
        int width = layout.ElementCount == 0 ? 0 : (int)(bytes / layout.ElementCount);
        int position = 0;
        Span<byte> wide = stackalloc byte[8];
        foreach (var field in fields)
        {
            // A single element is read from its own field, packed ones from the content: both are bare varints there.
            var reader = new WireReader(file, field);
            while (!reader.AtEnd)
            {
                BinaryPrimitives.WriteUInt64LittleEndian(wide, reader.ReadVarint());
                wide[..width].CopyTo(result.AsSpan(position));
                position += width;
            }
        }

        return result;
    }

    private byte[] Gather(TensorLayout layout, List<WireField> fields, long bytes)
    {
        var result = Allocate(layout, bytes);
        int position = 0;
        foreach (var field in fields)
        {
            var span = file.Span(field.ContentStart, (int)field.ContentLength);
            span.CopyTo(result.AsSpan(position));
            position += span.Length;
        }

        return result;
    }

    // Pinned, so that the core can hold its address. The size was checked against bytes that are in the file.
    private byte[] Allocate(TensorLayout layout, long bytes) => bytes <= Array.MaxLength
        ? GC.AllocateUninitializedArray<byte>((int)bytes, pinned: true)
        : throw Invalid(layout, $"holds {bytes} bytes in typed fields, which is more than this library decodes; use raw_data");

    private void Expect(TensorLayout layout, long expected, long found, string unit)
    {
        if (expected != found)
        {
            throw Invalid(layout, string.Create(CultureInfo.InvariantCulture,
                $"of shape [{string.Join(", ", layout.Header.Dims)}] and type {(OnnxDataType)layout.Header.DataType} needs {expected} {unit} and has {found}"));
        }
    }

    private OnnxFormatException Invalid(TensorLayout layout, string what) =>
        new(file.Path, $"tensor '{layout.Header.Name}' {what} (at byte {layout.Field.Start}).");
}
