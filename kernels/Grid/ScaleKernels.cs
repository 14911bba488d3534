using ILGPU.Backends.EntryPoints;

namespace EquiNorm.Gpu.Kernels;

/// <summary>Scaling for each storage type. See <see cref="ScaleArguments{TScalar, TQuad}"/>.</summary>
public static class ScaleKernels
{
    /// <summary>float32.</summary>
    [KernelName("ScaleFloat32")]
    public static void Float32(ScaleArguments<float, Float4> a) => ScaleTiles<Float32, float, Float4>.Run(a);

    /// <summary>float64.</summary>
    [KernelName("ScaleFloat64")]
    public static void Float64(ScaleArguments<double, Double4> a) => ScaleTiles<Float64, double, Double4>.Run(a);

    /// <summary>float16.</summary>
    [KernelName("ScaleFloat16")]
    public static void Float16(ScaleArguments<ushort, Packed4> a) => ScaleTiles<Float16, ushort, Packed4>.Run(a);

    /// <summary>bfloat16.</summary>
    [KernelName("ScaleBFloat16")]
    public static void BFloat16(ScaleArguments<ushort, Packed4> a) => ScaleTiles<BFloat16, ushort, Packed4>.Run(a);
}
