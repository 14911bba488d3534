using System.Runtime.InteropServices;

namespace EquiNorm.Backends.Cpu;

/// <summary>
/// Keeps the memory of the last state for the next one: fresh memory costs a page fault per 4 KB, which for the stored energies of a
/// convolutional network takes as long as computing them. Holds at most what one state gave back.
/// </summary>
internal sealed unsafe class PageCache : IDisposable
{
    private const int Alignment = 64;

    private readonly object _gate = new();
    private readonly Dictionary<long, Stack<nint>> _free = [];
    private bool _disposed;

    /// <summary>Memory of any content, 64-byte aligned.</summary>
    /// <exception cref="OutOfMemoryException">There is no memory for it.</exception>
    public nint Take(long bytes)
    {
        lock (_gate)
        {
            if (_free.TryGetValue(bytes, out var pages) && pages.TryPop(out var page))
            {
                return page;
            }
        }

        return (nint)NativeMemory.AlignedAlloc((nuint)bytes, Alignment);
    }

    /// <summary>Takes the pages of a state back, and frees what was kept before.</summary>
    public void Return(IReadOnlyList<(nint Address, long Bytes)> pages)
    {
        lock (_gate)
        {
            Clear();
            foreach (var (address, bytes) in pages)
            {
                if (_disposed)
                {
                    NativeMemory.AlignedFree((void*)address);
                    continue;
                }

                if (!_free.TryGetValue(bytes, out var stack))
                {
                    _free.Add(bytes, stack = []);
                }

                stack.Push(address);
            }
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _disposed = true;
            Clear();
        }
    }

    private void Clear()
    {
        foreach (var page in _free.Values.SelectMany(p => p))
        {
            NativeMemory.AlignedFree((void*)page);
        }

        _free.Clear();
    }
}
