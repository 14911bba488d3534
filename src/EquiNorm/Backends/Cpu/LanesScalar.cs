// One float64 lane: the tails of vector loops, strided layouts, and machines without vectors.

using System.Runtime.CompilerServices;

namespace EquiNorm.Backends.Cpu;

internal readonly unsafe struct LanesScalar : ILanes<double>
{
    public static int Count => 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Create(double value) => value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double LoadFloat64(byte* source) => Unsafe.ReadUnaligned<double>(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double LoadFloat32(byte* source) => Unsafe.ReadUnaligned<float>(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double LoadFloat16(byte* source) => NarrowFloats.FromFloat16(Unsafe.ReadUnaligned<ushort>(source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double LoadBFloat16(byte* source) => NarrowFloats.FromBFloat16(Unsafe.ReadUnaligned<ushort>(source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreFloat64(byte* destination, double value) => Unsafe.WriteUnaligned(destination, value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreFloat32(byte* destination, double value) => Unsafe.WriteUnaligned(destination, (float)value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreFloat16(byte* destination, double value) =>
        Unsafe.WriteUnaligned(destination, NarrowFloats.ToFloat16((float)value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreBFloat16(byte* destination, double value) =>
        Unsafe.WriteUnaligned(destination, NarrowFloats.ToBFloat16((float)value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Add(double left, double right) => left + right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Subtract(double left, double right) => left - right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Multiply(double left, double right) => left * right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double MultiplyAdd(double left, double right, double addend) => double.MultiplyAddEstimate(left, right, addend);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Max(double left, double right) => left > right ? left : right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double MaxMagnitude(double left, double right) => Max(Math.Abs(left), Math.Abs(right));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double MinMagnitude(double left, double right) =>
        Math.Abs(left) < Math.Abs(right) ? Math.Abs(left) : Math.Abs(right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Abs(double value) => Math.Abs(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Sqrt(double value) => Math.Sqrt(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Exp(double value) => Math.Exp(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Log(double value) => Math.Log(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double And(double left, double right) => FromBits(Bits(left) & Bits(right));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Or(double left, double right) => FromBits(Bits(left) | Bits(right));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double LessThan(double left, double right) => Mask(left < right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double LessOrEqual(double left, double right) => Mask(left <= right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double NotEqual(double left, double right) => Mask(left != right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Select(double mask, double whenTrue, double whenFalse) => Bits(mask) != 0 ? whenTrue : whenFalse;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool AnyTrue(double mask) => Bits(mask) != 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool AnyLessOrEqual(double left, double right) => left <= right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int CountTrue(double mask) => Bits(mask) != 0 ? 1 : 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double ShiftLeft52(double value) => FromBits(Bits(value) << 52);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double ShiftRight52(double value) => FromBits(Bits(value) >> 52);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Sum(double value) => value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double MaxLane(double value) => value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double SumEach(double* rows) => rows[0];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Bits(double value) => BitConverter.DoubleToUInt64Bits(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static double FromBits(ulong bits) => BitConverter.UInt64BitsToDouble(bits);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static double Mask(bool condition) => FromBits(condition ? ulong.MaxValue : 0);
}
