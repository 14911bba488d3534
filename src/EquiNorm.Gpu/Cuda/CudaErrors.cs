using System.Runtime.InteropServices;

namespace EquiNorm.Gpu.Cuda;

/// <summary>From what the driver returns to a <see cref="CudaException"/>: which kind, in whose words, and what to do.</summary>
internal static unsafe class CudaErrors
{
    /// <summary>Throws unless a call succeeded.</summary>
    public static void Check(this CudaDriver driver, CudaResult result, string call)
    {
        if (result != CudaResult.Success)
        {
            throw Of(driver, result, call);
        }
    }

    /// <summary>The exception for a failed call.</summary>
    public static CudaException Of(CudaDriver driver, CudaResult result, string call)
    {
        var kind = Kind(result);
        return Of(driver, result, call, kind, Advice(kind, result));
    }

    /// <summary>The exception for a failed call of which more is known than its result.</summary>
    public static CudaException Of(CudaDriver driver, CudaResult result, string call, CudaErrorKind kind, string advice)
    {
        var name = Name(driver, result);
        var words = Words(driver, result);
        return new CudaException(kind, call, result, name, $"{call} failed with {name}{(words is null ? "" : $" ({words})")}. {advice}".TrimEnd());
    }

    /// <summary>A full device.</summary>
    public static CudaException DeviceFull(CudaDriver driver, CudaResult result, string call, long asked)
    {
        nuint free, total;
        var room = driver.MemGetInfo(&free, &total) == CudaResult.Success
            ? $"{Bytes((long)free)} of {Bytes((long)total)} are free, perhaps not in one piece"
            : "how much is free could not be asked";
        return Of(
            driver,
            result,
            call,
            CudaErrorKind.OutOfMemory,
            $"{Bytes(asked)} of device memory were asked for; {room}. Free what other queues, frameworks (PyTorch: torch.cuda.empty_cache()) and "
            + "processes hold, or take a larger device.");
    }

    /// <summary>No page-locked host memory.</summary>
    public static CudaException HostFull(CudaDriver driver, CudaResult result, string call, long asked) => Of(
        driver,
        result,
        call,
        CudaErrorKind.OutOfMemory,
        $"{Bytes(asked)} of page-locked host memory for copies were asked for. Free host memory, or raise the limit of the process or container.");

    /// <summary>A library without functions that are needed.</summary>
    public static CudaException Lacks(CudaDriver driver, IReadOnlyList<string> missing) => new(
        CudaErrorKind.DriverTooOld,
        $"{driver.Library} has no {string.Join(", ", missing)}. {PtxVersion.Needed}");

    private static CudaErrorKind Kind(CudaResult result) => result switch
    {
        CudaResult.OutOfMemory => CudaErrorKind.OutOfMemory,
        CudaResult.StubLibrary or CudaResult.SystemNotReady or CudaResult.SystemDriverMismatch or CudaResult.CompatNotSupportedOnDevice
            => CudaErrorKind.NoDriver,
        CudaResult.CallRequiresNewerDriver or CudaResult.UnsupportedPtxVersion => CudaErrorKind.DriverTooOld,
        CudaResult.DeviceUnavailable or CudaResult.NoDevice or CudaResult.InvalidDevice => CudaErrorKind.NoDevice,
        CudaResult.NoBinaryForGpu => CudaErrorKind.UnsupportedDevice,
        CudaResult.InvalidImage or CudaResult.InvalidPtx or CudaResult.JitCompilerNotFound or CudaResult.JitCompilationDisabled
            => CudaErrorKind.InvalidPtx,
        CudaResult.InvalidHandle => CudaErrorKind.WrongContext,
        CudaResult.LaunchOutOfResources => CudaErrorKind.LaunchTooLarge,
        >= CudaResult.StreamCaptureUnsupported and <= CudaResult.StreamCaptureWrongThread => CudaErrorKind.Capture,
        CudaResult.NotInitialized or CudaResult.Deinitialized or CudaResult.InvalidContext or CudaResult.ContextIsDestroyed
            => CudaErrorKind.LostContext,
        _ => IsSticky(result) ? CudaErrorKind.LostContext : CudaErrorKind.Other,
    };

    // The errors of which cuda.h says that they leave the process in an inconsistent state and any further CUDA work returns the same error.
    private static bool IsSticky(CudaResult result) => result is CudaResult.IllegalAddress or CudaResult.LaunchTimeout or CudaResult.Assert
        or CudaResult.HardwareStackError or CudaResult.IllegalInstruction or CudaResult.MisalignedAddress or CudaResult.InvalidAddressSpace
        or CudaResult.InvalidPc or CudaResult.LaunchFailed or CudaResult.TensorMemoryLeak or CudaResult.EccUncorrectable
        or CudaResult.NvlinkUncorrectable or CudaResult.Contained;

    private static string Advice(CudaErrorKind kind, CudaResult result) => kind switch
    {
        CudaErrorKind.OutOfMemory => "Memory is full, on the device or on the host. Free what other queues, frameworks and processes hold.",
        CudaErrorKind.NoDriver => result == CudaResult.StubLibrary
            ? "This is the toolkit's stub, not a driver: take its folder out of the library path."
            : "The driver is installed but does not work: nvidia-smi says more. After an update of the driver, restart the machine.",
        CudaErrorKind.DriverTooOld => PtxVersion.Needed,
        CudaErrorKind.NoDevice => "nvidia-smi lists the devices; CUDA_VISIBLE_DEVICES may hide some, and a device in exclusive mode serves one process.",
        CudaErrorKind.UnsupportedDevice => "The kernels need compute capability 8.0 (Ampere) or newer.",
        CudaErrorKind.InvalidPtx => result switch
        {
            CudaResult.JitCompilerNotFound => "The driver's compiler (libnvidia-ptxjitcompiler.so.1) is not installed beside the driver.",
            CudaResult.JitCompilationDisabled => "Compiling PTX is switched off: take CUDA_DISABLE_PTX_JIT and CUDA_DISABLE_JIT out of the environment.",
            _ => "The driver does not take this kernel.",
        },
        CudaErrorKind.LostContext => IsSticky(result)
            ? "A kernel before this call went wrong (not necessarily one of this queue), and the context is unusable from here on: each further call "
                + "in it fails and what lies in its memory is lost. Dispose of the queue and start a new process; compute-sanitizer names the kernel."
            : "The context is gone: it was destroyed or reset, or the process is ending. Dispose of the queue and make a new one.",
        CudaErrorKind.Capture => "A stream is being captured, and CUDA does not capture this. Do it before or after the capture.",
        CudaErrorKind.WrongContext => "A handle does not belong to the context or was destroyed. A stream must live, in the context of its queue, "
            + "as long as the queue.",
        CudaErrorKind.LaunchTooLarge => "A multiprocessor has not enough registers or shared memory for a group of this size: make groups smaller.",
        _ => "",
    };

    private static string Name(CudaDriver driver, CudaResult result)
    {
        byte* text = null;
        return driver.GetErrorName != null && driver.GetErrorName(result, &text) == CudaResult.Success && text != null
            ? Marshal.PtrToStringUTF8((nint)text)!
            : $"CUresult {(int)result}";
    }

    private static string? Words(CudaDriver driver, CudaResult result)
    {
        byte* text = null;
        return driver.GetErrorString != null && driver.GetErrorString(result, &text) == CudaResult.Success && text != null
            ? Marshal.PtrToStringUTF8((nint)text)
            : null;
    }

    private static string Bytes(long bytes) => bytes < 1 << 20 ? $"{bytes:N0} bytes" : $"{bytes / 1048576.0:N1} MiB";
}
