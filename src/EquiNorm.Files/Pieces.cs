namespace EquiNorm.Files;

// What an output file is made of: ranges of a mapped file copied verbatim, new bytes, and the elements of a tensor run through
// a transform. Every piece knows its length before anything is written, so length prefixes are right at the first attempt.

/// <summary>Changes elements on their way to the output.</summary>
/// <param name="firstElement">Index of the first element, in row order.</param>
/// <param name="bytes">Whole elements in the tensor's own type: read, change, leave here.</param>
internal delegate void TensorTransform(long firstElement, Span<byte> bytes);

/// <summary>A run of output bytes.</summary>
internal abstract record Piece(long Length);

/// <summary>[Start, Start + Length) of a mapped file, verbatim.</summary>
internal sealed record SourcePiece(MappedFile File, long Start, long Length) : Piece(Length);

/// <summary>New bytes.</summary>
internal sealed record LiteralPiece(byte[] Bytes) : Piece(Bytes.Length);

/// <summary>The elements of a stored tensor as plain little-endian bytes in row order.</summary>
internal unsafe interface ITensorSource
{
    /// <summary>Number of elements.</summary>
    long ElementCount { get; }

    /// <summary>Bytes of all elements.</summary>
    long ByteLength { get; }

    /// <summary>Address of the byte at <paramref name="offset"/> of the elements, valid for <paramref name="count"/> bytes; checked.</summary>
    byte* Pointer(long offset, long count);

    /// <summary>Bytes [offset, offset + count) of the elements.</summary>
    ReadOnlySpan<byte> Span(long offset, int count);
}

/// <summary>All elements of a tensor, transformed.</summary>
internal sealed record TensorPiece(ITensorSource Tensor, TensorTransform Transform) : Piece(Tensor.ByteLength);
