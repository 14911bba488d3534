using EquiNorm.Files;
using EquiNorm.Model;

namespace EquiNorm.Safetensors;

/// <summary>A tensor of a safetensors file: contiguous, row order, little-endian, read in place.</summary>
public sealed unsafe class SafetensorsTensor : ITensorSource
{
    internal SafetensorsTensor(MappedFile file, string name, string type, long[] shape, long start, long byteLength)
    {
        File = file;
        Name = name;
        Type = type;
        Shape = shape;
        Start = start;
        ByteLength = byteLength;
        ElementType = SafetensorsTypes.ElementType(type);
        ElementCount = byteLength * 8 / SafetensorsTypes.Bits(type);
    }

    /// <summary>Its name, unique in the model.</summary>
    public string Name { get; }

    /// <summary>The format's name of the element type: F32, BF16, I64 ...</summary>
    public string Type { get; }

    /// <summary>The element type if it is one that can be rescaled (F64, F32, F16, BF16), else null.</summary>
    public ElementType? ElementType { get; }

    /// <summary>Extents, outermost first; empty for a scalar.</summary>
    public IReadOnlyList<long> Shape { get; }

    /// <summary>Product of the extents.</summary>
    public long ElementCount { get; }

    /// <summary>Bytes of all elements.</summary>
    public long ByteLength { get; }

    /// <summary>Path of the file that holds it.</summary>
    public string Path => File.Path;

    /// <summary>The file that holds it.</summary>
    internal MappedFile File { get; }

    /// <summary>Offset of the first element in the file.</summary>
    internal long Start { get; }

    /// <inheritdoc/>
    byte* ITensorSource.Pointer(long offset, long count)
    {
        if (offset < 0 || count < 0 || count > ByteLength - offset)
        {
            throw new ArgumentOutOfRangeException(nameof(offset), $"Bytes [{offset}, {offset + count}) of tensor '{Name}' of {ByteLength} bytes.");
        }

        return File.Pointer(Start + offset, count);
    }

    /// <inheritdoc/>
    ReadOnlySpan<byte> ITensorSource.Span(long offset, int count) => new(((ITensorSource)this).Pointer(offset, count), count);

    /// <inheritdoc/>
    public override string ToString() => $"{Name} {Type} [{string.Join(", ", Shape)}]";
}
