namespace EquiNorm.Gpu.Cuda;

/// <summary>What a <see cref="CudaException"/> is about, as far as callers act differently.</summary>
public enum CudaErrorKind
{
    /// <summary>None of the others; the message has CUDA's own words.</summary>
    Other,

    /// <summary>No driver is installed, or it does not work.</summary>
    NoDriver,

    /// <summary>There is no such device, or it cannot be had.</summary>
    NoDevice,

    /// <summary>The device is older than the kernels (compute capability 8.0).</summary>
    UnsupportedDevice,

    /// <summary>The driver is older than the kernels' version of PTX.</summary>
    DriverTooOld,

    /// <summary>Memory is full, on the device or page-locked on the host.</summary>
    OutOfMemory,

    /// <summary>The driver's compiler does not take a kernel.</summary>
    InvalidPtx,

    /// <summary>The context is gone, or a kernel in it went wrong: nothing works in it any more.</summary>
    LostContext,

    /// <summary>A stream is being captured, and what was asked for cannot be captured.</summary>
    Capture,

    /// <summary>A stream or an address belongs to another context or device, or none is current.</summary>
    WrongContext,

    /// <summary>The device cannot run a group of that size of that kernel.</summary>
    LaunchTooLarge,
}
