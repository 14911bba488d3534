using EquiNorm.Model;

namespace EquiNorm.Gpu;

/// <summary>
/// A device that runs kernels in order: memory, copies and launches. Every operation takes its place behind the earlier ones; only
/// <see cref="Download"/> and <see cref="Synchronize"/> wait. Serves one caller at a time.
/// </summary>
public interface IDeviceQueue : IDisposable
{
    /// <summary>What reports call it, "cuda:0 NVIDIA H200" say.</summary>
    string Name { get; }

    /// <summary>What was done so far.</summary>
    QueueCounters Counters { get; }

    /// <summary>Memory on the device, aligned to 256 bytes; its contents are undefined.</summary>
    /// <param name="bytes">More than zero.</param>
    DeviceMemory Allocate(long bytes);

    /// <summary>Memory as above, with a word on what it is for: "table" or "workspace". A queue may account for it, or not.</summary>
    DeviceMemory Allocate(long bytes, string purpose) => Allocate(bytes);

    /// <summary>Where tensors must lie that kernels reach.</summary>
    TensorDevice TensorDevice => TensorDevice.Cuda(0);

    /// <summary>Puts all further work on another stream, behind the work so far.</summary>
    /// <param name="stream">A stream (CUstream) of the same context; 0 is the legacy default stream.</param>
    /// <exception cref="ArgumentException">This queue is given its streams in another way, and a stream is given.</exception>
    void UseStream(nint stream)
    {
        if (stream != 0)
        {
            throw new ArgumentException($"Queue '{Name}' takes no CUDA streams; 0x{stream:x} was given.", nameof(stream));
        }
    }

    /// <summary>Throws if the work that is asked for now would be captured instead of done: before tables are copied or freed.</summary>
    void RequireNoCapture()
    {
    }

    /// <summary>Makes kernels ready, so that no launch has to: before a stream is captured.</summary>
    void Prepare(IEnumerable<KernelId> kernels)
    {
    }

    /// <summary>Gives memory back; kernels launched before may still use it.</summary>
    void Free(DeviceMemory memory);

    /// <summary>Copies to the device. The source may change as soon as the call returns.</summary>
    void Upload(ReadOnlySpan<byte> source, ulong destination);

    /// <summary>Waits for all that was asked for before, and copies to the host.</summary>
    void Download(ulong source, Span<byte> destination);

    /// <summary>Throws if kernels of this queue cannot reach an address; a queue that cannot tell does nothing.</summary>
    void RequireReachable(ulong address)
    {
    }

    /// <summary>Sets bytes to zero.</summary>
    void Clear(ulong destination, long bytes);

    /// <summary>Runs a kernel once everything before it is done.</summary>
    /// <param name="kernel">Which.</param>
    /// <param name="groups">Groups in the grid, more than zero.</param>
    /// <param name="groupSize">Threads of a group.</param>
    /// <param name="arguments">The parameter block, laid out as the kernel's PTX declares it.</param>
    /// <typeparam name="TArguments">A struct of <see cref="DeviceView{T}"/>s and scalars in the order of the kernel's parameters.</typeparam>
    void Launch<TArguments>(KernelId kernel, int groups, int groupSize, in TArguments arguments)
        where TArguments : unmanaged;

    /// <summary>Waits until everything is done.</summary>
    void Synchronize();
}

/// <summary>Memory on a device.</summary>
/// <param name="Address">Its address on the device.</param>
/// <param name="Bytes">Its size.</param>
public readonly record struct DeviceMemory(ulong Address, long Bytes);

/// <summary>Counts of what a queue was asked to do; work is counted, not timed.</summary>
/// <param name="Launches">Kernels.</param>
/// <param name="Copies">Uploads, downloads and clears.</param>
/// <param name="Synchronizations">Times that the host waited (downloads included).</param>
/// <param name="Allocations">Allocations of device memory.</param>
public readonly record struct QueueCounters(long Launches, long Copies, long Synchronizations, long Allocations)
{
    /// <summary>What was done between two readings.</summary>
    public static QueueCounters operator -(QueueCounters left, QueueCounters right) => new(
        left.Launches - right.Launches,
        left.Copies - right.Copies,
        left.Synchronizations - right.Synchronizations,
        left.Allocations - right.Allocations);
}
