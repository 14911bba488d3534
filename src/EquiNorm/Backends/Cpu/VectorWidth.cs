// How many bits the kernels work on at a time: the widest the machine has, unless EQUINORM_VECTOR_BITS says otherwise
// (512, 256, 128, or 0 for scalar code). The sums depend on the width in their last bits (another order of additions);
// for one width they are the same on every run.

using System.Runtime.Intrinsics;

namespace EquiNorm.Backends.Cpu;

/// <summary>The vector width of a kernel call, in bits.</summary>
internal enum VectorWidth
{
    Scalar = 0,
    Bits128 = 128,
    Bits256 = 256,
    Bits512 = 512,
}

internal static class VectorWidths
{
    public const string EnvironmentVariable = "EQUINORM_VECTOR_BITS";

    /// <summary>The width the backend uses, chosen once per process.</summary>
    public static VectorWidth Default { get; } = Parse(Environment.GetEnvironmentVariable(EnvironmentVariable));

    /// <summary>Widths this machine runs in hardware, widest first; scalar is always last.</summary>
    public static IReadOnlyList<VectorWidth> Available { get; } =
        [.. new[] { VectorWidth.Bits512, VectorWidth.Bits256, VectorWidth.Bits128, VectorWidth.Scalar }.Where(IsAvailable)];

    // NEON has no 256 bits, but two of its registers side by side keep more loads in flight than one.
    public static bool IsAvailable(VectorWidth width) => width switch
    {
        VectorWidth.Bits512 => Vector512.IsHardwareAccelerated,
        VectorWidth.Bits256 => Vector256.IsHardwareAccelerated
            || System.Runtime.Intrinsics.Arm.AdvSimd.Arm64.IsSupported,
        VectorWidth.Bits128 => Vector128.IsHardwareAccelerated,
        VectorWidth.Scalar => true,
        _ => false,
    };

    public static VectorWidth Parse(string? bits)
    {
        if (string.IsNullOrWhiteSpace(bits))
        {
            return Widest();
        }

        if (int.TryParse(bits, out int value) && Enum.IsDefined((VectorWidth)value))
        {
            return IsAvailable((VectorWidth)value)
                ? (VectorWidth)value
                : throw new PlatformNotSupportedException($"{EnvironmentVariable}={bits}: this machine has no {bits}-bit vectors.");
        }

        throw new ArgumentException($"{EnvironmentVariable}={bits}: expected 512, 256, 128 or 0.");
    }

    private static VectorWidth Widest() =>
        IsAvailable(VectorWidth.Bits512) ? VectorWidth.Bits512
        : IsAvailable(VectorWidth.Bits256) ? VectorWidth.Bits256
        : IsAvailable(VectorWidth.Bits128) ? VectorWidth.Bits128
        : VectorWidth.Scalar;
}
