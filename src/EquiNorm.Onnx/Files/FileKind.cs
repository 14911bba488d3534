using System.Buffers;
using EquiNorm.Files;

namespace EquiNorm.Onnx.Files;

/// <summary>Recognises the files that people hand over by mistake, to name the mistake instead of a wrong byte.</summary>
internal static class FileKind
{
    private static readonly SearchValues<byte> TextBytes =
        SearchValues.Create([(byte)'\t', (byte)'\n', (byte)'\r', .. Enumerable.Range(32, 95).Select(c => (byte)c)]);

    /// <summary>Refuses a file that cannot be a model whatever follows: empty, or compressed.</summary>
    public static void RefuseKnown(MappedFile file)
    {
        if (file.Length == 0)
        {
            throw new OnnxFormatException(file.Path, "is empty (or not a regular file).");
        }

        var head = Head(file);
        if (head.StartsWith((ReadOnlySpan<byte>)[0x1F, 0x8B]))
        {
            throw new OnnxFormatException(file.Path, "is compressed with gzip; decompress it first.");
        }
    }

    /// <summary>A better message for a file that failed to parse, or null.</summary>
    public static OnnxFormatException? Explain(MappedFile file, Exception cause)
    {
        var head = Head(file);
        string? kind =
            head.StartsWith("PK\x03\x04"u8) ? "is a zip archive (a PyTorch checkpoint?), not an ONNX model." :
            head.StartsWith("version https://git-lfs"u8) ? "is a Git LFS pointer; fetch the file itself (git lfs pull)." :
            !head.IsEmpty && !head.ContainsAnyExcept(TextBytes) ? "is a text file, not an ONNX model." : null;
        return kind is null ? null : new OnnxFormatException(file.Path, kind, cause);
    }

    private static ReadOnlySpan<byte> Head(MappedFile file) => file.Span(0, (int)Math.Min(file.Length, 256));
}
