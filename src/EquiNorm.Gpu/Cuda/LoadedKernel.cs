namespace EquiNorm.Gpu.Cuda;

/// <summary>A kernel in a context.</summary>
/// <param name="Kernel">Which.</param>
/// <param name="Module">The module it was loaded as.</param>
/// <param name="Function">What is launched.</param>
/// <param name="MaxGroupSize">Most threads in a group; registers may allow fewer than the device does.</param>
internal sealed record LoadedKernel(KernelId Kernel, nint Module, nint Function, int MaxGroupSize);
