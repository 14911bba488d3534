using EquiNorm.Gpu;
using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Cli.Backends;

/// <summary>The GPUs that the tool sees. Tests put others in their place.</summary>
/// <param name="List">Lists them; never fails.</param>
/// <param name="Open">A queue on the device of a number.</param>
internal sealed record Gpus(Func<CudaDeviceList> List, Func<int, IDeviceQueue> Open)
{
    /// <summary>Those of this machine.</summary>
    public static Gpus Installed { get; } = new(CudaDevices.List, CudaQueue.OnDevice);
}
