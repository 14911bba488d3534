// Allocations of the device: their bytes, which of them have been written, who touched them in this launch.
using System.Globalization;
using System.Numerics;
using System.Runtime.InteropServices;

namespace EquiNorm.PtxMachine;

internal sealed unsafe class Allocation
{
    /// <summary>By the logarithm of the granule: for each granule the group that wrote it last (low half) and those that read it.</summary>
    private readonly long*[] _shadows = new long*[5];
    private readonly Lock _lock = new();
    private ulong* _valid;

    public Allocation(ulong address, long size, string label, int index, int labelIndex)
    {
        Base = address;
        Size = size;
        Label = label;
        Index = index;
        LabelIndex = labelIndex;
        Data = (byte*)NativeMemory.AlignedAlloc((nuint)Math.Max(size, 1), 64);
        // NaN in every float format: what is read by mistake shows even where nobody checks.
        NativeMemory.Fill(Data, (nuint)size, 0xff);
        _valid = (ulong*)NativeMemory.AllocZeroed((nuint)((size + 63) / 64 + 1), 8);
    }

    public ulong Base { get; }

    public long Size { get; }

    public string Label { get; }

    public int Index { get; }

    public int LabelIndex { get; }

    public byte* Data { get; private set; }

    public bool Freed { get; private set; }

    /// <summary>Every byte has been written: there is nothing to look up.</summary>
    public bool AllValid { get; private set; }

    /// <summary>One bit for each sector that this launch has read; made when the first launch counts.</summary>
    public ulong* ReadSectors { get; private set; }

    public ulong* WrittenSectors { get; private set; }

    public bool Touched { get; set; }

    public void MakeSectors()
    {
        lock (_lock)
        {
            if (WrittenSectors == null)
            {
                var words = (nuint)SectorWords;
                ReadSectors = (ulong*)NativeMemory.AllocZeroed(words, 8);
                WrittenSectors = (ulong*)NativeMemory.AllocZeroed(words, 8);
            }
        }
    }

    /// <summary>Counts the sectors of the launch that ends and forgets them.</summary>
    public (long Read, long Written) TakeSectors()
    {
        long read = 0, written = 0;
        for (long word = 0; word < SectorWords; word++)
        {
            read += BitOperations.PopCount(ReadSectors[word]);
            written += BitOperations.PopCount(WrittenSectors[word]);
            ReadSectors[word] = 0;
            WrittenSectors[word] = 0;
        }

        Touched = false;
        return (read, written);
    }

    public long* Shadow(int granule)
    {
        if (_shadows[granule] == null)
        {
            lock (_lock)
            {
                if (_shadows[granule] == null)
                {
                    _shadows[granule] = (long*)NativeMemory.AllocZeroed((nuint)((Size >> granule) + 1), 8);
                }
            }
        }

        return _shadows[granule];
    }

    public void ForgetShadows()
    {
        for (var k = 0; k < _shadows.Length; k++)
        {
            NativeMemory.Free(_shadows[k]);
            _shadows[k] = null;
        }
    }

    public bool IsValid(long offset, long count)
    {
        for (var end = offset + count; offset < end;)
        {
            var take = Math.Min(64 - (offset & 63), end - offset);
            var bits = (take == 64 ? ulong.MaxValue : (1UL << (int)take) - 1) << (int)(offset & 63);
            if ((_valid[offset >> 6] & bits) != bits)
            {
                return false;
            }

            offset += take;
        }

        return true;
    }

    public void MarkValid(long offset, long count)
    {
        if (offset == 0 && count == Size)
        {
            AllValid = true;
        }

        for (var end = offset + count; offset < end;)
        {
            var take = Math.Min(64 - (offset & 63), end - offset);
            var bits = (take == 64 ? ulong.MaxValue : (1UL << (int)take) - 1) << (int)(offset & 63);
            if ((_valid[offset >> 6] & bits) != bits)
            {
                Interlocked.Or(ref _valid[offset >> 6], bits);
            }

            offset += take;
        }
    }

    public void Free()
    {
        NativeMemory.AlignedFree(Data);
        NativeMemory.Free(_valid);
        NativeMemory.Free(ReadSectors);
        NativeMemory.Free(WrittenSectors);
        ForgetShadows();
        Data = null;
        _valid = null;
        ReadSectors = null;
        WrittenSectors = null;
        Touched = false;
        Freed = true;
    }

    private long SectorWords => (Size + 32 * 64 - 1) / (32 * 64) + 1;
}

/// <summary>The address space. Addresses are never used twice, so that a pointer into freed memory stays one.</summary>
internal sealed class GlobalMemory : IDisposable
{
    private const int PageBits = 16;
    private const ulong First = 0x7_0000_0000;
    private const long Guard = 4096;

    private readonly List<Allocation> _allocations = [];
    private readonly List<string> _labels = [];
    private int[] _pages = new int[1024];
    private long _nextPage;

    public IReadOnlyList<Allocation> Allocations => _allocations;

    public IReadOnlyList<string> Labels => _labels;

    public Allocation Allocate(long bytes, string label)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        var labelIndex = _labels.IndexOf(label);
        if (labelIndex < 0)
        {
            labelIndex = _labels.Count;
            _labels.Add(label);
        }

        // Not all at the start of a page: nobody may count on more than 256 bytes of alignment.
        var index = _allocations.Count;
        var shift = Guard + 256 * (1 + index % 7);
        var pages = (shift + bytes + Guard + (1 << PageBits) - 1) >> PageBits;
        var allocation = new Allocation(First + (ulong)((_nextPage << PageBits) + shift), bytes, label, index, labelIndex);
        _allocations.Add(allocation);
        if (_nextPage + pages > _pages.Length)
        {
            Array.Resize(ref _pages, (int)Math.Max(2 * _pages.Length, _nextPage + pages));
        }

        _pages.AsSpan((int)_nextPage, (int)pages).Fill(index + 1);
        _nextPage += pages;
        return allocation;
    }

    /// <summary>The allocation that owns the page of the address, freed or not; the address may lie beside it.</summary>
    public Allocation? Find(ulong address)
    {
        if (address < First)
        {
            return null;
        }

        var page = (address - First) >> PageBits;
        if (page >= (ulong)_nextPage)
        {
            return null;
        }

        return _allocations[_pages[(int)page] - 1];
    }

    /// <summary>For the host: the allocation that holds the range.</summary>
    public Allocation Owner(ulong address, long bytes)
    {
        var allocation = Find(address);
        if (allocation == null || allocation.Freed || address < allocation.Base || (long)(address - allocation.Base) > allocation.Size - bytes)
        {
            throw new ArgumentException(Describe(address, bytes), nameof(address));
        }

        return allocation;
    }

    public string Describe(ulong address, long bytes)
    {
        var allocation = Find(address);
        if (allocation == null)
        {
            return string.Create(CultureInfo.InvariantCulture, $"{bytes} bytes at 0x{address:x}, which no allocation is near");
        }

        var offset = (long)(address - allocation.Base);
        var name = allocation.Label.Length > 0 ? $"'{allocation.Label}'" : "the allocation";
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{bytes} bytes at 0x{address:x}, offset {offset} of {name} with {allocation.Size} bytes{(allocation.Freed ? ", which has been freed" : "")}");
    }

    public void Dispose()
    {
        foreach (var allocation in _allocations.Where(a => !a.Freed))
        {
            allocation.Free();
        }
    }
}
