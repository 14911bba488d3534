using System.IO.MemoryMappedFiles;
using System.Text;

namespace EquiNorm.Files;

/// <summary>Makes the exception that a format has for a file that cannot be read or is not valid.</summary>
/// <param name="file">Path of the file.</param>
/// <param name="problem">What is wrong, as a sentence without the file's name.</param>
/// <param name="inner">The cause, where there is one.</param>
internal delegate Exception FileFailure(string file, string problem, Exception? inner = null);

/// <summary>
/// A file mapped read-only: a pointer and a 64-bit length. Nothing is read until it is touched, so a model of many gigabytes
/// costs no memory to open, and its bytes are shared with the page cache instead of being held twice.
/// </summary>
internal sealed unsafe class MappedFile : IDisposable
{
    private readonly FileFailure _failure;
    private readonly MemoryMappedFile? _map;
    private readonly MemoryMappedViewAccessor? _view;
    private readonly DateTime _written;
    private byte* _pointer;

    private MappedFile(string path, long length, DateTime written, MemoryMappedFile? map, FileFailure failure)
    {
        Path = path;
        Length = length;
        _written = written;
        _failure = failure;
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

    /// <summary>Whether the path still leads to the file that was opened: same length, same time of the last change.</summary>
    public bool IsUnchanged
    {
        get
        {
            var info = new FileInfo(Paths.RealPath(Path)); // of the file, not of a link to it
            return info.Exists && info.Length == Length && info.LastWriteTimeUtc == _written;
        }
    }

    /// <summary>Maps a regular file.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="failure">Makes the exception if it does not exist, is a directory, or cannot be read, and if anything outside of it is asked for later.</param>
    public static MappedFile Open(string path, FileFailure failure)
    {
        if (Directory.Exists(path))
        {
            throw failure(path, "is a directory, not a file.");
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
                return new MappedFile(path, length, File.GetLastWriteTimeUtc(stream.SafeFileHandle), map, failure);
            }
            catch
            {
                stream.Dispose();
                throw;
            }
        }
        catch (FileNotFoundException e)
        {
            throw failure(path, "does not exist.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw failure(path, "cannot be read: " + e.Message, e);
        }
    }

    /// <summary>Address of the byte at <paramref name="start"/>, valid for <paramref name="count"/> bytes; checked.</summary>
    public byte* Pointer(long start, long count)
    {
        ObjectDisposedException.ThrowIf(IsClosed, this);
        if (start < 0 || count < 0 || start > Length || count > Length - start)
        {
            throw _failure(Path, $"{count} bytes at {start} lie outside the file of {Length} bytes.");
        }

        return _pointer + start;
    }

    /// <summary>The bytes [start, start + count); checked.</summary>
    public ReadOnlySpan<byte> Span(long start, int count) => new(Pointer(start, count), count);

    /// <summary>UTF-8 text of [start, end).</summary>
    /// <remarks>Bytes that are not UTF-8 are a failure: two names could be mistaken for one another.</remarks>
    public string Text(long start, long end)
    {
        try
        {
            return StrictUtf8.GetString(Span(start, checked((int)(end - start))));
        }
        catch (Exception e) when (e is DecoderFallbackException or OverflowException)
        {
            throw _failure(Path, $"the name at byte {start} is not UTF-8 text of a sensible length.", e);
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
