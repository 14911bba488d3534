namespace EquiNorm.Gpu.Cuda;

// Copies pass through page-locked buffers: a copy from pageable memory would wait for the stream (cuda.h), and the source could not change
// at return. Up to 64 KiB, the size below which the driver itself stages copies, they take one of 16 buffers; larger ones alternate between two.
public sealed unsafe partial class CudaQueue
{
    private const int SmallBuffers = 16;
    private const int SmallBufferBytes = 64 << 10;
    private const int LargeBuffers = 2;

    // Not measured on a device. At 25 to 50 GB/s a buffer of 4 MiB takes 80 to 160 us, some ten times what starting a copy costs.
    private const int LargeBufferBytes = 4 << 20;

    /// <summary>Copies to the device. The source may change as soon as the call returns.</summary>
    /// <remarks>
    /// Waits only for a staging buffer: when 16 small copies, or two parts of 4 MiB of a large one, are still under way. A call that had to wait
    /// counts as one synchronization.
    /// </remarks>
    /// <exception cref="CudaException">The copy cannot be made, or the stream is being captured.</exception>
    public void Upload(ReadOnlySpan<byte> source, ulong destination)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (source.IsEmpty)
        {
            return;
        }

        using var scope = _context.Enter();
        RefuseInCapture("copy from the host");
        var ring = Ring(source.Length);
        var hasWaited = false;
        for (var done = 0; done < source.Length;)
        {
            var bytes = Math.Min(ring.BufferBytes, source.Length - done);
            var (buffer, waited) = ring.Take();
            hasWaited |= waited;
            source.Slice(done, bytes).CopyTo(new Span<byte>(ring.Memory(buffer), bytes));
            _driver.Check(
                _driver.MemcpyHtoDAsync(destination + (ulong)done, ring.Memory(buffer), (nuint)bytes, _stream), "cuMemcpyHtoDAsync_v2");
            ring.Submitted(buffer);
            done += bytes;
        }

        _copies++;
        _synchronizations += hasWaited ? 1 : 0;
    }

    /// <inheritdoc/>
    /// <remarks>Counts as one copy and one synchronization; with an empty destination it only waits.</remarks>
    /// <exception cref="CudaException">The copy cannot be made, something before it went wrong, or the stream is being captured.</exception>
    public void Download(ulong source, Span<byte> destination)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        using var scope = _context.Enter();
        RefuseInCapture("copy to the host");
        if (destination.IsEmpty)
        {
            Drain();
            return;
        }

        // While the device fills one buffer, the host empties the other.
        var ring = Ring(destination.Length);
        var pending = destination[..0];
        var pendingBuffer = -1;
        for (var done = 0; done < destination.Length;)
        {
            var bytes = Math.Min(ring.BufferBytes, destination.Length - done);
            var (buffer, _) = ring.Take();
            _driver.Check(_driver.MemcpyDtoHAsync(ring.Memory(buffer), source + (ulong)done, (nuint)bytes, _stream), "cuMemcpyDtoHAsync_v2");
            ring.Submitted(buffer);
            Empty(ring, pendingBuffer, pending);
            pending = destination.Slice(done, bytes);
            pendingBuffer = buffer;
            done += bytes;
        }

        Empty(ring, pendingBuffer, pending);
        _copies++;
        _synchronizations++;

        // The last copy is done, hence all that was in the stream before it.
        _heap.Collect();
    }

    /// <inheritdoc/>
    /// <exception cref="CudaException">The memory cannot be set.</exception>
    public void Clear(ulong destination, long bytes)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        if (bytes == 0)
        {
            return;
        }

        using var scope = _context.Enter();
        _driver.Check(_driver.MemsetD8Async(destination, 0, (nuint)bytes, _stream), "cuMemsetD8Async");
        _copies++;
    }

    /// <summary>Copies within the device, by the driver's own copy. The two ranges must not overlap. Can be captured.</summary>
    /// <exception cref="CudaException">The copy cannot be made.</exception>
    public void Copy(ulong source, ulong destination, long bytes)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        if (bytes == 0)
        {
            return;
        }

        using var scope = _context.Enter();
        _driver.Check(_driver.MemcpyDtoDAsync(destination, source, (nuint)bytes, _stream), "cuMemcpyDtoDAsync_v2");
        _copies++;
    }

    private static void Empty(StagingRing ring, int buffer, Span<byte> destination)
    {
        if (!destination.IsEmpty)
        {
            ring.Wait(buffer);
            new ReadOnlySpan<byte>(ring.Memory(buffer), destination.Length).CopyTo(destination);
        }
    }

    private StagingRing Ring(int bytes) => bytes <= SmallBufferBytes ? _smallCopies : _largeCopies;
}
