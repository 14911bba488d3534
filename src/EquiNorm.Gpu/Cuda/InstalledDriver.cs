using System.Runtime.InteropServices;

namespace EquiNorm.Gpu.Cuda;

/// <summary>This machine's driver library, loaded once; it is never unloaded, as CUDA does not survive that.</summary>
internal static class InstalledDriver
{
    private static readonly Lazy<CudaDriver?> Driver = new(Load);

    // Not libcuda.so: that name is also the toolkit's stub, which loads and does nothing.
    private static string Library => OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1";

    /// <summary>The driver, or null.</summary>
    public static CudaDriver? TryGet() => Driver.Value;

    /// <summary>Why there is none.</summary>
    public static string WhyNone => $"no CUDA driver: {Library} was not found";

    /// <exception cref="CudaException">There is none.</exception>
    public static CudaDriver Get() => TryGet() ?? throw new CudaException(
        CudaErrorKind.NoDriver,
        $"There is {WhyNone}. It comes with NVIDIA's display driver (in a container: with the NVIDIA container toolkit).");

    private static CudaDriver? Load() => NativeLibrary.TryLoad(Library, out var handle)
        ? new CudaDriver(Library, name => NativeLibrary.TryGetExport(handle, name, out var address) ? address : 0)
        : null;
}
