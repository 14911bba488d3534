// The element types as struct type arguments: how a vector of float64 is read from and rounded into memory.
// Narrow formats are rounded ONCE, in float64: with c = 1.5 * 2^(52 + exponent of the last kept bit), (x + c) - c is x
// rounded to nearest even at that bit, because c's own ulp is that bit. The result is representable, the store is exact.

using System.Runtime.CompilerServices;

namespace EquiNorm.Backends.Cpu;

internal unsafe interface IElement
{
    static abstract int Bytes { get; }

    /// <summary>The smallest magnitude that rounds to infinity.</summary>
    static abstract double OverflowsFrom { get; }

    /// <summary>The largest magnitude that rounds to zero.</summary>
    static abstract double VanishesUpTo { get; }

    static abstract TVector Load<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged;

    static abstract void Store<TLanes, TVector>(byte* destination, TVector value)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged;
}

internal readonly unsafe struct Float32Element : IElement
{
    public static int Bytes => 4;

    public static double OverflowsFrom => (2 - (1.0 / (1 << 24))) * 170141183460469231731687303715884105728.0;

    public static double VanishesUpTo => 7.006492321624085e-46;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged => TLanes.LoadFloat32(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<TLanes, TVector>(byte* destination, TVector value)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged => TLanes.StoreFloat32(destination, value);
}

internal readonly unsafe struct Float64Element : IElement
{
    public static int Bytes => 8;

    public static double OverflowsFrom => double.PositiveInfinity;

    public static double VanishesUpTo => 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged => TLanes.LoadFloat64(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<TLanes, TVector>(byte* destination, TVector value)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged => TLanes.StoreFloat64(destination, value);
}

internal readonly unsafe struct Float16Element : IElement
{
    public static int Bytes => 2;

    public static double OverflowsFrom => 65520;

    public static double VanishesUpTo => 1.0 / (1 << 25);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged => TLanes.LoadFloat16(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<TLanes, TVector>(byte* destination, TVector value)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.StoreFloat16(destination, Rounding.ToNearestEven<TLanes, TVector>(value, 11, -14, 65536));
}

internal readonly unsafe struct BFloat16Element : IElement
{
    public static int Bytes => 2;

    public static double OverflowsFrom => 511.0 / 256 * 170141183460469231731687303715884105728.0;

    public static double VanishesUpTo => 4.591774807899561e-41;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged => TLanes.LoadBFloat16(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<TLanes, TVector>(byte* destination, TVector value)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.StoreBFloat16(
            destination, Rounding.ToNearestEven<TLanes, TVector>(value, 8, -126, 340282366920938463463374607431768211456.0));
}

internal static class Rounding
{
    /// <summary>
    /// Rounds to a binary format of <paramref name="significandBits"/> bits and smallest normal exponent
    /// <paramref name="smallestExponent"/>; magnitudes from <paramref name="limit"/> on, infinities and NaN pass unchanged.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector ToNearestEven<TLanes, TVector>(
        TVector value, int significandBits, int smallestExponent, double limit)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        // The bits of infinity are the exponent mask: value & infinity = 2^exponent (0 if subnormal).
        TVector power = TLanes.And(value, TLanes.Create(double.PositiveInfinity));
        power = TLanes.Max(power, TLanes.Create(Math.ScaleB(1, smallestExponent)));
        TVector shifter = TLanes.Multiply(power, TLanes.Create(1.5 * (1L << (53 - significandBits))));
        TVector rounded = TLanes.Subtract(TLanes.Add(value, shifter), shifter);

        // The difference of equal numbers is +0: give a zero its sign back.
        rounded = TLanes.Or(rounded, TLanes.And(value, TLanes.Create(-0.0)));
        return TLanes.Select(TLanes.LessThan(TLanes.Abs(value), TLanes.Create(limit)), rounded, value);
    }
}
