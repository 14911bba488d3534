namespace EquiNorm.Gpu.Cuda;

/// <summary>
/// What a queue has allocated. Memory that is given back while kernels may still use it is put aside, and goes back to the driver when the
/// queue has waited: cuMemFree only "may perform implicit synchronization" (cuda.h), and if it does, for the whole device.
/// Calls expect the context to be current.
/// </summary>
internal sealed unsafe class DeviceHeap(CudaDriver driver)
{
    private readonly Dictionary<ulong, long> _live = [];
    private readonly List<ulong> _putAside = [];

    /// <summary>Bytes that are allocated and not given back.</summary>
    public long LiveBytes { get; private set; }

    /// <summary>Whether waiting would make room.</summary>
    public bool HasPutAside => _putAside.Count > 0;

    /// <summary>Takes memory, or says what the driver said.</summary>
    public CudaResult TryAllocate(long bytes, out DeviceMemory memory)
    {
        ulong address;
        var result = driver.MemAlloc(&address, (nuint)bytes);
        memory = default;
        if (result == CudaResult.Success)
        {
            memory = new DeviceMemory(address, bytes);
            _live.Add(address, bytes);
            LiveBytes += bytes;
        }

        return result;
    }

    /// <summary>Puts memory aside.</summary>
    public void PutAside(DeviceMemory memory)
    {
        if (!_live.TryGetValue(memory.Address, out var bytes) || bytes != memory.Bytes)
        {
            throw new ArgumentException(
                $"{memory} was not allocated by this queue, or was given back before.", nameof(memory));
        }

        _live.Remove(memory.Address);
        LiveBytes -= bytes;
        _putAside.Add(memory.Address);
    }

    /// <summary>Gives back what was put aside; everything that was in the stream when it was is done.</summary>
    public void Collect()
    {
        while (_putAside.Count > 0)
        {
            var address = _putAside[^1];

            // Out of the list first: memory that the driver does not take now, it will not take a second time.
            _putAside.RemoveAt(_putAside.Count - 1);
            driver.Check(driver.MemFree(address), "cuMemFree_v2");
        }
    }

    /// <summary>Gives back everything; the stream must be idle.</summary>
    public void FreeAll()
    {
        foreach (var address in _putAside.Concat(_live.Keys))
        {
            driver.MemFree(address);
        }

        _putAside.Clear();
        _live.Clear();
        LiveBytes = 0;
    }
}
