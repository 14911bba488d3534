using EquiNorm.Model;

namespace EquiNorm.Gpu;

/// <summary>
/// Another queue, with memory of the caller's: allocations come from it as long as they fit (first fit), else from the queue itself.
/// Memory that was given back is handed out again at once: work is in order, so nobody sees it twice.
/// </summary>
internal sealed class WorkspaceQueue(IDeviceQueue queue) : IDeviceQueue
{
    /// <summary>Allocations are multiples of it, and so are their addresses.</summary>
    public const long Alignment = 256;

    // Free pieces by address; neighbours are joined.
    private readonly List<DeviceMemory> _free = [];
    private readonly Dictionary<ulong, long> _taken = [];
    private bool _hasRegion;

    public string Name => queue.Name;

    public QueueCounters Counters => queue.Counters;

    public TensorDevice TensorDevice => queue.TensorDevice;

    /// <summary>Replaces the memory; nothing of the old one may be in use.</summary>
    /// <exception cref="InvalidOperationException">Something of it is.</exception>
    public void UseRegion(ulong address, long bytes)
    {
        if (_taken.Count > 0)
        {
            throw new InvalidOperationException("The workspace that was given before is still in use.");
        }

        if (_hasRegion)
        {
            // Kernels of the last step may still work in it.
            queue.Synchronize();
        }

        _free.Clear();
        _hasRegion = false;
        if (address != 0 && bytes >= Alignment)
        {
            if (address % Alignment != 0)
            {
                throw new ArgumentException($"The address 0x{address:x} of the workspace is not a multiple of {Alignment}.", nameof(address));
            }

            queue.RequireReachable(address);
            queue.RequireReachable(address + (ulong)bytes - 1);
            _free.Add(new DeviceMemory(address, bytes / Alignment * Alignment));
            _hasRegion = true;
        }
    }

    public DeviceMemory Allocate(long bytes) => Take(bytes) ?? queue.Allocate(bytes);

    public DeviceMemory Allocate(long bytes, string purpose) => Take(bytes) ?? queue.Allocate(bytes, purpose);

    public void Free(DeviceMemory memory)
    {
        if (!_taken.Remove(memory.Address, out var bytes))
        {
            queue.Free(memory);
            return;
        }

        var place = _free.FindIndex(f => f.Address > memory.Address);
        place = place < 0 ? _free.Count : place;
        _free.Insert(place, new DeviceMemory(memory.Address, bytes));
        Join(place);
        if (place > 0)
        {
            Join(place - 1);
        }
    }

    public void Upload(ReadOnlySpan<byte> source, ulong destination) => queue.Upload(source, destination);

    public void Download(ulong source, Span<byte> destination) => queue.Download(source, destination);

    public void RequireReachable(ulong address) => queue.RequireReachable(address);

    public void Clear(ulong destination, long bytes) => queue.Clear(destination, bytes);

    public void UseStream(nint stream) => queue.UseStream(stream);

    public void RequireNoCapture() => queue.RequireNoCapture();

    public void Prepare(IEnumerable<KernelId> kernels) => queue.Prepare(kernels);

    public void Launch<TArguments>(KernelId kernel, int groups, int groupSize, in TArguments arguments)
        where TArguments : unmanaged => queue.Launch(kernel, groups, groupSize, arguments);

    public void Synchronize() => queue.Synchronize();

    public void Dispose() => queue.Dispose();

    private DeviceMemory? Take(long bytes)
    {
        var size = checked(bytes + Alignment - 1) / Alignment * Alignment;
        var place = _free.FindIndex(f => f.Bytes >= size);
        if (place < 0)
        {
            return null;
        }

        var piece = _free[place];
        if (piece.Bytes == size)
        {
            _free.RemoveAt(place);
        }
        else
        {
            _free[place] = new DeviceMemory(piece.Address + (ulong)size, piece.Bytes - size);
        }

        _taken.Add(piece.Address, size);
        return new DeviceMemory(piece.Address, bytes);
    }

    private void Join(int place)
    {
        if (place + 1 < _free.Count && _free[place].Address + (ulong)_free[place].Bytes == _free[place + 1].Address)
        {
            _free[place] = _free[place] with { Bytes = _free[place].Bytes + _free[place + 1].Bytes };
            _free.RemoveAt(place + 1);
        }
    }
}

/// <summary>A queue that does nothing but add up the memory that is asked for: what work would need, without a device.</summary>
internal sealed class MeasuringQueue : IDeviceQueue
{
    // Far from zero, so that no view looks empty.
    private ulong _next = 1UL << 40;

    public string Name => "measure";

    public QueueCounters Counters => default;

    /// <summary>Bytes asked for.</summary>
    public long Bytes { get; private set; }

    public DeviceMemory Allocate(long bytes)
    {
        var size = checked(bytes + WorkspaceQueue.Alignment - 1) / WorkspaceQueue.Alignment * WorkspaceQueue.Alignment;
        var memory = new DeviceMemory(_next, bytes);
        _next += (ulong)size;
        Bytes += size;
        return memory;
    }

    public void Free(DeviceMemory memory)
    {
    }

    public void Upload(ReadOnlySpan<byte> source, ulong destination)
    {
    }

    public void Download(ulong source, Span<byte> destination) => destination.Clear();

    public void Clear(ulong destination, long bytes)
    {
    }

    public void Launch<TArguments>(KernelId kernel, int groups, int groupSize, in TArguments arguments)
        where TArguments : unmanaged
    {
    }

    public void Synchronize()
    {
    }

    public void Dispose()
    {
    }
}
