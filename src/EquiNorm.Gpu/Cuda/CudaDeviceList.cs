namespace EquiNorm.Gpu.Cuda;

/// <summary>The devices that the driver sees.</summary>
/// <param name="Devices">In the order of their numbers.</param>
/// <param name="DriverVersion">The CUDA version that the driver supports; null without a driver.</param>
/// <param name="WhyEmpty">Why there is none; null if there is one.</param>
public sealed record CudaDeviceList(IReadOnlyList<CudaDevice> Devices, Version? DriverVersion, string? WhyEmpty);
