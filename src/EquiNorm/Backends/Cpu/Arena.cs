using System.Runtime.InteropServices;

namespace EquiNorm.Backends.Cpu;

/// <summary>
/// Memory for the vectors of one state: 64-byte aligned, zeroed, freed together. Large requests get memory of their own, small ones share
/// pages.
/// </summary>
internal sealed unsafe class Arena(PageCache cache) : IDisposable
{
    private const long PageBytes = 1 << 18;
    private const int Alignment = 64;

    private readonly List<(nint Address, long Bytes)> _pages = [];
    private byte* _free;
    private long _left;

    /// <summary>Bytes taken from the system.</summary>
    public long Bytes { get; private set; }

    /// <summary>Room for <paramref name="count"/> float64 numbers of any value: for what is written before it is read.</summary>
    /// <exception cref="OutOfMemoryException">There is no memory for it.</exception>
    public double* AllocateUnset(long count) => (double*)Page(checked(count * sizeof(double)));

    /// <summary>Room for <paramref name="count"/> float64 numbers, all zero.</summary>
    /// <exception cref="OutOfMemoryException">There is no memory for it.</exception>
    public double* Allocate(long count)
    {
        var bytes = checked((count * sizeof(double) + Alignment - 1) / Alignment * Alignment);
        var result = bytes > PageBytes / 4 ? (byte*)Page(bytes) : Part(bytes);
        NativeMemory.Clear(result, (nuint)bytes);
        return (double*)result;
    }

    public void Dispose()
    {
        cache.Return(_pages);
        _pages.Clear();
        _left = 0;
    }

    private byte* Part(long bytes)
    {
        if (bytes > _left)
        {
            _free = (byte*)Page(PageBytes);
            _left = PageBytes;
        }

        var result = _free;
        _free += bytes;
        _left -= bytes;
        return result;
    }

    private void* Page(long bytes)
    {
        bytes = checked((bytes + Alignment - 1) / Alignment * Alignment);
        var page = (void*)cache.Take(bytes);
        _pages.Add(((nint)page, bytes));
        Bytes += bytes;
        return page;
    }
}
