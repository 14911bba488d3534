// binary16 and bfloat16 to and from binary32, on 32-bit lanes whose low 16 bits hold the narrow format.
// Widening is exact. Narrowing here is exact as well: the value was rounded to the narrow precision in float64 before
// (Elements.cs), because float64 -> float32 -> 16 bits would round twice. Subnormals of binary16 go through an addition
// to a normal number: as subnormal operands of a multiplication they would cost a microcode assist each.

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace EquiNorm.Backends.Cpu;

internal static class NarrowFloats
{
    private const uint Float32Magnitude = 0x7FFF_FFFF;
    private const uint RebiasedExponent = (127 - 15) << 23;
    private const uint SmallestNormalFloat16 = (127 - 14) << 23;
    private const uint TwoToThe16 = (127 + 16) << 23;
    private const uint Float32Infinity = 0x7F80_0000;
    private const uint OneHalf = 0x3F00_0000;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> FromFloat16(Vector256<uint> bits)
    {
        Vector256<uint> magnitude = (bits & Vector256.Create(0x7FFFu)) << 13;
        Vector256<uint> sign = (bits & Vector256.Create(0x8000u)) << 16;
        Vector256<uint> normal = magnitude + Vector256.Create(RebiasedExponent);
        Vector256<uint> subnormal = ((magnitude + Vector256.Create(SmallestNormalFloat16)).AsSingle()
            - Vector256.Create(SmallestNormalFloat16).AsSingle()).AsUInt32();

        // An exponent of 31 was rebiased once; a second time makes it 255.
        Vector256<uint> special = Vector256.GreaterThanOrEqual(normal, Vector256.Create(TwoToThe16))
            & Vector256.Create(RebiasedExponent);
        Vector256<uint> isSubnormal = Vector256.LessThan(magnitude, Vector256.Create(0x400u << 13));
        return (Vector256.ConditionalSelect(isSubnormal, subnormal, normal + special) | sign).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> FromFloat16(Vector128<uint> bits) =>
        FromFloat16(bits.ToVector256Unsafe()).GetLower();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float FromFloat16(ushort bits)
    {
        uint magnitude = (bits & 0x7FFFu) << 13;
        uint normal = magnitude + RebiasedExponent;
        normal += normal >= TwoToThe16 ? RebiasedExponent : 0;
        float value = magnitude < (0x400u << 13)
            ? BitConverter.UInt32BitsToSingle(magnitude + SmallestNormalFloat16)
                - BitConverter.UInt32BitsToSingle(SmallestNormalFloat16)
            : BitConverter.UInt32BitsToSingle(normal);
        return BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(value) | ((bits & 0x8000u) << 16));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> ToFloat16(Vector256<float> value)
    {
        Vector256<uint> bits = value.AsUInt32();
        Vector256<uint> magnitude = bits & Vector256.Create(Float32Magnitude);
        Vector256<uint> sign = (bits >>> 16) & Vector256.Create(0x8000u);
        Vector256<uint> normal = (magnitude - Vector256.Create(RebiasedExponent)) >>> 13;

        // One half has an ulp of 2^-24, the smallest subnormal: the sum's low bits are the subnormal itself.
        Vector256<uint> subnormal = (magnitude.AsSingle() + Vector256.Create(0.5f)).AsUInt32() - Vector256.Create(OneHalf);
        Vector256<uint> infinite = Vector256.ConditionalSelect(
            Vector256.GreaterThan(magnitude, Vector256.Create(Float32Infinity)),
            Vector256.Create(0x7E00u), Vector256.Create(0x7C00u));
        Vector256<uint> result = Vector256.ConditionalSelect(
            Vector256.LessThan(magnitude, Vector256.Create(SmallestNormalFloat16)), subnormal, normal);
        result = Vector256.ConditionalSelect(
            Vector256.GreaterThanOrEqual(magnitude, Vector256.Create(TwoToThe16)), infinite, result);
        return result | sign;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> ToFloat16(Vector128<float> value) => ToFloat16(value.ToVector256Unsafe()).GetLower();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ushort ToFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        uint magnitude = bits & Float32Magnitude;
        uint result = magnitude switch
        {
            > Float32Infinity => 0x7E00,
            >= TwoToThe16 => 0x7C00,
            < SmallestNormalFloat16 =>
                BitConverter.SingleToUInt32Bits(BitConverter.UInt32BitsToSingle(magnitude) + 0.5f) - OneHalf,
            _ => (magnitude - RebiasedExponent) >> 13,
        };
        return (ushort)(result | ((bits >> 16) & 0x8000u));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> FromBFloat16(Vector256<uint> bits) => (bits << 16).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> FromBFloat16(Vector128<uint> bits) => (bits << 16).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float FromBFloat16(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    // A NaN that came out of a float64 -> float32 conversion is quiet: its top fraction bit survives the cut.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> ToBFloat16(Vector256<float> value) => value.AsUInt32() >>> 16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<uint> ToBFloat16(Vector128<float> value) => value.AsUInt32() >>> 16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ushort ToBFloat16(float value) => (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16);
}
