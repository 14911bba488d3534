// 512 bits: 8 float64 lanes. ILanes says what each operation means.

using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace EquiNorm.Backends.Cpu;

internal readonly unsafe struct Lanes512 : ILanes<Vector512<double>>
{
    // VRANGEPD: compare magnitudes (bit 1), take the larger one (bit 0), clear the sign (bits 3:2 = 10). One operation
    // instead of two where the ports for 512-bit arithmetic are what limits the loop.
    private const byte LargerMagnitude = 0b1011;
    private const byte SmallerMagnitude = 0b1010;

    public static int Count => 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> Create(double value) => Vector512.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> LoadFloat64(byte* source) => Vector512.Load((double*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreFloat64(byte* destination, Vector512<double> value) => value.Store((double*)destination);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> Add(Vector512<double> left, Vector512<double> right) => left + right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> Subtract(Vector512<double> left, Vector512<double> right) => left - right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> Multiply(Vector512<double> left, Vector512<double> right) => left * right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> MultiplyAdd(Vector512<double> left, Vector512<double> right, Vector512<double> addend) =>
        Vector512.MultiplyAddEstimate(left, right, addend);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> Max(Vector512<double> left, Vector512<double> right) => Vector512.MaxNative(left, right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> MaxMagnitude(Vector512<double> left, Vector512<double> right) =>
        Avx512DQ.IsSupported
            ? Avx512DQ.Range(left, right, LargerMagnitude)
            : Vector512.MaxNative(Vector512.Abs(left), Vector512.Abs(right));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> MinMagnitude(Vector512<double> left, Vector512<double> right) =>
        Avx512DQ.IsSupported
            ? Avx512DQ.Range(left, right, SmallerMagnitude)
            : Vector512.MinNative(Vector512.Abs(left), Vector512.Abs(right));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> Abs(Vector512<double> value) => Vector512.Abs(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> Sqrt(Vector512<double> value) => Vector512.Sqrt(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> Exp(Vector512<double> value) => Vector512.Exp(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> Log(Vector512<double> value) => Vector512.Log(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> And(Vector512<double> left, Vector512<double> right) => left & right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> Or(Vector512<double> left, Vector512<double> right) => left | right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> LessThan(Vector512<double> left, Vector512<double> right) => Vector512.LessThan(left, right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> LessOrEqual(Vector512<double> left, Vector512<double> right) =>
        Vector512.LessThanOrEqual(left, right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> NotEqual(Vector512<double> left, Vector512<double> right) => ~Vector512.Equals(left, right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> Select(Vector512<double> mask, Vector512<double> whenTrue, Vector512<double> whenFalse) =>
        Vector512.ConditionalSelect(mask, whenTrue, whenFalse);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool AnyTrue(Vector512<double> mask) => mask.AsInt64() != Vector512<long>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool AnyLessOrEqual(Vector512<double> left, Vector512<double> right) => Vector512.LessThanOrEqualAny(left, right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int CountTrue(Vector512<double> mask) => BitOperations.PopCount(mask.ExtractMostSignificantBits());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> ShiftLeft52(Vector512<double> value) => (value.AsUInt64() << 52).AsDouble();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> ShiftRight52(Vector512<double> value) => (value.AsUInt64() >>> 52).AsDouble();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Sum(Vector512<double> value) => Vector512.Sum(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> LoadFloat32(byte* source) => Widen(Vector256.Load((float*)source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> LoadFloat16(byte* source) => Widen(NarrowFloats.FromFloat16(Load16(source)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> LoadBFloat16(byte* source) => Widen(NarrowFloats.FromBFloat16(Load16(source)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreFloat32(byte* destination, Vector512<double> value) => Narrow(value).Store((float*)destination);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreFloat16(byte* destination, Vector512<double> value) =>
        Store16(destination, NarrowFloats.ToFloat16(Narrow(value)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreBFloat16(byte* destination, Vector512<double> value) =>
        Store16(destination, NarrowFloats.ToBFloat16(Narrow(value)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double MaxLane(Vector512<double> value) =>
        Lanes256.MaxLane(Vector256.MaxNative(value.GetLower(), value.GetUpper()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> SumEach(Vector512<double>* rows)
    {
        if (Avx512F.IsSupported)
        {
            return SumEach(rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7]);
        }

        // The rows are in memory, so their halves are added by 256-bit loads without a shuffle.
        var half = (Vector256<double>*)rows;
        return Vector512.Create(
            Lanes256.SumFour(half[0] + half[1], half[2] + half[3], half[4] + half[5], half[6] + half[7]),
            Lanes256.SumFour(half[8] + half[9], half[10] + half[11], half[12] + half[13], half[14] + half[15]));
    }

    /// <summary>Lane r of the result is the sum of the lanes of the r-th argument. AVX-512.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> SumEach(
        Vector512<double> a, Vector512<double> b, Vector512<double> c, Vector512<double> d,
        Vector512<double> e, Vector512<double> f, Vector512<double> g, Vector512<double> h)
    {
        // Neighbours, then 128-bit lanes, then halves: 14 shuffles and 7 additions, none of which crosses memory.
        return SumFourPairs(Pairs(a, b), Pairs(c, d), Pairs(e, f), Pairs(g, h));
    }

    /// <summary>Lane 2 r of the result is the sum of the even lanes of the r-th argument, lane 2 r + 1 that of its odd lanes. AVX-512.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<double> SumFourPairs(Vector512<double> ab, Vector512<double> cd, Vector512<double> ef, Vector512<double> gh) =>
        Lanes128Apart(Lanes128Apart(ab, cd), Lanes128Apart(ef, gh));

    // Sums of neighbouring elements, of a and b in turn.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<double> Pairs(Vector512<double> a, Vector512<double> b) => Avx512F.UnpackLow(a, b) + Avx512F.UnpackHigh(a, b);

    // Sums of neighbouring lanes of 128 bits, first those of a, then those of b.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<double> Lanes128Apart(Vector512<double> a, Vector512<double> b) =>
        Avx512F.Shuffle4x128(a, b, 0b10_00_10_00) + Avx512F.Shuffle4x128(a, b, 0b11_01_11_01);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<double> Widen(Vector256<float> value) =>
        Avx512F.IsSupported
            ? Avx512F.ConvertToVector512Double(value)
            : Vector512.Create(Vector256.WidenLower(value), Vector256.WidenUpper(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Narrow(Vector512<double> value) =>
        Avx512F.IsSupported
            ? Avx512F.ConvertToVector256Single(value)
            : Vector256.Narrow(value.GetLower(), value.GetUpper());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Load16(byte* source) =>
        Vector256.WidenLower(Vector128.Load((ushort*)source).ToVector256Unsafe());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store16(byte* destination, Vector256<uint> value) =>
        Vector128.Narrow(value.GetLower(), value.GetUpper()).Store((ushort*)destination);
}
