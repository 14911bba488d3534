namespace EquiNorm.Gpu.Cuda;

/// <summary>The context that a queue works in: a device's primary one, retained, or one that somebody else made and keeps alive.</summary>
internal sealed unsafe class CudaContext
{
    private readonly CudaDriver _driver;
    private readonly int _deviceHandle;
    private readonly bool _isRetained;

    private CudaContext(CudaDriver driver, nint handle, int deviceHandle, CudaDevice device, bool isRetained)
    {
        _driver = driver;
        _deviceHandle = deviceHandle;
        _isRetained = isRetained;
        Handle = handle;
        Device = device;
        Id = IdOf(driver, handle);
    }

    public nint Handle { get; }

    public CudaDevice Device { get; }

    /// <summary>
    /// A number that no other context of this process has, where the driver gives one (CUDA 12): handles are used again after a context's end.
    /// </summary>
    public ulong? Id { get; }

    /// <summary>The primary context of a device, where the CUDA runtime, PyTorch and TorchSharp live. To be released.</summary>
    public static CudaContext Primary(CudaDriver driver, int index)
    {
        driver.Initialize(driver.Missing);
        var device = CudaDevices.Supported(driver, index);
        int deviceHandle;
        driver.Check(driver.DeviceGet(&deviceHandle, index), "cuDeviceGet");
        nint handle;
        driver.Check(driver.DevicePrimaryCtxRetain(&handle, deviceHandle), "cuDevicePrimaryCtxRetain");
        return new CudaContext(driver, handle, deviceHandle, device, isRetained: true);
    }

    /// <summary>The context that is current on this thread. Its owner keeps it alive.</summary>
    public static CudaContext Current(CudaDriver driver)
    {
        driver.Initialize(driver.Missing);
        nint handle;
        driver.Check(driver.CtxGetCurrent(&handle), "cuCtxGetCurrent");
        if (handle == 0)
        {
            throw new CudaException(
                CudaErrorKind.WrongContext,
                "No CUDA context is current on this thread. Make one current, or name the device: CudaQueue.OnDevice, CudaQueue.OnStream.");
        }

        int deviceHandle;
        driver.Check(driver.CtxGetDevice(&deviceHandle), "cuCtxGetDevice");
        return new CudaContext(driver, handle, deviceHandle, DeviceOf(driver, deviceHandle), isRetained: false);
    }

    /// <summary>Makes the context current until the scope ends, and then what was current before.</summary>
    public ContextScope Enter()
    {
        nint current;
        _driver.Check(_driver.CtxGetCurrent(&current), "cuCtxGetCurrent");
        if (current == Handle)
        {
            return default;
        }

        _driver.Check(_driver.CtxPushCurrent(Handle), "cuCtxPushCurrent_v2");
        return new ContextScope(_driver);
    }

    /// <summary>
    /// Enters to clean up; false if the context is gone and took everything in it along. That much is only found out where CUDA notices:
    /// no call is defined on a destroyed context, cuCtxGetId neither (UCX pull request 10852), hence the rule that contexts outlive queues.
    /// </summary>
    public bool TryEnter(out ContextScope scope)
    {
        scope = default;
        try
        {
            scope = Enter();
        }
        catch (CudaException)
        {
            return false;
        }

        // A context was entered, but perhaps another one that has got the handle of this one.
        if (Id is { } id && IdOf(_driver, Handle) is { } now && now != id)
        {
            scope.Dispose();
            scope = default;
            return false;
        }

        return true;
    }

    /// <summary>Gives back what was retained. A failure has no consequence that a caller could do anything about.</summary>
    public void Release()
    {
        if (_isRetained)
        {
            _driver.DevicePrimaryCtxRelease(_deviceHandle);
        }
    }

    private static CudaDevice DeviceOf(CudaDriver driver, int deviceHandle)
    {
        int count;
        driver.Check(driver.DeviceGetCount(&count), "cuDeviceGetCount");
        for (var index = 0; index < count; index++)
        {
            int candidate;
            driver.Check(driver.DeviceGet(&candidate, index), "cuDeviceGet");
            if (candidate == deviceHandle)
            {
                return CudaDevices.Supported(driver, index);
            }
        }

        throw new CudaException(CudaErrorKind.NoDevice, $"The current context is on device {deviceHandle}, which the driver does not list.");
    }

    private static ulong? IdOf(CudaDriver driver, nint handle)
    {
        ulong id;
        return driver.CtxGetId != null && driver.CtxGetId(handle, &id) == CudaResult.Success ? id : null;
    }
}
