namespace EquiNorm.Gpu.Cuda;

/// <summary>A device that the driver sees.</summary>
/// <param name="Index">Its number in this process (CUDA_VISIBLE_DEVICES decides).</param>
/// <param name="Name">What NVIDIA calls it.</param>
/// <param name="TotalBytes">Its memory.</param>
/// <param name="ComputeCapability">Its generation, 9.0 for Hopper say.</param>
/// <param name="Multiprocessors">How many groups run at once, at least.</param>
/// <param name="WhyUnsupported">Why the kernels do not run on it; null if they do.</param>
public sealed record CudaDevice(
    int Index, string Name, long TotalBytes, Version ComputeCapability, int Multiprocessors, string? WhyUnsupported)
{
    /// <summary>Whether the kernels run on it.</summary>
    public bool IsSupported => WhyUnsupported is null;
}
