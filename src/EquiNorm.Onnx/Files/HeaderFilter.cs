using EquiNorm.Files;
using EquiNorm.Onnx.Schema;
using Google.Protobuf;

namespace EquiNorm.Onnx.Files;

// Parses the small part of a message with the generated classes. The fields that carry bulk (tensor data, subgraphs, long strings)
// are left out before parsing: only fields named in the tables below are copied into the parser's input.

/// <summary>Node and tensor headers, without their bulk.</summary>
internal static class HeaderFilter
{
    // An attribute string longer than this is an engine blob or a script, never an option that the operator table reads.
    private const int LongestString = 4096;

    /// <summary>The tensor's dims, type, name and data location; no data.</summary>
    public static TensorProto ReadTensor(MappedFile file, in WireField field)
    {
        var output = new MemoryStream();
        CopyTensor(file, field, output);
        return Parse(file, field.Start, TensorProto.Parser, output);
    }

    /// <summary>The node's names and attributes; attribute tensors as headers, no subgraphs.</summary>
    public static NodeProto ReadNode(MappedFile file, in WireField field)
    {
        var output = new MemoryStream();
        var reader = new WireReader(file, field);
        while (reader.Read(out var child))
        {
            if (child.Is(5))
            {
                CopyNested(file, child, output, CopyAttribute);
            }
            else if (child.Is(1) || child.Is(2) || child.Is(3) || child.Is(4) || child.Is(7) || child.Is(8))
            {
                Copy(file, child, output);
            }
        }

        return Parse(file, field.Start, NodeProto.Parser, output);
    }

    /// <summary>A small message (value info, operator set) as a whole.</summary>
    public static T ReadWhole<T>(MappedFile file, in WireField field, MessageParser<T> parser)
        where T : IMessage<T>
    {
        var output = new MemoryStream();
        CopyBytes(file, field.ContentStart, field.End, output);
        return Parse(file, field.Start, parser, output);
    }

    private static T Parse<T>(MappedFile file, long offset, MessageParser<T> parser, MemoryStream bytes)
        where T : IMessage<T>
    {
        try
        {
            return parser.WithDiscardUnknownFields(true).ParseFrom(bytes.GetBuffer().AsSpan(0, (int)bytes.Length));
        }
        catch (InvalidProtocolBufferException e)
        {
            throw new OnnxFormatException(file.Path, $"not a valid ONNX model: the message at byte {offset} cannot be read: {e.Message}", e);
        }
    }

    private static void CopyAttribute(MappedFile file, WireField field, MemoryStream output)
    {
        var reader = new WireReader(file, field);
        while (reader.Read(out var child))
        {
            if (child.Is(5))
            {
                CopyNested(file, child, output, CopyTensor);
            }
            else if (child.Number is 1 or 2 or 3 or 7 or 8 or 20 or 21 || (child.Number is 4 or 9 && child.ContentLength <= LongestString))
            {
                Copy(file, child, output);
            }
        }
    }

    private static void CopyTensor(MappedFile file, WireField field, MemoryStream output)
    {
        var reader = new WireReader(file, field);
        while (reader.Read(out var child))
        {
            if (child.Number is 1 or 2 or 3 or 8 or 13 or 14)
            {
                Copy(file, child, output);
            }
        }
    }

    private static void CopyNested(MappedFile file, WireField field, MemoryStream output, Action<MappedFile, WireField, MemoryStream> copy)
    {
        var content = new MemoryStream();
        copy(file, field, content);
        WireWriter.Tag(output, field.Number, WireType.LengthDelimited);
        WireWriter.Varint(output, (ulong)content.Length);
        content.WriteTo(output);
    }

    private static void Copy(MappedFile file, in WireField field, MemoryStream output) =>
        CopyBytes(file, field.Start, field.End, output);

    private static void CopyBytes(MappedFile file, long start, long end, MemoryStream output)
    {
        // A header of more than 64 MB is no header; the limit keeps a hostile file from being copied to memory.
        if (end - start > (64 << 20) - output.Length)
        {
            throw new OnnxFormatException(file.Path, $"the message at byte {start} has more than 64 MB of names and attributes.");
        }

        output.Write(file.Span(start, (int)(end - start)));
    }
}
