namespace EquiNorm.Gpu.Cuda;

/// <summary>Whether kernels in a context reach an address; the context must be current.</summary>
internal static unsafe class PointerCheck
{
    private const string Call = "cuPointerGetAttribute";

    /// <exception cref="CudaException">They do not.</exception>
    public static void Require(CudaDriver driver, CudaContext context, ulong address)
    {
        var result = TryRead(driver, PointerAttribute.MemoryType, address, out var type);
        if (result == CudaResult.InvalidValue)
        {
            throw CudaErrors.Of(
                driver,
                result,
                Call,
                CudaErrorKind.WrongContext,
                $"CUDA does not know address 0x{address:x}: it is ordinary host memory, was freed, or never was an address. Copy it to the device first.");
        }

        driver.Check(result, Call);

        // Page-locked and managed memory is reached from every device and context, at the same address.
        if ((MemoryType)type != MemoryType.Device || Read(driver, PointerAttribute.IsManaged, address) != 0)
        {
            return;
        }

        var device = (int)Read(driver, PointerAttribute.DeviceOrdinal, address);
        if (device != context.Device.Index)
        {
            throw new CudaException(
                CudaErrorKind.WrongContext,
                $"Address 0x{address:x} is memory of device {device}; this queue runs on device {context.Device.Index}.");
        }

        // Memory from pools and from mapped ranges (PyTorch's expandable segments) belongs to the device and has no context.
        var owner = (nint)Read(driver, PointerAttribute.Context, address);
        if (owner != 0 && owner != context.Handle)
        {
            throw new CudaException(
                CudaErrorKind.WrongContext,
                $"Address 0x{address:x} is memory of another context on device {device}. Make the queue in that context (CudaQueue.InCurrentContext).");
        }
    }

    private static ulong Read(CudaDriver driver, PointerAttribute attribute, ulong address)
    {
        var result = TryRead(driver, attribute, address, out var value);
        if (attribute == PointerAttribute.Context && result == CudaResult.InvalidValue)
        {
            return 0;
        }

        driver.Check(result, Call);
        return value;
    }

    // The attributes are an int, a boolean of a size that cuda.h leaves open, or a handle: all are little endian and fit a zeroed number.
    private static CudaResult TryRead(CudaDriver driver, PointerAttribute attribute, ulong address, out ulong value)
    {
        ulong read = 0;
        var result = driver.PointerGetAttribute(&read, attribute, address);
        value = read;
        return result;
    }
}
