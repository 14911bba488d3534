using EquiNorm.Gpu.Cuda;
using EquiNorm.Gpu.Tests.Machine;
using EquiNorm.Model;
using EquiNorm.PtxMachine;

namespace EquiNorm.Gpu.Bench.Check;

/// <summary>How large networks may be.</summary>
internal enum CheckScale
{
    /// <summary>Some thousand elements: each instruction is interpreted.</summary>
    Small,

    /// <summary>Whatever fits.</summary>
    Full,
}

/// <summary>What is checked: a GPU, or the PTX machine. Hands out queues, of which each begins with no memory of its own.</summary>
internal sealed class CheckDevice(string name, CheckScale scale, Func<IDeviceQueue> open, IDeviceQueue? owned = null) : IDisposable
{
    private CudaQueue? _cuda;

    /// <summary>What it is called.</summary>
    public string Name => name;

    /// <summary>How large networks may be.</summary>
    public CheckScale Scale => scale;

    /// <summary>The queue itself where it is a GPU's; null on the PTX machine, which captures nothing.</summary>
    public CudaQueue? Cuda => _cuda;

    /// <summary>A GPU. One queue serves all checks: a context takes half a second.</summary>
    public static CheckDevice OfCuda(int index)
    {
        var cuda = CudaQueue.OnDevice(index);
        return new CheckDevice(cuda.Name, CheckScale.Full, () => new WrappedQueue(cuda)) { _cuda = cuda };
    }

    /// <summary>The PTX machine; a new one for each queue, since its addresses are never used again.</summary>
    public static CheckDevice OfMachine() => new(
        "ptx machine",
        CheckScale.Small,
        () => new MachineQueue(new PtxDeviceOptions { Threads = Environment.ProcessorCount, Counting = false }));

    /// <summary>The ILGPU queue on an accelerator of its own; one queue serves all checks, since ILGPU compiles the kernels for each.</summary>
    /// <param name="name">cuda, cuda:N or cpu.</param>
    /// <exception cref="NotSupportedException">This program was built without ILGPU.</exception>
    public static CheckDevice OfIlgpu(string name)
    {
#if ILGPU_QUEUE
        var queue = Ilgpu.IlgpuQueue.Open(name);
        return new CheckDevice(
            queue.Name, name == "cpu" ? CheckScale.Small : CheckScale.Full, () => new WrappedQueue(queue), queue);
#else
        throw new NotSupportedException($"'{name}' needs ILGPU, and this program was built without it.");
#endif
    }

    /// <summary>A queue, to be disposed of.</summary>
    public IDeviceQueue Open() => open();

    /// <summary>A queue whose memory begins as 0xFF: NaN in every type, -1 in every counter.</summary>
    public IDeviceQueue OpenPoisoned() => new WrappedQueue(open(), poisons: true, owns: true);

    public void Dispose()
    {
        _cuda?.Dispose();
        owned?.Dispose();
    }
}

/// <summary>Another queue, with memory that is poisoned before anybody uses it, or with an owner of its own.</summary>
internal sealed class WrappedQueue(IDeviceQueue inner, bool poisons = false, bool owns = false) : IDeviceQueue
{
    private static readonly byte[] Poison = CreatePoison();

    /// <inheritdoc/>
    public string Name => inner.Name;

    /// <inheritdoc/>
    public QueueCounters Counters => inner.Counters;

    /// <inheritdoc/>
    public TensorDevice TensorDevice => inner.TensorDevice;

    /// <inheritdoc/>
    public void UseStream(nint stream) => inner.UseStream(stream);

    /// <inheritdoc/>
    public void Prepare(IEnumerable<KernelId> kernels) => inner.Prepare(kernels);

    /// <inheritdoc/>
    public void RequireReachable(ulong address) => inner.RequireReachable(address);

    /// <inheritdoc/>
    public DeviceMemory Allocate(long bytes)
    {
        var memory = inner.Allocate(bytes);
        for (long done = 0; poisons && done < bytes; done += Poison.Length)
        {
            inner.Upload(Poison.AsSpan(0, (int)Math.Min(Poison.Length, bytes - done)), memory.Address + (ulong)done);
        }

        return memory;
    }

    /// <inheritdoc/>
    public void Free(DeviceMemory memory) => inner.Free(memory);

    /// <inheritdoc/>
    public void Upload(ReadOnlySpan<byte> source, ulong destination) => inner.Upload(source, destination);

    /// <inheritdoc/>
    public void Download(ulong source, Span<byte> destination) => inner.Download(source, destination);

    /// <inheritdoc/>
    public void Clear(ulong destination, long bytes) => inner.Clear(destination, bytes);

    /// <inheritdoc/>
    public void Launch<TArguments>(KernelId kernel, int groups, int groupSize, in TArguments arguments)
        where TArguments : unmanaged => inner.Launch(kernel, groups, groupSize, in arguments);

    /// <inheritdoc/>
    public void Synchronize() => inner.Synchronize();

    /// <inheritdoc/>
    public void Dispose()
    {
        if (owns)
        {
            inner.Dispose();
        }
    }

    private static byte[] CreatePoison()
    {
        var poison = new byte[1 << 22];
        Array.Fill(poison, (byte)0xFF);
        return poison;
    }
}
