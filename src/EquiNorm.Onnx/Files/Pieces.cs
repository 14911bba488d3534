namespace EquiNorm.Onnx.Files;

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

/// <summary>All elements of a tensor, transformed.</summary>
internal sealed record TensorPiece(OnnxTensor Tensor, TensorTransform Transform) : Piece(Tensor.ByteLength);
