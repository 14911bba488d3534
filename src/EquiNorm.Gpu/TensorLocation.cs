namespace EquiNorm.Gpu;

/// <summary>Where the tensors are whose addresses are bound.</summary>
public enum TensorLocation
{
    /// <summary>In host memory: they are copied to the device and back.</summary>
    Host,

    /// <summary>In device memory that kernels can reach: they are read and written where they are.</summary>
    Device,
}
