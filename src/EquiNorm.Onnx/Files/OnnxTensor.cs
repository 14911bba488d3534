using System.Runtime.InteropServices;
using EquiNorm.Files;

namespace EquiNorm.Onnx.Files;

/// <summary>
/// One tensor of a model: its header, where its message lies, and its elements as plain little-endian bytes in row order.
/// Elements that already lie so in a file (raw data, packed float or double data, external data) are read in place;
/// the others (varints, scattered fields) are decoded once, on first use.
/// </summary>
internal sealed unsafe class OnnxTensor : ITensorSource
{
    private readonly Func<byte[]>? _decode;
    private byte[]? _decoded;

    /// <summary>A tensor whose elements lie in one piece at <paramref name="start"/>, or come from <paramref name="decode"/>.</summary>
    public OnnxTensor(TensorLayout layout, MappedFile? file, long start, long byteLength, Func<byte[]>? decode)
    {
        Layout = layout;
        DataFile = file;
        DataStart = start;
        ByteLength = byteLength;
        _decode = decode;
    }

    /// <summary>Where the message lies, and its header.</summary>
    public TensorLayout Layout { get; }

    /// <summary>The tensor's name; empty for the value of a Constant.</summary>
    public string Name => Layout.Header.Name;

    /// <summary>Extents; empty for a scalar.</summary>
    public IReadOnlyList<long> Dims => Layout.Header.Dims;

    /// <summary>Element type.</summary>
    public OnnxDataType DataType => (OnnxDataType)Layout.Header.DataType;

    /// <summary>Product of the extents.</summary>
    public long ElementCount => Layout.ElementCount;

    /// <summary>The file that holds the elements in one piece; null if they are decoded, or have no known size.</summary>
    public MappedFile? DataFile { get; }

    /// <summary>Offset of the elements in <see cref="DataFile"/>.</summary>
    public long DataStart { get; }

    /// <summary>Bytes of all elements.</summary>
    public long ByteLength { get; }

    /// <summary>Whether the elements lie in an external data file.</summary>
    public bool IsExternal => Layout.IsExternal;

    /// <summary>Whether the elements can be read (strings and unknown types cannot).</summary>
    public bool HasBytes => DataFile is not null || _decode is not null;

    /// <summary>Address of the byte at <paramref name="offset"/> of the elements, valid for <paramref name="count"/> bytes; checked.</summary>
    public byte* Pointer(long offset, long count)
    {
        if (offset < 0 || count < 0 || count > ByteLength - offset)
        {
            throw new ArgumentOutOfRangeException(nameof(offset), $"Bytes [{offset}, {offset + count}) of tensor '{Name}' of {ByteLength} bytes.");
        }

        if (DataFile is not null)
        {
            return DataFile.Pointer(DataStart + offset, count);
        }

        _decoded ??= _decode!();
        return (byte*)Marshal.UnsafeAddrOfPinnedArrayElement(_decoded, 0) + offset;
    }

    /// <summary>Bytes [offset, offset + count) of the elements.</summary>
    public ReadOnlySpan<byte> Span(long offset, int count) => new(Pointer(offset, count), count);

    /// <summary>All elements of an integer tensor (a shape, axes), or null if it is not one of at most <paramref name="limit"/> elements.</summary>
    public long[]? Integers(int limit)
    {
        if (ElementCount > limit || !HasBytes)
        {
            return null;
        }

        var bytes = Span(0, (int)ByteLength);
        return DataType switch
        {
            OnnxDataType.Int64 => MemoryMarshal.Cast<byte, long>(bytes).ToArray(),
            OnnxDataType.Int32 => Array.ConvertAll(MemoryMarshal.Cast<byte, int>(bytes).ToArray(), v => (long)v),
            _ => null,
        };
    }

    /// <summary>All elements of a floating-point tensor in float64.</summary>
    /// <exception cref="InvalidOperationException">The type is not a floating-point type that the library handles.</exception>
    public double[] Reals()
    {
        var values = new double[ElementCount];
        byte* p = Pointer(0, ByteLength);
        for (long i = 0; i < values.LongLength; i++)
        {
            values[i] = DataType switch
            {
                OnnxDataType.Float => ((float*)p)[i],
                OnnxDataType.Double => ((double*)p)[i],
                OnnxDataType.Float16 => (double)((Half*)p)[i],
                OnnxDataType.BFloat16 => BitConverter.UInt32BitsToSingle((uint)((ushort*)p)[i] << 16),
                _ => throw new InvalidOperationException($"Tensor '{Name}' has no floating-point elements."),
            };
        }

        return values;
    }
}
