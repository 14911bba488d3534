using System.IO.MemoryMappedFiles;
using System.Text;

namespace EquiNorm.Onnx.Files;

/// <summary>
/// A file mapped read-only: a pointer and a 64-bit length. Nothing is read until it is touched, so a model of many gigabytes
/// costs no memory to open, and its bytes are shared with the page cache instead of being held twice.
/// </summary>
internal sealed unsafe class MappedFile : IDisposable
{
    private readonly MemoryMappedFile? _map;
    private readonly MemoryMappedViewAccessor? _view;
    private byte* _pointer;

    private MappedFile(string path, long length, MemoryMappedFile? map)
    {
        Path = path;
        Length = length;
        _map = map;
        if (_map is null)
        {
            return; // an empty file cannot be mapped and needs no bytes
        }

        _view = _map.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read);
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _pointer);
        _pointer += _view.PointerOffset;
    }

    /// <summary>The path as it was given; used in messages.</summary>
    public string Path { get; }

    /// <summary>Bytes in the file when it was opened.</summary>
    public long Length { get; }

    /// <summary>Whether the bytes can no longer be reached.</summary>
    public bool IsClosed { get; private set; }

    /// <summary>Maps a regular file.</summary>
    /// <exception cref="OnnxFormatException">It does not exist, is a directory, or cannot be read.</exception>
    public static MappedFile Open(string path)
    {
        if (Directory.Exists(path))
        {
            throw new OnnxFormatException(path, "is a directory, not a file.");
        }

        try
        {
            var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, 1);
            try
            {
                long length = stream.Length;
                var map = length == 0
                    ? null
                    : MemoryMappedFile.CreateFromFile(stream, null, length, MemoryMappedFileAccess.Read, HandleInheritability.None, false);
                return new MappedFile(path, length, map);
            }
            catch
            {
                stream.Dispose();
                throw;
            }
        }
        catch (FileNotFoundException e)
        {
            throw new OnnxFormatException(path, "does not exist.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw new OnnxFormatException(path, "cannot be read: " + e.Message, e);
        }
    }

    /// <summary>Address of the byte at <paramref name="start"/>, valid for <paramref name="count"/> bytes; checked.</summary>
    public byte* Pointer(long start, long count)
    {
        ObjectDisposedException.ThrowIf(IsClosed, this);
        if (start < 0 || count < 0 || start > Length || count > Length - start)
        {
            throw new OnnxFormatException(Path, $"{count} bytes at {start} lie outside the file of {Length} bytes.");
        }

        return _pointer + start;
    }

    /// <summary>The bytes [start, start + count); checked.</summary>
    public ReadOnlySpan<byte> Span(long start, int count) => new(Pointer(start, count), count);

    /// <summary>UTF-8 text of [start, end).</summary>
    /// <exception cref="OnnxFormatException">The bytes are not UTF-8: two names could be mistaken for one another.</exception>
    public string Text(long start, long end)
    {
        try
        {
            return StrictUtf8.GetString(Span(start, checked((int)(end - start))));
        }
        catch (Exception e) when (e is DecoderFallbackException or OverflowException)
        {
            throw new OnnxFormatException(Path, $"the name at byte {start} is not UTF-8 text of a sensible length.", e);
        }
    }

    private static UTF8Encoding StrictUtf8 { get; } = new(false, true);

    /// <summary>Unmaps the file.</summary>
    public void Dispose()
    {
        if (IsClosed)
        {
            return;
        }

        IsClosed = true;
        if (_view is not null)
        {
            _pointer = null;
            _view.SafeMemoryMappedViewHandle.ReleasePointer();
            _view.Dispose();
        }

        _map?.Dispose();
    }
}
