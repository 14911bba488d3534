namespace EquiNorm.Gpu.Cuda;

/// <summary>
/// CUDA's driver API as a table of functions. The names are those that cuda.h's macros give a program compiled today (_v2 where it says so)
/// without per-thread default streams (_ptds, _ptsz): a null stream is the legacy one, as frameworks mean it. CUDAAPI is the platform's own
/// calling convention on every 64-bit platform. A driver keeps old entries, so a newer one has them all.
/// </summary>
internal sealed unsafe class CudaDriver
{
    public readonly delegate* unmanaged<uint, CudaResult> Init;
    public readonly delegate* unmanaged<int*, CudaResult> DriverGetVersion;
    public readonly delegate* unmanaged<CudaResult, byte**, CudaResult> GetErrorName;
    public readonly delegate* unmanaged<CudaResult, byte**, CudaResult> GetErrorString;

    public readonly delegate* unmanaged<int*, CudaResult> DeviceGetCount;
    public readonly delegate* unmanaged<int*, int, CudaResult> DeviceGet;
    public readonly delegate* unmanaged<byte*, int, int, CudaResult> DeviceGetName;
    public readonly delegate* unmanaged<nuint*, int, CudaResult> DeviceTotalMem;
    public readonly delegate* unmanaged<int*, DeviceAttribute, int, CudaResult> DeviceGetAttribute;

    public readonly delegate* unmanaged<nint*, int, CudaResult> DevicePrimaryCtxRetain;
    public readonly delegate* unmanaged<int, CudaResult> DevicePrimaryCtxRelease;
    public readonly delegate* unmanaged<nint*, CudaResult> CtxGetCurrent;
    public readonly delegate* unmanaged<nint, CudaResult> CtxPushCurrent;
    public readonly delegate* unmanaged<nint*, CudaResult> CtxPopCurrent;
    public readonly delegate* unmanaged<int*, CudaResult> CtxGetDevice;

    /// <summary>Since CUDA 12.0; null in older drivers.</summary>
    public readonly delegate* unmanaged<nint, ulong*, CudaResult> CtxGetId;

    public readonly delegate* unmanaged<nint*, uint, CudaResult> StreamCreate;
    public readonly delegate* unmanaged<nint, CudaResult> StreamDestroy;
    public readonly delegate* unmanaged<nint, CudaResult> StreamSynchronize;

    /// <summary>Only for a better message; null if absent.</summary>
    public readonly delegate* unmanaged<nint, nint*, CudaResult> StreamGetCtx;

    public readonly delegate* unmanaged<nint, CaptureStatus*, CudaResult> StreamIsCapturing;
    public readonly delegate* unmanaged<nint, CaptureMode, CudaResult> StreamBeginCapture;
    public readonly delegate* unmanaged<nint, nint*, CudaResult> StreamEndCapture;
    public readonly delegate* unmanaged<nint*, nint, ulong, CudaResult> GraphInstantiate;
    public readonly delegate* unmanaged<nint, nint, CudaResult> GraphLaunch;
    public readonly delegate* unmanaged<nint, CudaResult> GraphExecDestroy;
    public readonly delegate* unmanaged<nint, CudaResult> GraphDestroy;

    public readonly delegate* unmanaged<nint*, uint, CudaResult> EventCreate;
    public readonly delegate* unmanaged<nint, nint, CudaResult> EventRecord;
    public readonly delegate* unmanaged<nint, nint, uint, CudaResult> StreamWaitEvent;
    public readonly delegate* unmanaged<nint, CudaResult> EventQuery;
    public readonly delegate* unmanaged<nint, CudaResult> EventSynchronize;
    public readonly delegate* unmanaged<float*, nint, nint, CudaResult> EventElapsedTime;
    public readonly delegate* unmanaged<nint, CudaResult> EventDestroy;

    public readonly delegate* unmanaged<ulong*, nuint, CudaResult> MemAlloc;
    public readonly delegate* unmanaged<ulong, CudaResult> MemFree;
    public readonly delegate* unmanaged<void**, nuint, CudaResult> MemAllocHost;
    public readonly delegate* unmanaged<void*, CudaResult> MemFreeHost;
    public readonly delegate* unmanaged<ulong, void*, nuint, nint, CudaResult> MemcpyHtoDAsync;
    public readonly delegate* unmanaged<void*, ulong, nuint, nint, CudaResult> MemcpyDtoHAsync;
    public readonly delegate* unmanaged<ulong, ulong, nuint, nint, CudaResult> MemcpyDtoDAsync;
    public readonly delegate* unmanaged<ulong, byte, nuint, nint, CudaResult> MemsetD8Async;
    public readonly delegate* unmanaged<nuint*, nuint*, CudaResult> MemGetInfo;
    public readonly delegate* unmanaged<void*, PointerAttribute, ulong, CudaResult> PointerGetAttribute;

    public readonly delegate* unmanaged<nint*, byte*, uint, JitOption*, void**, CudaResult> ModuleLoadDataEx;
    public readonly delegate* unmanaged<nint, CudaResult> ModuleUnload;
    public readonly delegate* unmanaged<nint*, nint, byte*, CudaResult> ModuleGetFunction;
    public readonly delegate* unmanaged<int*, FunctionAttribute, nint, CudaResult> FuncGetAttribute;

    /// <summary>Since CUDA 12.4, for lazy loading; null in older drivers.</summary>
    public readonly delegate* unmanaged<nint, CudaResult> FuncLoad;

    public readonly delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, CudaResult> LaunchKernel;

    /// <summary>Fills the table.</summary>
    /// <param name="library">What the library is called, for messages.</param>
    /// <param name="find">The address of an entry, zero if there is none.</param>
    public CudaDriver(string library, Func<string, nint> find)
    {
        Library = library;
        var missing = new List<string>();
        Init = (delegate* unmanaged<uint, CudaResult>)Entry("cuInit");
        DriverGetVersion = (delegate* unmanaged<int*, CudaResult>)Entry("cuDriverGetVersion");
        GetErrorName = (delegate* unmanaged<CudaResult, byte**, CudaResult>)find("cuGetErrorName");
        GetErrorString = (delegate* unmanaged<CudaResult, byte**, CudaResult>)find("cuGetErrorString");

        DeviceGetCount = (delegate* unmanaged<int*, CudaResult>)Entry("cuDeviceGetCount");
        DeviceGet = (delegate* unmanaged<int*, int, CudaResult>)Entry("cuDeviceGet");
        DeviceGetName = (delegate* unmanaged<byte*, int, int, CudaResult>)Entry("cuDeviceGetName");
        DeviceTotalMem = (delegate* unmanaged<nuint*, int, CudaResult>)Entry("cuDeviceTotalMem_v2");
        DeviceGetAttribute = (delegate* unmanaged<int*, DeviceAttribute, int, CudaResult>)Entry("cuDeviceGetAttribute");
        ListMissing = [.. missing];

        DevicePrimaryCtxRetain = (delegate* unmanaged<nint*, int, CudaResult>)Entry("cuDevicePrimaryCtxRetain");
        DevicePrimaryCtxRelease = (delegate* unmanaged<int, CudaResult>)Entry("cuDevicePrimaryCtxRelease_v2");
        CtxGetCurrent = (delegate* unmanaged<nint*, CudaResult>)Entry("cuCtxGetCurrent");
        CtxPushCurrent = (delegate* unmanaged<nint, CudaResult>)Entry("cuCtxPushCurrent_v2");
        CtxPopCurrent = (delegate* unmanaged<nint*, CudaResult>)Entry("cuCtxPopCurrent_v2");
        CtxGetDevice = (delegate* unmanaged<int*, CudaResult>)Entry("cuCtxGetDevice");
        CtxGetId = (delegate* unmanaged<nint, ulong*, CudaResult>)find("cuCtxGetId");

        StreamCreate = (delegate* unmanaged<nint*, uint, CudaResult>)Entry("cuStreamCreate");
        StreamDestroy = (delegate* unmanaged<nint, CudaResult>)Entry("cuStreamDestroy_v2");
        StreamSynchronize = (delegate* unmanaged<nint, CudaResult>)Entry("cuStreamSynchronize");
        StreamGetCtx = (delegate* unmanaged<nint, nint*, CudaResult>)find("cuStreamGetCtx");
        StreamIsCapturing = (delegate* unmanaged<nint, CaptureStatus*, CudaResult>)Entry("cuStreamIsCapturing");
        StreamBeginCapture = (delegate* unmanaged<nint, CaptureMode, CudaResult>)Entry("cuStreamBeginCapture_v2");
        StreamEndCapture = (delegate* unmanaged<nint, nint*, CudaResult>)Entry("cuStreamEndCapture");
        GraphInstantiate = (delegate* unmanaged<nint*, nint, ulong, CudaResult>)Entry("cuGraphInstantiateWithFlags");
        GraphLaunch = (delegate* unmanaged<nint, nint, CudaResult>)Entry("cuGraphLaunch");
        GraphExecDestroy = (delegate* unmanaged<nint, CudaResult>)Entry("cuGraphExecDestroy");
        GraphDestroy = (delegate* unmanaged<nint, CudaResult>)Entry("cuGraphDestroy");

        EventCreate = (delegate* unmanaged<nint*, uint, CudaResult>)Entry("cuEventCreate");
        EventRecord = (delegate* unmanaged<nint, nint, CudaResult>)Entry("cuEventRecord");
        StreamWaitEvent = (delegate* unmanaged<nint, nint, uint, CudaResult>)Entry("cuStreamWaitEvent");
        EventQuery = (delegate* unmanaged<nint, CudaResult>)Entry("cuEventQuery");
        EventSynchronize = (delegate* unmanaged<nint, CudaResult>)Entry("cuEventSynchronize");
        EventElapsedTime = (delegate* unmanaged<float*, nint, nint, CudaResult>)Entry("cuEventElapsedTime");
        EventDestroy = (delegate* unmanaged<nint, CudaResult>)Entry("cuEventDestroy_v2");

        MemAlloc = (delegate* unmanaged<ulong*, nuint, CudaResult>)Entry("cuMemAlloc_v2");
        MemFree = (delegate* unmanaged<ulong, CudaResult>)Entry("cuMemFree_v2");
        MemAllocHost = (delegate* unmanaged<void**, nuint, CudaResult>)Entry("cuMemAllocHost_v2");
        MemFreeHost = (delegate* unmanaged<void*, CudaResult>)Entry("cuMemFreeHost");
        MemcpyHtoDAsync = (delegate* unmanaged<ulong, void*, nuint, nint, CudaResult>)Entry("cuMemcpyHtoDAsync_v2");
        MemcpyDtoHAsync = (delegate* unmanaged<void*, ulong, nuint, nint, CudaResult>)Entry("cuMemcpyDtoHAsync_v2");
        MemcpyDtoDAsync = (delegate* unmanaged<ulong, ulong, nuint, nint, CudaResult>)Entry("cuMemcpyDtoDAsync_v2");
        MemsetD8Async = (delegate* unmanaged<ulong, byte, nuint, nint, CudaResult>)Entry("cuMemsetD8Async");
        MemGetInfo = (delegate* unmanaged<nuint*, nuint*, CudaResult>)Entry("cuMemGetInfo_v2");
        PointerGetAttribute = (delegate* unmanaged<void*, PointerAttribute, ulong, CudaResult>)Entry("cuPointerGetAttribute");

        ModuleLoadDataEx = (delegate* unmanaged<nint*, byte*, uint, JitOption*, void**, CudaResult>)Entry("cuModuleLoadDataEx");
        ModuleUnload = (delegate* unmanaged<nint, CudaResult>)Entry("cuModuleUnload");
        ModuleGetFunction = (delegate* unmanaged<nint*, nint, byte*, CudaResult>)Entry("cuModuleGetFunction");
        FuncGetAttribute = (delegate* unmanaged<int*, FunctionAttribute, nint, CudaResult>)Entry("cuFuncGetAttribute");
        FuncLoad = (delegate* unmanaged<nint, CudaResult>)find("cuFuncLoad");
        LaunchKernel = (delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, CudaResult>)
            Entry("cuLaunchKernel");
        Missing = [.. missing];
        return;

        nint Entry(string name)
        {
            var address = find(name);
            if (address == 0)
            {
                missing.Add(name);
            }

            return address;
        }
    }

    /// <summary>What the library is called.</summary>
    public string Library { get; }

    /// <summary>Entries that listing devices needs and the library lacks.</summary>
    public IReadOnlyList<string> ListMissing { get; }

    /// <summary>Entries that a queue needs and the library lacks: only drivers too old for the kernels lack any.</summary>
    public IReadOnlyList<string> Missing { get; }

    /// <summary>The kernels that are loaded, in the contexts of this driver.</summary>
    public ModuleCache Modules { get; } = new();

    /// <summary>Makes the driver ready; cheap when it is.</summary>
    /// <exception cref="CudaException">There is no usable driver.</exception>
    public void Initialize(IReadOnlyList<string> missing)
    {
        if (missing.Count > 0)
        {
            throw CudaErrors.Lacks(this, missing);
        }

        this.Check(Init(0), "cuInit");
    }

    /// <summary>The CUDA version that the driver supports.</summary>
    public Version Version()
    {
        int version;
        this.Check(DriverGetVersion(&version), "cuDriverGetVersion");

        // 1000 * major + 10 * minor, says cuda.h.
        return new Version(version / 1000, version % 1000 / 10);
    }
}
