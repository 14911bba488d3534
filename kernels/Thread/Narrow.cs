using ILGPU;
using Half = ILGPU.Half;

namespace EquiNorm.Gpu.Kernels;

/// <summary>
/// Rounds float64 to 16 bits once: a detour over float32 would round twice. The value is first rounded to a multiple of the target's
/// unit in the last place by adding and subtracting a large number; the conversions behind that are exact.
/// </summary>
public static class Narrow
{
    // Beyond this every value is infinite in both types, and the large number still finite.
    private const int LargestExponent = 130;

    /// <summary>The bits of the nearest binary16.</summary>
    public static ushort ToFloat16(double value) => Interop.FloatAsInt((Half)(float)Round(value, -14, 10));

    /// <summary>The bits of the nearest bfloat16.</summary>
    public static ushort ToBFloat16(double value) => (ushort)(Interop.FloatAsInt((float)Round(value, -126, 7)) >> 16);

    private static double Round(double value, int smallestExponent, int fractionBits)
    {
        int exponent = (int)(Interop.FloatAsInt(value) >> 52) & 0x7ff;
        int e = exponent - 1023;
        e = e < smallestExponent ? smallestExponent : e;
        e = e > LargestExponent ? LargestExponent : e;
        double large = 1.5 * Transcendental.PowerOfTwo(e - fractionBits + 52);
        double rounded = (value + large) - large;

        // A result of zero keeps the sign of what was rounded.
        ulong sign = Interop.FloatAsInt(value) & 0x8000000000000000UL;
        return Interop.IntAsFloat((Interop.FloatAsInt(rounded) & 0x7fffffffffffffffUL) | sign);
    }
}
