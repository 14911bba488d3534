using EquiNorm.Model;

namespace EquiNorm.Gpu.Cuda;

/// <summary>
/// A queue on a CUDA stream. It works in a context that may be the caller's, and every call leaves current what was current before.
/// One caller at a time, from whichever thread. The stream, and the context unless it is a primary one, must outlive the queue; graphs that the
/// caller captures from the stream must not outlive it, because they hold its kernels and memory.
/// </summary>
public sealed unsafe partial class CudaQueue : IDeviceQueue
{
    private readonly CudaDriver _driver;
    private readonly CudaContext _context;
    private readonly Func<KernelId, byte[]> _images;
    private readonly nint _ownStream;
    private readonly ContextModules _modules;
    private readonly DeviceHeap _heap;
    private readonly StagingRing _smallCopies;
    private readonly StagingRing _largeCopies;
    private readonly HashSet<IDisposable> _children = [];

    // By KernelId.Index: a launch looks nothing up.
    private LoadedKernel?[] _kernels = [];
    private nint _stream;
    private nint _handover;
    private long _launches;
    private long _copies;
    private long _synchronizations;
    private long _allocations;
    private bool _isCapturing;
    private bool _isDisposed;

    private CudaQueue(CudaDriver driver, CudaContext context, nint stream, bool ownsStream, Func<KernelId, byte[]> images)
    {
        _driver = driver;
        _context = context;
        _images = images;
        _stream = stream;
        _ownStream = ownsStream ? stream : 0;
        _heap = new DeviceHeap(driver);
        _smallCopies = new StagingRing(driver, stream, SmallBuffers, SmallBufferBytes);
        _largeCopies = new StagingRing(driver, stream, LargeBuffers, LargeBufferBytes);
        _modules = driver.Modules.Acquire(driver, context);
    }

    /// <inheritdoc/>
    public string Name => $"cuda:{_context.Device.Index} {_context.Device.Name}";

    /// <summary>The device it runs on.</summary>
    public CudaDevice Device => _context.Device;

    /// <summary>The stream (CUstream), zero for the legacy default stream.</summary>
    public nint Stream => _stream;

    /// <inheritdoc/>
    public QueueCounters Counters => new(_launches, _copies, _synchronizations, _allocations);

    /// <summary>Bytes that are allocated and not freed.</summary>
    public long AllocatedBytes => _heap.LiveBytes;

    /// <summary>A queue of its own: the device's primary context (that of the CUDA runtime) and a new stream, both given back at the end.</summary>
    /// <exception cref="CudaException">There is no driver, no such device, or the kernels do not run on it.</exception>
    public static CudaQueue OnDevice(int index) => OnDevice(InstalledDriver.Get(), index, KernelImages.Ptx);

    /// <summary>A queue in the context that is current on this thread, on a stream of that context.</summary>
    /// <param name="stream">The caller's stream (CUstream); zero is the legacy default stream.</param>
    /// <exception cref="CudaException">No context is current, the stream is another context's, or the kernels do not run here.</exception>
    public static CudaQueue InCurrentContext(nint stream) => InCurrentContext(InstalledDriver.Get(), stream, KernelImages.Ptx);

    /// <summary>A queue on a stream of a device's primary context: what PyTorch and the CUDA runtime give.</summary>
    /// <param name="device">The device's number.</param>
    /// <param name="stream">The caller's stream (cudaStream_t, CUstream); zero is the legacy default stream.</param>
    /// <exception cref="CudaException">The stream is another context's, or the kernels do not run there.</exception>
    public static CudaQueue OnStream(int device, nint stream) => OnStream(InstalledDriver.Get(), device, stream, KernelImages.Ptx);

    TensorDevice IDeviceQueue.TensorDevice => TensorDevice.Cuda(_context.Device.Index);

    internal static CudaQueue OnDevice(CudaDriver driver, int index, Func<KernelId, byte[]> images)
    {
        var context = CudaContext.Primary(driver, index);
        try
        {
            using var scope = context.Enter();
            nint stream;
            driver.Check(driver.StreamCreate(&stream, CudaConstants.StreamNonBlocking), "cuStreamCreate");
            return new CudaQueue(driver, context, stream, ownsStream: true, images);
        }
        catch
        {
            context.Release();
            throw;
        }
    }

    internal static CudaQueue InCurrentContext(CudaDriver driver, nint stream, Func<KernelId, byte[]> images)
    {
        var context = CudaContext.Current(driver);
        RequireStreamOf(driver, context, stream);
        return new CudaQueue(driver, context, stream, ownsStream: false, images);
    }

    internal static CudaQueue OnStream(CudaDriver driver, int device, nint stream, Func<KernelId, byte[]> images)
    {
        var context = CudaContext.Primary(driver, device);
        try
        {
            using var scope = context.Enter();
            RequireStreamOf(driver, context, stream);
            return new CudaQueue(driver, context, stream, ownsStream: false, images);
        }
        catch
        {
            context.Release();
            throw;
        }
    }

    /// <summary>Loads kernels, so that no launch has to: needed before a capture.</summary>
    /// <exception cref="CudaException">The driver does not take a kernel, or the stream is being captured.</exception>
    public void Prepare(IEnumerable<KernelId> kernels)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        using var scope = _context.Enter();
        foreach (var kernel in kernels)
        {
            if (Prepared(kernel) is null)
            {
                Load(kernel);
            }
        }
    }

    /// <inheritdoc/>
    /// <exception cref="CudaException">The device is full, or the stream is being captured.</exception>
    public DeviceMemory Allocate(long bytes)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bytes);
        using var scope = _context.Enter();
        RefuseInCapture("allocate memory");
        var result = _heap.TryAllocate(bytes, out var memory);
        if (result == CudaResult.OutOfMemory && _heap.HasPutAside)
        {
            Drain();
            result = _heap.TryAllocate(bytes, out memory);
        }

        if (result == CudaResult.OutOfMemory)
        {
            throw CudaErrors.DeviceFull(_driver, result, "cuMemAlloc_v2", bytes);
        }

        _driver.Check(result, "cuMemAlloc_v2");
        _allocations++;
        return memory;
    }

    /// <summary>
    /// Gives memory back; kernels launched before may still use it. Does not wait: the driver gets the memory at the next
    /// <see cref="Synchronize"/>, <see cref="Download"/>, failing <see cref="Allocate"/> or <see cref="Dispose"/>.
    /// </summary>
    /// <exception cref="ArgumentException">It is not memory of this queue, or was given back before.</exception>
    public void Free(DeviceMemory memory)
    {
        if (_isDisposed)
        {
            return; // given back already, with everything else
        }

        if (_isCapturing)
        {
            throw Uncapturable("give memory back");
        }

        _heap.PutAside(memory);
    }

    /// <inheritdoc/>
    /// <remarks>Allocates nothing on the managed heap once the kernel is loaded.</remarks>
    /// <exception cref="ArgumentException">The arguments have not the size that the kernel declares.</exception>
    /// <exception cref="CudaException">The kernel cannot be loaded or launched.</exception>
    public void Launch<TArguments>(KernelId kernel, int groups, int groupSize, in TArguments arguments)
        where TArguments : unmanaged
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(groups);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(groupSize);
        using var scope = _context.Enter();
        var loaded = Prepared(kernel) ?? Load(kernel);
        if (groupSize > loaded.MaxGroupSize)
        {
            throw new CudaException(
                CudaErrorKind.LaunchTooLarge,
                $"Kernel '{kernel.Name}' was launched with {groupSize} threads in a group; on this device it takes {loaded.MaxGroupSize} at most.");
        }

        if (sizeof(TArguments) != loaded.ParameterBytes && sizeof(TArguments) != loaded.PaddedBytes)
        {
            throw new ArgumentException(
                $"Kernel '{kernel.Name}' declares {loaded.ParameterBytes} bytes of parameters; {typeof(TArguments).Name} has {sizeof(TArguments)}.",
                nameof(arguments));
        }

        fixed (TArguments* block = &arguments)
        {
            // CUDA copies the block before the call returns, and refuses a size that includes the padding at the struct's end.
            var size = (nuint)loaded.ParameterBytes;
            var extra = stackalloc void*[]
            {
                (void*)CudaConstants.LaunchParamBufferPointer, block,
                (void*)CudaConstants.LaunchParamBufferSize, &size,
                (void*)CudaConstants.LaunchParamEnd,
            };
            var result = _driver.LaunchKernel(loaded.Function, (uint)groups, 1, 1, (uint)groupSize, 1, 1, 0, _stream, null, extra);
            if (result != CudaResult.Success)
            {
                throw Refused(loaded, groups, groupSize, result);
            }
        }

        _launches++;
    }

    /// <inheritdoc/>
    /// <exception cref="CudaException">Something before it went wrong, or the stream is being captured.</exception>
    public void Synchronize()
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        using var scope = _context.Enter();
        RefuseInCapture("wait");
        Drain();
    }

    /// <summary>Refuses an address that kernels of this queue cannot reach: host memory, or memory of another device or context.</summary>
    /// <exception cref="CudaException">Kernels cannot reach it; the message says why.</exception>
    public void RequireReachable(ulong address)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        using var scope = _context.Enter();
        PointerCheck.Require(_driver, _context, address);
    }

    /// <summary>
    /// Waits for the stream, gives everything back and leaves what is the caller's. Never fails because of an earlier error; a second call does
    /// nothing.
    /// </summary>
    /// <exception cref="CudaException">The stream is being captured: waiting would spoil the capture. Dispose of the queue after it.</exception>
    public void Dispose()
    {
        if (_isDisposed)
        {
            return;
        }

        var isAlive = _context.TryEnter(out var scope);
        using (scope)
        {
            if (isAlive)
            {
                if (IsCaptured(out _))
                {
                    throw Uncapturable("dispose of its queue", "Dispose of it after the capture.");
                }

                _driver.StreamSynchronize(_stream);
            }

            _isDisposed = true;
            foreach (var child in _children.ToArray())
            {
                child.Dispose();
            }

            var isLastUser = _driver.Modules.Release(_modules);
            if (isAlive)
            {
                _smallCopies.Free();
                _largeCopies.Free();
                _heap.FreeAll();
                if (isLastUser)
                {
                    _modules.Unload();
                }

                if (_handover != 0)
                {
                    _driver.EventDestroy(_handover);
                }

                if (_ownStream != 0)
                {
                    _driver.StreamDestroy(_ownStream);
                }
            }
        }

        _context.Release();
    }

    private LoadedKernel? Prepared(KernelId kernel)
    {
        var kernels = _kernels;
        var loaded = kernel.Index < kernels.Length ? kernels[kernel.Index] : null;
        return loaded?.Kernel == kernel ? loaded : null;
    }

    private LoadedKernel Load(KernelId kernel)
    {
        var loaded = _modules.Find(kernel);
        if (loaded is null)
        {
            RefuseInCapture($"load kernel '{kernel.Name}'", "Call Prepare with it first.");
            loaded = _modules.Load(kernel, _images);
        }

        if (kernel.Index >= _kernels.Length)
        {
            Array.Resize(ref _kernels, kernel.Index + 1);
        }

        _kernels[kernel.Index] = loaded;
        return loaded;
    }

    private CudaException Refused(LoadedKernel loaded, int groups, int groupSize, CudaResult result)
    {
        var error = CudaErrors.Of(_driver, result, "cuLaunchKernel");
        return new CudaException(
            error.Kind,
            "cuLaunchKernel",
            result,
            error.ErrorName!,
            $"Kernel '{loaded.Kernel.Name}', {groups} groups of {groupSize}: {error.Message}");
    }

    // Waits for the stream, after which what was put aside can go.
    private void Drain()
    {
        _synchronizations++;
        _driver.Check(_driver.StreamSynchronize(_stream), "cuStreamSynchronize");
        _heap.Collect();
    }
}
