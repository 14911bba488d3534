// 128 bits: 2 float64 lanes. ILanes says what each operation means.

using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace EquiNorm.Backends.Cpu;

internal readonly unsafe struct Lanes128 : ILanes<Vector128<double>>
{
    public static int Count => 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> Create(double value) => Vector128.Create(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> LoadFloat64(byte* source) => Vector128.Load((double*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreFloat64(byte* destination, Vector128<double> value) => value.Store((double*)destination);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> Add(Vector128<double> left, Vector128<double> right) => left + right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> Subtract(Vector128<double> left, Vector128<double> right) => left - right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> Multiply(Vector128<double> left, Vector128<double> right) => left * right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> MultiplyAdd(Vector128<double> left, Vector128<double> right, Vector128<double> addend) =>
        Vector128.MultiplyAddEstimate(left, right, addend);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> Max(Vector128<double> left, Vector128<double> right) => Vector128.MaxNative(left, right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> MaxMagnitude(Vector128<double> left, Vector128<double> right) =>
        Vector128.MaxNative(Vector128.Abs(left), Vector128.Abs(right));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> MinMagnitude(Vector128<double> left, Vector128<double> right) =>
        Vector128.MinNative(Vector128.Abs(left), Vector128.Abs(right));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> Abs(Vector128<double> value) => Vector128.Abs(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> Sqrt(Vector128<double> value) => Vector128.Sqrt(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> Exp(Vector128<double> value) => Vector128.Exp(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> Log(Vector128<double> value) => Vector128.Log(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> And(Vector128<double> left, Vector128<double> right) => left & right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> Or(Vector128<double> left, Vector128<double> right) => left | right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> LessThan(Vector128<double> left, Vector128<double> right) => Vector128.LessThan(left, right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> LessOrEqual(Vector128<double> left, Vector128<double> right) =>
        Vector128.LessThanOrEqual(left, right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> NotEqual(Vector128<double> left, Vector128<double> right) => ~Vector128.Equals(left, right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> Select(Vector128<double> mask, Vector128<double> whenTrue, Vector128<double> whenFalse) =>
        Vector128.ConditionalSelect(mask, whenTrue, whenFalse);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool AnyTrue(Vector128<double> mask) => mask.AsInt64() != Vector128<long>.Zero;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool AnyLessOrEqual(Vector128<double> left, Vector128<double> right) => Vector128.LessThanOrEqualAny(left, right);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int CountTrue(Vector128<double> mask) => BitOperations.PopCount(mask.ExtractMostSignificantBits());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> ShiftLeft52(Vector128<double> value) => (value.AsUInt64() << 52).AsDouble();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> ShiftRight52(Vector128<double> value) => (value.AsUInt64() >>> 52).AsDouble();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Sum(Vector128<double> value) => Vector128.Sum(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> LoadFloat32(byte* source) =>
        Vector128.WidenLower(Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<ulong>(source)).AsSingle());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> LoadFloat16(byte* source) => Vector128.WidenLower(NarrowFloats.FromFloat16(Load16(source)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> LoadBFloat16(byte* source) => Vector128.WidenLower(NarrowFloats.FromBFloat16(Load16(source)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreFloat32(byte* destination, Vector128<double> value) =>
        Unsafe.WriteUnaligned(destination, Vector128.Narrow(value, value).AsUInt64().ToScalar());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreFloat16(byte* destination, Vector128<double> value) =>
        Store16(destination, NarrowFloats.ToFloat16(Vector128.Narrow(value, value)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreBFloat16(byte* destination, Vector128<double> value) =>
        Store16(destination, NarrowFloats.ToBFloat16(Vector128.Narrow(value, value)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double MaxLane(Vector128<double> value) => Math.Max(value[0], value[1]);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<double> SumEach(Vector128<double>* rows) =>
        Vector128.Create(Vector128.Sum(rows[0]), Vector128.Sum(rows[1]));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<uint> Load16(byte* source) =>
        Vector128.WidenLower(Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<uint>(source)).AsUInt16());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store16(byte* destination, Vector128<uint> value) =>
        Unsafe.WriteUnaligned(destination, Vector128.Narrow(value, value).AsUInt32().ToScalar());
}
