using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Gpu.Tests.Cuda;

// What the library exports, under the names that a real one has.
internal sealed unsafe partial class FakeCuda
{
    private static nint Find(string name) => name switch
    {
        "cuInit" => (nint)(delegate* unmanaged<uint, CudaResult>)&Init,
        "cuDriverGetVersion" => (nint)(delegate* unmanaged<int*, CudaResult>)&DriverGetVersion,
        "cuGetErrorName" => (nint)(delegate* unmanaged<CudaResult, byte**, CudaResult>)&GetErrorName,
        "cuDeviceGetCount" => (nint)(delegate* unmanaged<int*, CudaResult>)&DeviceGetCount,
        "cuDeviceGet" => (nint)(delegate* unmanaged<int*, int, CudaResult>)&DeviceGet,
        "cuDeviceGetName" => (nint)(delegate* unmanaged<byte*, int, int, CudaResult>)&DeviceGetName,
        "cuDeviceTotalMem_v2" => (nint)(delegate* unmanaged<nuint*, int, CudaResult>)&DeviceTotalMem,
        "cuDeviceGetAttribute" => (nint)(delegate* unmanaged<int*, DeviceAttribute, int, CudaResult>)&DeviceGetAttribute,
        "cuDevicePrimaryCtxRetain" => (nint)(delegate* unmanaged<nint*, int, CudaResult>)&DevicePrimaryCtxRetain,
        "cuDevicePrimaryCtxRelease_v2" => (nint)(delegate* unmanaged<int, CudaResult>)&DevicePrimaryCtxRelease,
        "cuCtxGetCurrent" => (nint)(delegate* unmanaged<nint*, CudaResult>)&CtxGetCurrent,
        "cuCtxPushCurrent_v2" => (nint)(delegate* unmanaged<nint, CudaResult>)&CtxPushCurrent,
        "cuCtxPopCurrent_v2" => (nint)(delegate* unmanaged<nint*, CudaResult>)&CtxPopCurrent,
        "cuCtxGetDevice" => (nint)(delegate* unmanaged<int*, CudaResult>)&CtxGetDevice,
        "cuCtxGetId" => (nint)(delegate* unmanaged<nint, ulong*, CudaResult>)&CtxGetId,
        "cuStreamCreate" => (nint)(delegate* unmanaged<nint*, uint, CudaResult>)&StreamCreate,
        "cuStreamDestroy_v2" => (nint)(delegate* unmanaged<nint, CudaResult>)&StreamDestroy,
        "cuStreamSynchronize" => (nint)(delegate* unmanaged<nint, CudaResult>)&StreamSynchronize,
        "cuStreamGetCtx" => (nint)(delegate* unmanaged<nint, nint*, CudaResult>)&StreamGetCtx,
        "cuStreamIsCapturing" => (nint)(delegate* unmanaged<nint, CaptureStatus*, CudaResult>)&StreamIsCapturing,
        "cuStreamBeginCapture_v2" => (nint)(delegate* unmanaged<nint, CaptureMode, CudaResult>)&StreamBeginCapture,
        "cuStreamEndCapture" => (nint)(delegate* unmanaged<nint, nint*, CudaResult>)&StreamEndCapture,
        "cuGraphInstantiateWithFlags" => (nint)(delegate* unmanaged<nint*, nint, ulong, CudaResult>)&GraphInstantiate,
        "cuGraphLaunch" => (nint)(delegate* unmanaged<nint, nint, CudaResult>)&GraphLaunch,
        "cuGraphExecDestroy" => (nint)(delegate* unmanaged<nint, CudaResult>)&GraphExecDestroy,
        "cuGraphDestroy" => (nint)(delegate* unmanaged<nint, CudaResult>)&GraphDestroy,
        "cuEventCreate" => (nint)(delegate* unmanaged<nint*, uint, CudaResult>)&EventCreate,
        "cuEventRecord" => (nint)(delegate* unmanaged<nint, nint, CudaResult>)&EventRecord,
        "cuStreamWaitEvent" => (nint)(delegate* unmanaged<nint, nint, uint, CudaResult>)&StreamWaitEvent,
        "cuEventQuery" => (nint)(delegate* unmanaged<nint, CudaResult>)&EventQuery,
        "cuEventSynchronize" => (nint)(delegate* unmanaged<nint, CudaResult>)&EventSynchronize,
        "cuEventElapsedTime" => (nint)(delegate* unmanaged<float*, nint, nint, CudaResult>)&EventElapsedTime,
        "cuEventDestroy_v2" => (nint)(delegate* unmanaged<nint, CudaResult>)&EventDestroy,
        "cuMemAlloc_v2" => (nint)(delegate* unmanaged<ulong*, nuint, CudaResult>)&MemAlloc,
        "cuMemFree_v2" => (nint)(delegate* unmanaged<ulong, CudaResult>)&MemFree,
        "cuMemAllocHost_v2" => (nint)(delegate* unmanaged<void**, nuint, CudaResult>)&MemAllocHost,
        "cuMemFreeHost" => (nint)(delegate* unmanaged<void*, CudaResult>)&MemFreeHost,
        "cuMemcpyHtoDAsync_v2" => (nint)(delegate* unmanaged<ulong, void*, nuint, nint, CudaResult>)&MemcpyHtoDAsync,
        "cuMemcpyDtoHAsync_v2" => (nint)(delegate* unmanaged<void*, ulong, nuint, nint, CudaResult>)&MemcpyDtoHAsync,
        "cuMemcpyDtoDAsync_v2" => (nint)(delegate* unmanaged<ulong, ulong, nuint, nint, CudaResult>)&MemcpyDtoDAsync,
        "cuMemsetD8Async" => (nint)(delegate* unmanaged<ulong, byte, nuint, nint, CudaResult>)&MemsetD8Async,
        "cuMemGetInfo_v2" => (nint)(delegate* unmanaged<nuint*, nuint*, CudaResult>)&MemGetInfo,
        "cuPointerGetAttribute" => (nint)(delegate* unmanaged<void*, PointerAttribute, ulong, CudaResult>)&PointerGetAttribute,
        "cuModuleLoadDataEx" => (nint)(delegate* unmanaged<nint*, byte*, uint, JitOption*, void**, CudaResult>)&ModuleLoadDataEx,
        "cuModuleUnload" => (nint)(delegate* unmanaged<nint, CudaResult>)&ModuleUnload,
        "cuModuleGetFunction" => (nint)(delegate* unmanaged<nint*, nint, byte*, CudaResult>)&ModuleGetFunction,
        "cuFuncGetAttribute" => (nint)(delegate* unmanaged<int*, FunctionAttribute, nint, CudaResult>)&FuncGetAttribute,
        "cuFuncLoad" => (nint)(delegate* unmanaged<nint, CudaResult>)&FuncLoad,
        "cuLaunchKernel" => (nint)(delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, CudaResult>)&LaunchKernel,

        // cuGetErrorString is not there: one optional entry is always absent.
        _ => 0,
    };
}
