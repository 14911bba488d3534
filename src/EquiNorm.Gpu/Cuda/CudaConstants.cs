namespace EquiNorm.Gpu.Cuda;

// The values of cuda.h that calls take or give. Each was read in cuda.h 12.6 and compared with cudarc's bindings (CUDA 11.7 to 12.8) and
// managedCuda's (12.8); an enumeration of C is an int in the ABI of every platform with a driver.

/// <summary>CUdevice_attribute.</summary>
internal enum DeviceAttribute
{
    MultiprocessorCount = 16,
    ComputeCapabilityMajor = 75,
    ComputeCapabilityMinor = 76,
}

/// <summary>CUpointer_attribute.</summary>
internal enum PointerAttribute
{
    Context = 1,
    MemoryType = 2,
    IsManaged = 8,
    DeviceOrdinal = 9,
}

/// <summary>CUmemorytype.</summary>
internal enum MemoryType
{
    Host = 1,
    Device = 2,
}

/// <summary>CUfunction_attribute.</summary>
internal enum FunctionAttribute
{
    MaxThreadsPerBlock = 0,
}

/// <summary>CUjit_option; the log's size goes into the option's value itself, cast to a pointer.</summary>
internal enum JitOption
{
    ErrorLogBuffer = 5,
    ErrorLogBufferSizeBytes = 6,
}

/// <summary>CUstreamCaptureStatus.</summary>
internal enum CaptureStatus
{
    None = 0,
    Active = 1,
    Invalidated = 2,
}

/// <summary>CUstreamCaptureMode.</summary>
internal enum CaptureMode
{
    Global = 0,
    ThreadLocal = 1,
    Relaxed = 2,
}

/// <summary>Flags and special handles.</summary>
internal static class CudaConstants
{
    /// <summary>CU_STREAM_NON_BLOCKING: does not synchronise with the legacy default stream.</summary>
    public const uint StreamNonBlocking = 1;

    /// <summary>CU_STREAM_LEGACY; the null stream means the same to entries without _ptsz.</summary>
    public const nint StreamLegacy = 1;

    /// <summary>CU_STREAM_PER_THREAD.</summary>
    public const nint StreamPerThread = 2;

    /// <summary>CU_EVENT_DEFAULT: takes the time.</summary>
    public const uint EventDefault = 0;

    /// <summary>CU_EVENT_DISABLE_TIMING.</summary>
    public const uint EventDisableTiming = 2;

    /// <summary>CU_LAUNCH_PARAM_END.</summary>
    public const nint LaunchParamEnd = 0;

    /// <summary>CU_LAUNCH_PARAM_BUFFER_POINTER; the next entry is the block's address.</summary>
    public const nint LaunchParamBufferPointer = 1;

    /// <summary>CU_LAUNCH_PARAM_BUFFER_SIZE; the next entry is the address of a size_t.</summary>
    public const nint LaunchParamBufferSize = 2;
}
