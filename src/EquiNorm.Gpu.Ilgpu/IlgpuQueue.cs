using EquiNorm.Model;
using System.Globalization;
using EquiNorm.Gpu.Tables;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;

namespace EquiNorm.Gpu.Ilgpu;

/// <summary>
/// An ILGPU accelerator as a queue: the kernels are compiled by ILGPU for it and run on a stream of the caller's. Accelerator and stream
/// stay the caller's; the queue disposes of neither.
/// </summary>
/// <remarks>
/// <para>Works with NVIDIA GPUs (<c>CudaAccelerator</c>), and for tests with ILGPU's CPU accelerator, where every thread of a group is a
/// thread of the operating system: slow. OpenCL has no addresses that could lie in tables, and is refused.</para>
/// <para>Only <see cref="Download"/>, <see cref="Synchronize"/> and <see cref="Dispose"/> wait. Freed memory is given back at the next of
/// them, because giving it back waits for the whole device.</para>
/// <para>The kernels of an accelerator are compiled when they are first launched, once for all queues. A context made with
/// <c>Optimize(OptimizationLevel.O2)</c> gives 16-byte loads; ILGPU's default, O1, does not.</para>
/// </remarks>
public sealed class IlgpuQueue : IDeviceQueue
{
    private const int Alignment = 256;
    private const int StageBytes = 1 << 20;

    private readonly Accelerator _accelerator;
    private readonly Context? _ownedContext;
    private readonly KernelTable _kernels;
    private readonly AddressSpace _space;
    private readonly Dictionary<ulong, MemoryBuffer> _buffers = [];
    private readonly List<MemoryBuffer> _freed = [];
    private AcceleratorStream _stream;
    private QueueCounters _counters;
    private byte[] _stage = [];
    private bool _disposed;

    /// <param name="stream">The stream; its accelerator is the device.</param>
    /// <exception cref="NotSupportedException">The accelerator is OpenCL's, or its warps or groups do not fit the kernels.</exception>
    public IlgpuQueue(AcceleratorStream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        _accelerator = stream.Accelerator;
        _stream = stream;
        if (_accelerator.AcceleratorType == AcceleratorType.OpenCL)
        {
            throw new NotSupportedException(
                $"Accelerator '{_accelerator.Name}' is OpenCL's, which has no addresses of memory; the kernels need them.");
        }

        if (_accelerator.WarpSize != 32 || _accelerator.MaxNumThreadsPerGroup < TileLimits.GroupSize)
        {
            throw new NotSupportedException(
                $"Accelerator '{_accelerator.Name}' has warps of {_accelerator.WarpSize} and groups of at most {_accelerator.MaxNumThreadsPerGroup} threads; "
                + $"the kernels need 32 and {TileLimits.GroupSize}. For the CPU: new CPUDevice(32, 8, 1).");
        }

        _kernels = KernelTable.Of(_accelerator);
        _space = new AddressSpace(_accelerator);
    }

    private IlgpuQueue(Accelerator accelerator, Context context)
        : this(accelerator.DefaultStream) => _ownedContext = context;

    /// <summary>A queue with an accelerator of its own, for programs that have none.</summary>
    /// <param name="device">"cuda" or "cuda:N" for an NVIDIA GPU, "cpu" for ILGPU's CPU accelerator, which is slow and meant for checks.</param>
    /// <exception cref="ArgumentException">There is no such kind of accelerator.</exception>
    /// <exception cref="NotSupportedException">This assembly was built where the ILGPU package could not be had.</exception>
    public static IlgpuQueue Open(string device)
    {
        ArgumentNullException.ThrowIfNull(device);
        var (kind, number) = device.Split(':') is [var k, var n] && int.TryParse(n, NumberStyles.None, CultureInfo.InvariantCulture, out var index)
            ? (k, index)
            : (device, 0);
        if (kind is not ("cuda" or "cpu"))
        {
            throw new ArgumentException($"'{device}' is no accelerator of ILGPU that can run the kernels: cuda, cuda:N or cpu.", nameof(device));
        }

        // O2: the default has no 16-byte loads.
        var context = Context.Create(b => _ = kind == "cuda" ? b.Optimize(OptimizationLevel.O2).Cuda() : b.Optimize(OptimizationLevel.O2));
        try
        {
            Accelerator accelerator = kind == "cuda"
                ? context.CreateCudaAccelerator(number)
                : new CPUDevice(32, TileLimits.GroupSize / 32, 1).CreateCPUAccelerator(context);
            return new IlgpuQueue(accelerator, context);
        }
        catch
        {
            context.Dispose();
            throw;
        }
    }

    /// <summary>The accelerator.</summary>
    public Accelerator Accelerator => _accelerator;

    /// <summary>
    /// Where the next operations go. ILGPU's streams cannot wait for one another: whoever changes the stream sees to it that what was
    /// asked for on the last one is done first.
    /// </summary>
    public AcceleratorStream Stream
    {
        get => _stream;
        set
        {
            ArgumentNullException.ThrowIfNull(value);
            if (value.Accelerator != _accelerator)
            {
                throw new ArgumentException($"The stream belongs to accelerator '{value.Accelerator.Name}', the queue to another.", nameof(value));
            }

            _stream = value;
        }
    }

    /// <inheritdoc/>
    public TensorDevice TensorDevice => _accelerator is CudaAccelerator cuda ? TensorDevice.Cuda(cuda.DeviceId) : TensorDevice.Cpu;

    /// <inheritdoc/>
    public string Name => $"ilgpu: {_accelerator.Name}";

    /// <inheritdoc/>
    public QueueCounters Counters => _counters;

    /// <inheritdoc/>
    public DeviceMemory Allocate(long bytes)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bytes);
        _counters = _counters with { Allocations = _counters.Allocations + 1 };

        // CUDA's memory is aligned as it comes, the CPU's is not.
        var spare = _accelerator.AcceleratorType == AcceleratorType.Cuda ? 0 : Alignment - 1;
        var buffer = _accelerator.AllocateRaw(checked(bytes + spare), sizeof(byte));
        var address = ((ulong)buffer.NativePtr + (ulong)spare) & ~(ulong)(Alignment - 1);
        _buffers.Add(address, buffer);
        return new DeviceMemory(address, bytes);
    }

    /// <inheritdoc/>
    public void Free(DeviceMemory memory)
    {
        // What outlives its queue was given back with it.
        if (_disposed)
        {
            return;
        }

        if (!_buffers.Remove(memory.Address, out var buffer))
        {
            throw new ArgumentException($"Memory at 0x{memory.Address:x} is not the queue's.", nameof(memory));
        }

        _freed.Add(buffer);
    }

    /// <inheritdoc/>
    public void Upload(ReadOnlySpan<byte> source, ulong destination)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        _counters = _counters with { Copies = _counters.Copies + 1 };
        if (_accelerator.AcceleratorType == AcceleratorType.CPU)
        {
            _space.Upload(_stream, source, destination);
            return;
        }

        // A driver is done with pageable memory when the call returns, but reads page-locked memory later. The source may be either.
        if (_stage.Length < Math.Min(source.Length, StageBytes))
        {
            _stage = GC.AllocateUninitializedArray<byte>(Math.Min(source.Length, StageBytes), pinned: true);
        }

        for (var done = 0; done < source.Length; done += StageBytes)
        {
            var part = source.Slice(done, Math.Min(StageBytes, source.Length - done));
            part.CopyTo(_stage);
            _space.Upload(_stream, _stage.AsSpan(0, part.Length), destination + (ulong)done);
        }
    }

    /// <inheritdoc/>
    public unsafe void Download(ulong source, Span<byte> destination)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        _counters = _counters with { Copies = _counters.Copies + 1, Synchronizations = _counters.Synchronizations + 1 };
        fixed (byte* pointer = destination)
        {
            _space.Download(_stream, source, pointer, destination.Length);
            _stream.Synchronize();
        }

        GiveBack();
    }

    /// <inheritdoc/>
    public void Clear(ulong destination, long bytes)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        _counters = _counters with { Copies = _counters.Copies + 1 };
        _space.Clear(_stream, destination, bytes);
    }

    /// <inheritdoc/>
    public void Launch<TArguments>(KernelId kernel, int groups, int groupSize, in TArguments arguments)
        where TArguments : unmanaged
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(groups);
        _counters = _counters with { Launches = _counters.Launches + 1 };
        if (_kernels[kernel] is not KernelLauncher<TArguments> launcher)
        {
            throw new ArgumentException($"{typeof(TArguments).Name} is not the parameter block of kernel '{kernel}'.", nameof(arguments));
        }

        launcher.Launch(_stream, new KernelConfig(groups, groupSize), arguments, _space);
    }

    /// <inheritdoc/>
    public void Synchronize()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        _counters = _counters with { Synchronizations = _counters.Synchronizations + 1 };
        _stream.Synchronize();
        GiveBack();
    }

    /// <summary>Waits for the accelerator if there is memory to give back, and gives it back.</summary>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;

        // An accelerator that is gone took its memory with it.
        if (!_accelerator.IsDisposed)
        {
            _freed.AddRange(_buffers.Values);
            if (_freed.Count > 0)
            {
                // Not the stream: the caller may have used several, and disposed of them.
                _accelerator.Synchronize();
                GiveBack();
            }

            _space.Dispose();
        }

        if (_ownedContext is not null)
        {
            _accelerator.Dispose();
            _ownedContext.Dispose();
        }

        _buffers.Clear();
        _freed.Clear();
    }

    private void GiveBack()
    {
        foreach (var buffer in _freed)
        {
            buffer.Dispose();
        }

        _freed.Clear();
    }
}
