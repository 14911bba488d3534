namespace EquiNorm.Gpu.Cuda;

/// <summary>A kernel in a context.</summary>
/// <param name="Kernel">Which.</param>
/// <param name="Module">The module it was loaded as.</param>
/// <param name="Function">What is launched.</param>
/// <param name="MaxGroupSize">Most threads in a group; registers may allow fewer than the device does.</param>
/// <param name="ParameterBytes">Bytes of the parameter block, without padding at its end.</param>
/// <param name="PaddedBytes">Bytes of a struct that is laid out like the block.</param>
internal sealed record LoadedKernel(
    KernelId Kernel, nint Module, nint Function, int MaxGroupSize, int ParameterBytes, int PaddedBytes);
