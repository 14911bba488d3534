using System.Runtime.InteropServices;

namespace EquiNorm.Gpu;

/// <summary>An array on a device. An empty one takes no memory.</summary>
/// <typeparam name="T">Type of the elements.</typeparam>
internal sealed unsafe class DeviceBuffer<T> : IDisposable
    where T : unmanaged
{
    private const long PartLength = 1 << 28;

    private readonly IDeviceQueue _queue;
    private DeviceMemory _memory;

    public DeviceBuffer(IDeviceQueue queue, long length)
    {
        _queue = queue;
        Length = length;
        if (length > 0)
        {
            // Numbers are worked on; records and indices are looked up.
            _memory = queue.Allocate(checked(length * sizeof(T)), typeof(T) == typeof(double) ? "workspace" : "table");
        }
    }

    public DeviceBuffer(IDeviceQueue queue, ReadOnlySpan<T> contents)
        : this(queue, contents.Length)
    {
        try
        {
            Upload(contents);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Number of elements.</summary>
    public long Length { get; }

    /// <summary>All of it.</summary>
    public DeviceView<T> View => new(_memory.Address, Length);

    public void Upload(ReadOnlySpan<T> source, long start = 0)
    {
        if (!source.IsEmpty)
        {
            Check(start, source.Length);
            _queue.Upload(MemoryMarshal.AsBytes(source), _memory.Address + (ulong)(start * sizeof(T)));
        }
    }

    /// <summary>Copies it, from an element on, from memory of the host, in parts that a span can hold.</summary>
    /// <param name="address">Address of element 0; nothing before <paramref name="first"/> is touched.</param>
    /// <param name="first">The first element that is copied.</param>
    public void UploadFrom(nint address, long first = 0)
    {
        for (var start = first; start < Length; start += PartLength)
        {
            Upload(new ReadOnlySpan<T>((T*)address + start, (int)Math.Min(PartLength, Length - start)), start);
        }
    }

    /// <summary>Copies it, from an element on, to memory of the host.</summary>
    public void DownloadTo(nint address, long first = 0)
    {
        for (var start = first; start < Length; start += PartLength)
        {
            Download(new Span<T>((T*)address + start, (int)Math.Min(PartLength, Length - start)), start);
        }
    }

    public void Download(Span<T> target, long start = 0)
    {
        if (!target.IsEmpty)
        {
            Check(start, target.Length);
            _queue.Download(_memory.Address + (ulong)(start * sizeof(T)), MemoryMarshal.AsBytes(target));
        }
    }

    public void Clear()
    {
        if (Length > 0)
        {
            _queue.Clear(_memory.Address, Length * sizeof(T));
        }
    }

    public void Dispose()
    {
        if (_memory.Address != 0)
        {
            _queue.Free(_memory);
            _memory = default;
        }
    }

    private void Check(long start, long count)
    {
        if (start < 0 || count > Length - start)
        {
            throw new ArgumentOutOfRangeException(nameof(start), start, $"{count} elements from there exceed the {Length} of the buffer.");
        }
    }
}
