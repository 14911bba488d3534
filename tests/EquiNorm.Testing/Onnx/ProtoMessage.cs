using System.Buffers.Binary;
using System.Text;

namespace EquiNorm.Testing.Onnx;

/// <summary>
/// A protocol-buffer message written by hand, field by field, apart from the product's schema and walker. Fields come out in the
/// order of the calls; numbers can be padded to non-canonical length.
/// </summary>
public sealed class ProtoMessage
{
    private readonly MemoryStream _bytes = new();

    /// <summary>Extra bytes in every varint that follows: legal, and not what an encoder would write.</summary>
    public int Padding { get; init; }

    /// <summary>The message so far.</summary>
    public byte[] ToArray() => _bytes.ToArray();

    /// <summary>A varint field.</summary>
    public ProtoMessage Number(int field, long value)
    {
        Varint((ulong)field << 3);
        Varint((ulong)value);
        return this;
    }

    /// <summary>A length-delimited field.</summary>
    public ProtoMessage Bytes(int field, ReadOnlySpan<byte> content)
    {
        Varint((ulong)field << 3 | 2);
        Varint((ulong)content.Length);
        _bytes.Write(content);
        return this;
    }

    /// <summary>A string field.</summary>
    public ProtoMessage Text(int field, string text) => Bytes(field, Encoding.UTF8.GetBytes(text));

    /// <summary>A nested message.</summary>
    public ProtoMessage Message(int field, ProtoMessage content) => Bytes(field, content.ToArray());

    /// <summary>A 4-byte field.</summary>
    public ProtoMessage Float(int field, float value)
    {
        Varint((ulong)field << 3 | 5);
        Span<byte> buffer = stackalloc byte[4];
        BinaryPrimitives.WriteSingleLittleEndian(buffer, value);
        _bytes.Write(buffer);
        return this;
    }

    /// <summary>An 8-byte field.</summary>
    public ProtoMessage Double(int field, double value)
    {
        Varint((ulong)field << 3 | 1);
        Span<byte> buffer = stackalloc byte[8];
        BinaryPrimitives.WriteDoubleLittleEndian(buffer, value);
        _bytes.Write(buffer);
        return this;
    }

    /// <summary>A packed field of varints.</summary>
    public ProtoMessage Packed(int field, params IEnumerable<long> values)
    {
        var content = new ProtoMessage { Padding = Padding };
        foreach (long value in values)
        {
            content.Varint((ulong)value);
        }

        return Bytes(field, content.ToArray());
    }

    /// <summary>Bytes as they are, whatever they mean.</summary>
    public ProtoMessage Raw(params ReadOnlySpan<byte> content)
    {
        _bytes.Write(content);
        return this;
    }

    private void Varint(ulong value)
    {
        int size = 1 + System.Numerics.BitOperations.Log2(value | 1) / 7;
        int extra = Math.Min(Padding, 10 - size); // no varint has more than ten bytes
        while (value >= 0x80)
        {
            _bytes.WriteByte((byte)(value | 0x80));
            value >>= 7;
        }

        _bytes.WriteByte((byte)(extra > 0 ? value | 0x80 : value));
        for (; extra > 0; extra--)
        {
            _bytes.WriteByte((byte)(extra > 1 ? 0x80 : 0));
        }
    }
}
