using EquiNorm.Files;

namespace EquiNorm.Safetensors;

/// <summary>Recognises the files that people hand over by mistake, to name the mistake instead of a wrong byte.</summary>
internal static class FileKinds
{
    /// <summary>A better message for a file that is no safetensors file, or null.</summary>
    public static SafetensorsException? Explain(MappedFile file)
    {
        var head = file.Span(0, (int)Math.Min(file.Length, 64));
        string? kind =
            head.IsEmpty ? "is empty (or not a regular file)." :
            head.StartsWith((ReadOnlySpan<byte>)[0x1F, 0x8B]) ? "is compressed with gzip; decompress it first." :
            head.StartsWith("PK\x03\x04"u8) ? "is a zip archive (a PyTorch checkpoint?), not a safetensors file." :
            head.StartsWith("version https://git-lfs"u8) ? "is a Git LFS pointer; fetch the file itself (git lfs pull)." :
            head[0] == (byte)'{' ? "is JSON, not a safetensors file; the index of a sharded model has a name that ends in .json." : null;
        return kind is null ? null : new SafetensorsException(file.Path, kind);
    }
}
