using System.Text;

namespace EquiNorm.Onnx.Files;

/// <summary>Appends canonical wire-format pieces to a stream: the counterpart of <see cref="WireReader"/> for the few new bytes.</summary>
internal static class WireWriter
{
    /// <summary>A field's tag.</summary>
    public static void Tag(MemoryStream output, int number, WireType type) => Varint(output, (ulong)(uint)number << 3 | (uint)type);

    /// <summary>A base-128 number.</summary>
    public static void Varint(MemoryStream output, ulong value)
    {
        while (value >= 0x80)
        {
            output.WriteByte((byte)(value | 0x80));
            value >>= 7;
        }

        output.WriteByte((byte)value);
    }

    /// <summary>A length-delimited field.</summary>
    public static void Bytes(MemoryStream output, int number, ReadOnlySpan<byte> content)
    {
        Tag(output, number, WireType.LengthDelimited);
        Varint(output, (ulong)content.Length);
        output.Write(content);
    }

    /// <summary>A length-delimited field on its own.</summary>
    public static byte[] Field(int number, ReadOnlySpan<byte> content)
    {
        var output = new MemoryStream();
        Bytes(output, number, content);
        return output.ToArray();
    }

    /// <summary>A string field on its own.</summary>
    public static byte[] Text(int number, string text) => Field(number, Encoding.UTF8.GetBytes(text));

    /// <summary>Tag and length of a length-delimited field whose content follows elsewhere.</summary>
    public static byte[] Prefix(int number, long contentLength)
    {
        var output = new MemoryStream();
        Tag(output, number, WireType.LengthDelimited);
        Varint(output, (ulong)contentLength);
        return output.ToArray();
    }
}
