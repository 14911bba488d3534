// cvt: every pair of types, every rounding.
using System.Numerics;

namespace EquiNorm.PtxMachine;

internal enum Rounding
{
    Nearest,
    Zero,
    Down,
    Up,
}

internal interface IRounding
{
    static abstract Rounding Mode { get; }
}

internal readonly struct Nearest : IRounding
{
    public static Rounding Mode => Rounding.Nearest;
}

internal readonly struct TowardZero : IRounding
{
    public static Rounding Mode => Rounding.Zero;
}

internal readonly struct Downward : IRounding
{
    public static Rounding Mode => Rounding.Down;
}

internal readonly struct Upward : IRounding
{
    public static Rounding Mode => Rounding.Up;
}

internal readonly struct IntegerToInteger<TTo, TFrom> : IUnary
    where TTo : unmanaged, IBinaryInteger<TTo>
    where TFrom : unmanaged, IBinaryInteger<TFrom>
{
    public static ulong Do(ulong a) => Bits.Extend(TTo.CreateTruncating(Bits.To<TFrom>(a)));
}

internal readonly struct IntegerToIntegerSaturated<TTo, TFrom> : IUnary
    where TTo : unmanaged, IBinaryInteger<TTo>
    where TFrom : unmanaged, IBinaryInteger<TFrom>
{
    public static ulong Do(ulong a) => Bits.Extend(TTo.CreateSaturating(Bits.To<TFrom>(a)));
}

/// <summary>Out of range becomes the nearest integer, NaN becomes 0.</summary>
internal readonly struct FloatToInteger<TTo, TFrom, TRounding> : IUnary
    where TTo : unmanaged, IBinaryInteger<TTo>
    where TFrom : unmanaged, IFloatingPointIeee754<TFrom>
    where TRounding : struct, IRounding
{
    public static ulong Do(ulong a)
    {
        var rounded = ToIntegral<TFrom, TRounding>.Round(Bits.To<TFrom>(a));
        return TFrom.IsNaN(rounded) ? 0 : Bits.Extend(TTo.CreateSaturating(rounded));
    }
}

/// <summary>cvt.rni.f32.f32 and so on: to an integer that stays a float.</summary>
internal readonly struct ToIntegral<T, TRounding> : IUnary
    where T : unmanaged, IFloatingPointIeee754<T>
    where TRounding : struct, IRounding
{
    public static T Round(T x) => TRounding.Mode switch
    {
        Rounding.Nearest => T.Round(x, MidpointRounding.ToEven),
        Rounding.Zero => T.Truncate(x),
        Rounding.Down => T.Floor(x),
        _ => T.Ceiling(x),
    };

    public static ulong Do(ulong a) => Bits.Of(Round(Bits.To<T>(a)));
}

internal readonly struct FloatToFloat<TTo, TFrom, TRounding> : IUnary
    where TTo : unmanaged, IFloatingPointIeee754<TTo>
    where TFrom : unmanaged, IFloatingPointIeee754<TFrom>
    where TRounding : struct, IRounding
{
    public static ulong Do(ulong a)
    {
        var x = Bits.To<TFrom>(a);
        var nearest = TTo.CreateTruncating(x);
        if (TRounding.Mode == Rounding.Nearest || TTo.IsNaN(nearest))
        {
            return Bits.Of(nearest);
        }

        // Compared in double, which holds every float and half.
        double exact = double.CreateTruncating(x), given = double.CreateTruncating(nearest);
        var up = TRounding.Mode == Rounding.Up || (TRounding.Mode == Rounding.Zero && exact < 0);
        return Bits.Of(up
            ? given < exact ? TTo.BitIncrement(nearest) : nearest
            : given > exact ? TTo.BitDecrement(nearest) : nearest);
    }
}

internal readonly struct IntegerToFloat<TTo, TFrom, TRounding> : IUnary
    where TTo : unmanaged, IFloatingPointIeee754<TTo>
    where TFrom : unmanaged, IBinaryInteger<TFrom>
    where TRounding : struct, IRounding
{
    public static ulong Do(ulong a)
    {
        var x = Bits.To<TFrom>(a);
        TTo nearest;
        if (typeof(TFrom) == typeof(ulong) && a > long.MaxValue)
        {
            // Halved, the lowest bit kept: it decides between two neighbours and is beyond the last digit otherwise.
            nearest = TTo.CreateTruncating((long)(a >> 1 | (a & 1))) * TTo.CreateTruncating(2);
        }
        else
        {
            nearest = TTo.CreateTruncating(long.CreateTruncating(x));
        }

        if (TRounding.Mode == Rounding.Nearest)
        {
            return Bits.Of(nearest);
        }

        var exact = Int128.CreateTruncating(x);
        var up = TRounding.Mode == Rounding.Up || (TRounding.Mode == Rounding.Zero && exact < 0);
        var order = TTo.IsInfinity(nearest) ? TTo.Sign(nearest) : Int128.CreateTruncating(nearest).CompareTo(exact);
        return Bits.Of(up
            ? order < 0 ? TTo.BitIncrement(nearest) : nearest
            : order > 0 ? TTo.BitDecrement(nearest) : nearest);
    }
}

/// <summary>bf16 is the upper half of an f32.</summary>
internal readonly struct FloatToBrain : IUnary
{
    public static ulong Do(ulong a)
    {
        var bits = (uint)a;
        if (float.IsNaN(BitConverter.UInt32BitsToSingle(bits)))
        {
            return 0x7fff;
        }

        return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    }
}

internal readonly struct BrainToFloat : IUnary
{
    public static ulong Do(ulong a) => (uint)a << 16;
}

/// <summary>cvt.rn.bf16x2.f32 d, a, b: a goes to the upper half.</summary>
internal readonly struct FloatsToBrains : IBinary
{
    public static ulong Do(ulong a, ulong b) => FloatToBrain.Do(a) << 16 | FloatToBrain.Do(b);
}

internal readonly struct FloatsToHalves : IBinary
{
    public static ulong Do(ulong a, ulong b) =>
        Bits.Of((Half)Bits.To<float>(a)) << 16 | Bits.Of((Half)Bits.To<float>(b));
}

/// <summary>f16x2: the operation on both halves.</summary>
internal readonly struct Halves2<TOp> : IBinary
    where TOp : struct, IBinary
{
    public static ulong Do(ulong a, ulong b) => TOp.Do(a & 0xffff, b & 0xffff) | TOp.Do(a >> 16 & 0xffff, b >> 16 & 0xffff) << 16;
}

internal readonly struct Halves3<TOp> : ITernary
    where TOp : struct, ITernary
{
    public static ulong Do(ulong a, ulong b, ulong c) =>
        TOp.Do(a & 0xffff, b & 0xffff, c & 0xffff) | TOp.Do(a >> 16 & 0xffff, b >> 16 & 0xffff, c >> 16 & 0xffff) << 16;
}

/// <summary>cvt.ftz from f32 to another type.</summary>
internal readonly struct FlushInput<TOp> : IUnary
    where TOp : struct, IUnary
{
    public static ulong Do(ulong a) => TOp.Do(Flush.Of(a));
}

/// <summary>cvt.ftz from another type to f32.</summary>
internal readonly struct FlushResult<TOp> : IUnary
    where TOp : struct, IUnary
{
    public static ulong Do(ulong a) => Flush.Of(TOp.Do(a));
}
