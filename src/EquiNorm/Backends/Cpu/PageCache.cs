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

    // Memory of the caller's, handed out from its start; begun anew when nothing of it is in use.
    private nint _region;
    private long _regionBytes;
    private long _regionUsed;
    private int _regionPages;

    /// <summary>Takes pages from the caller's memory first, as long as it lasts.</summary>
    /// <exception cref="InvalidOperationException">Pages of earlier memory are in use.</exception>
    public void UseRegion(nint address, long bytes)
    {
        lock (_gate)
        {
            if (_regionPages > 0)
            {
                throw new InvalidOperationException("The workspace that was given before is still in use.");
            }

            (_region, _regionBytes, _regionUsed) = (address, address == 0 ? 0 : bytes, 0);
        }
    }

    /// <summary>Memory of any content, 64-byte aligned.</summary>
    /// <exception cref="OutOfMemoryException">There is no memory for it.</exception>
    public nint Take(long bytes)
    {
        lock (_gate)
        {
            var aligned = (bytes + Alignment - 1) / Alignment * Alignment;
            if (aligned <= _regionBytes - _regionUsed)
            {
                var address = _region + (nint)_regionUsed;
                _regionUsed += aligned;
                _regionPages++;
                return address;
            }

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
                if (_region != 0 && address >= _region && address < _region + (nint)_regionBytes)
                {
                    _regionPages--;
                    _regionUsed = _regionPages == 0 ? 0 : _regionUsed;
                    continue;
                }

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
