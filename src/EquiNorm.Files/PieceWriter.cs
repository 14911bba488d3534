using System.Diagnostics;
using System.Runtime.InteropServices;

namespace EquiNorm.Files;

/// <summary>Streams pieces into a new file, at most <see cref="ChunkBytes"/> at a time, and keeps holes of sparse sources as holes.</summary>
internal static unsafe class PieceWriter
{
    // Large enough that the call overhead vanishes, small enough to stay within the last-level cache between copy and write.
    public const int ChunkBytes = 4 << 20;

    /// <summary>Writes the pieces to a new file; returns the time spent in transforms.</summary>
    public static TimeSpan Write(string path, IReadOnlyList<Piece> pieces, CancellationToken cancellation)
    {
        using var stream = new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 16);
        byte* chunk = null;
        var applied = TimeSpan.Zero;
        try
        {
            foreach (var piece in pieces)
            {
                switch (piece)
                {
                    case LiteralPiece literal:
                        stream.Write(literal.Bytes);
                        break;
                    case SourcePiece source:
                        Copy(stream, source, cancellation);
                        break;
                    case TensorPiece tensor:
                        chunk = chunk is null ? (byte*)NativeMemory.AlignedAlloc(ChunkBytes, 64) : chunk;
                        applied += Transform(stream, tensor, chunk, cancellation);
                        break;
                }
            }

            stream.SetLength(stream.Position);
            return applied;
        }
        finally
        {
            NativeMemory.AlignedFree(chunk);
        }
    }

    private static void Copy(FileStream stream, SourcePiece piece, CancellationToken cancellation)
    {
        for (long done = 0; done < piece.Length; done += ChunkBytes)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = (int)Math.Min(ChunkBytes, piece.Length - done);
            var bytes = piece.File.Span(piece.Start + done, count);
            if (count == ChunkBytes && !bytes.ContainsAnyExcept((byte)0))
            {
                stream.Seek(count, SeekOrigin.Current);
            }
            else
            {
                stream.Write(bytes);
            }
        }
    }

    private static TimeSpan Transform(FileStream stream, TensorPiece piece, byte* chunk, CancellationToken cancellation)
    {
        var tensor = piece.Tensor;
        var applied = TimeSpan.Zero;
        int width = (int)(tensor.ElementCount == 0 ? 1 : tensor.ByteLength / tensor.ElementCount);
        int perChunk = ChunkBytes / width;
        for (long first = 0; first < tensor.ElementCount; first += perChunk)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = (int)Math.Min(perChunk, tensor.ElementCount - first) * width;
            var buffer = new Span<byte>(chunk, count);
            tensor.Span(first * width, count).CopyTo(buffer);
            long start = Stopwatch.GetTimestamp();
            piece.Transform(first, buffer);
            applied += Stopwatch.GetElapsedTime(start);
            stream.Write(buffer);
        }

        return applied;
    }
}
