using ILGPU.Backends.EntryPoints;

namespace EquiNorm.Gpu.Kernels;

/// <summary>The fused pass for each storage type and power. See <see cref="SumArguments{TScalar, TQuad}"/>.</summary>
public static class SumKernels
{
    /// <summary>|w| of float32.</summary>
    [KernelName("SumAbsoluteFloat32")]
    public static void AbsoluteFloat32(SumArguments<float, Float4> a) => SumTiles<Float32, float, Float4, Absolute>.Run(a);

    /// <summary>w^2 of float32.</summary>
    [KernelName("SumSquareFloat32")]
    public static void SquareFloat32(SumArguments<float, Float4> a) => SumTiles<Float32, float, Float4, Square>.Run(a);

    /// <summary>|w|^p of float32.</summary>
    [KernelName("SumPowerFloat32")]
    public static void PowerFloat32(SumArguments<float, Float4> a) => SumTiles<Float32, float, Float4, Power>.Run(a);

    /// <summary>|w| of float64, and stored energies as they are.</summary>
    [KernelName("SumAbsoluteFloat64")]
    public static void AbsoluteFloat64(SumArguments<double, Double4> a) => SumTiles<Float64, double, Double4, ScaledAbsolute>.Run(a);

    /// <summary>w^2 of float64.</summary>
    [KernelName("SumSquareFloat64")]
    public static void SquareFloat64(SumArguments<double, Double4> a) => SumTiles<Float64, double, Double4, ScaledSquare>.Run(a);

    /// <summary>|w|^p of float64.</summary>
    [KernelName("SumPowerFloat64")]
    public static void PowerFloat64(SumArguments<double, Double4> a) => SumTiles<Float64, double, Double4, Power>.Run(a);

    /// <summary>|w| of float16.</summary>
    [KernelName("SumAbsoluteFloat16")]
    public static void AbsoluteFloat16(SumArguments<ushort, Packed4> a) => SumTiles<Float16, ushort, Packed4, Absolute>.Run(a);

    /// <summary>w^2 of float16.</summary>
    [KernelName("SumSquareFloat16")]
    public static void SquareFloat16(SumArguments<ushort, Packed4> a) => SumTiles<Float16, ushort, Packed4, Square>.Run(a);

    /// <summary>|w|^p of float16.</summary>
    [KernelName("SumPowerFloat16")]
    public static void PowerFloat16(SumArguments<ushort, Packed4> a) => SumTiles<Float16, ushort, Packed4, Power>.Run(a);

    /// <summary>|w| of bfloat16.</summary>
    [KernelName("SumAbsoluteBFloat16")]
    public static void AbsoluteBFloat16(SumArguments<ushort, Packed4> a) => SumTiles<BFloat16, ushort, Packed4, Absolute>.Run(a);

    /// <summary>w^2 of bfloat16.</summary>
    [KernelName("SumSquareBFloat16")]
    public static void SquareBFloat16(SumArguments<ushort, Packed4> a) => SumTiles<BFloat16, ushort, Packed4, Square>.Run(a);

    /// <summary>|w|^p of bfloat16.</summary>
    [KernelName("SumPowerBFloat16")]
    public static void PowerBFloat16(SumArguments<ushort, Packed4> a) => SumTiles<BFloat16, ushort, Packed4, Power>.Run(a);

    /// <summary>The largest |w| of float32.</summary>
    [KernelName("SumLargestFloat32")]
    public static void LargestFloat32(SumArguments<float, Float4> a) => SumTiles<Float32, float, Float4, LargestMagnitude>.Run(a);

    /// <summary>The largest |w| of float64, and of stored energies.</summary>
    [KernelName("SumLargestFloat64")]
    public static void LargestFloat64(SumArguments<double, Double4> a) => SumTiles<Float64, double, Double4, LargestMagnitude>.Run(a);

    /// <summary>The largest |w| of float16.</summary>
    [KernelName("SumLargestFloat16")]
    public static void LargestFloat16(SumArguments<ushort, Packed4> a) => SumTiles<Float16, ushort, Packed4, LargestMagnitude>.Run(a);

    /// <summary>The largest |w| of bfloat16.</summary>
    [KernelName("SumLargestBFloat16")]
    public static void LargestBFloat16(SumArguments<ushort, Packed4> a) => SumTiles<BFloat16, ushort, Packed4, LargestMagnitude>.Run(a);
}
