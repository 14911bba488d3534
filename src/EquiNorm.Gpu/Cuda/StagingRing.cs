namespace EquiNorm.Gpu.Cuda;

/// <summary>
/// Page-locked buffers through which copies pass, taken in turn. A buffer is taken again once the copy that used it is done, which an event
/// behind that copy tells; page-locked, because only then does a copy run while the host goes on. Calls expect the context to be current.
/// </summary>
internal sealed unsafe class StagingRing(CudaDriver driver, nint stream, int buffers, int bufferBytes)
{
    private readonly nint[] _events = new nint[buffers];
    private readonly bool[] _isBusy = new bool[buffers];
    private byte* _memory;
    private int _next;

    /// <summary>The stream of the copies.</summary>
    public nint Stream { get; set; } = stream;

    /// <summary>Bytes of a buffer.</summary>
    public int BufferBytes => bufferBytes;

    /// <summary>Takes the next buffer.</summary>
    /// <returns>Its number, and whether the host had to wait for it.</returns>
    public (int Buffer, bool HasWaited) Take()
    {
        if (_memory == null)
        {
            Allocate();
        }

        var buffer = _next;
        _next = (_next + 1) % buffers;
        return (buffer, _isBusy[buffer] && Wait(buffer));
    }

    /// <summary>A buffer's memory.</summary>
    public byte* Memory(int buffer) => _memory + ((long)buffer * bufferBytes);

    /// <summary>Says that a copy with this buffer was put into the stream.</summary>
    public void Submitted(int buffer)
    {
        var result = driver.EventRecord(_events[buffer], Stream);
        if (result != CudaResult.Success)
        {
            // Without the event nobody knows when the copy is done: wait now, whatever that says.
            driver.StreamSynchronize(Stream);
            throw CudaErrors.Of(driver, result, "cuEventRecord");
        }

        _isBusy[buffer] = true;
    }

    /// <summary>Waits for the copy that uses a buffer.</summary>
    /// <returns>Whether it was not done yet.</returns>
    public bool Wait(int buffer)
    {
        var state = driver.EventQuery(_events[buffer]);
        if (state == CudaResult.NotReady)
        {
            driver.Check(driver.EventSynchronize(_events[buffer]), "cuEventSynchronize");
        }
        else
        {
            driver.Check(state, "cuEventQuery");
        }

        _isBusy[buffer] = false;
        return state == CudaResult.NotReady;
    }

    /// <summary>Frees everything; the stream must be idle.</summary>
    public void Free()
    {
        foreach (ref var handle in _events.AsSpan())
        {
            if (handle != 0)
            {
                driver.EventDestroy(handle);
                handle = 0;
            }
        }

        if (_memory != null)
        {
            driver.MemFreeHost(_memory);
            _memory = null;
        }
    }

    private void Allocate()
    {
        try
        {
            foreach (ref var handle in _events.AsSpan())
            {
                nint created;
                driver.Check(driver.EventCreate(&created, CudaConstants.EventDisableTiming), "cuEventCreate");
                handle = created;
            }

            void* memory;
            var bytes = (long)buffers * bufferBytes;
            var result = driver.MemAllocHost(&memory, (nuint)bytes);
            if (result == CudaResult.OutOfMemory)
            {
                throw CudaErrors.HostFull(driver, result, "cuMemAllocHost_v2", bytes);
            }

            driver.Check(result, "cuMemAllocHost_v2");
            _memory = (byte*)memory;
        }
        catch
        {
            Free();
            throw;
        }
    }
}
