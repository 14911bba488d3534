// What the arithmetic instructions do to one lane. Each struct is a type argument of a loop in Lanes.cs.
using System.Numerics;
using System.Runtime.CompilerServices;

namespace EquiNorm.PtxMachine;

internal readonly struct Move<T> : IUnary
    where T : unmanaged
{
    public static ulong Do(ulong a) => Bits.Of(Bits.To<T>(a));
}

internal readonly struct Add<T> : IBinary
    where T : unmanaged, INumber<T>
{
    public static ulong Do(ulong a, ulong b) => Bits.Of(unchecked(Bits.To<T>(a) + Bits.To<T>(b)));
}

internal readonly struct Sub<T> : IBinary
    where T : unmanaged, INumber<T>
{
    public static ulong Do(ulong a, ulong b) => Bits.Of(unchecked(Bits.To<T>(a) - Bits.To<T>(b)));
}

internal readonly struct Mul<T> : IBinary
    where T : unmanaged, INumber<T>
{
    public static ulong Do(ulong a, ulong b) => Bits.Of(unchecked(Bits.To<T>(a) * Bits.To<T>(b)));
}

internal readonly struct MulHi<T> : IBinary
    where T : unmanaged, IBinaryInteger<T>
{
    public static ulong Do(ulong a, ulong b)
    {
        if (typeof(T) == typeof(ulong))
        {
            return Math.BigMul(a, b, out _);
        }

        if (typeof(T) == typeof(long))
        {
            return (ulong)Math.BigMul((long)a, (long)b, out _);
        }

        // Up to 32 bits the product fits into 64.
        var product = long.CreateTruncating(Bits.To<T>(a)) * long.CreateTruncating(Bits.To<T>(b));
        if (typeof(T) == typeof(uint))
        {
            product = (long)((ulong)product >> 32);
            return (uint)product;
        }

        return Bits.Of(T.CreateTruncating(product >> (Unsafe.SizeOf<T>() * 8)));
    }
}

/// <summary>The result has twice the width of the operands.</summary>
internal readonly struct MulWide<T> : IBinary
    where T : unmanaged, IBinaryInteger<T>
{
    public static ulong Do(ulong a, ulong b)
    {
        if (typeof(T) == typeof(uint))
        {
            return (ulong)(uint)a * (uint)b;
        }

        var product = long.CreateTruncating(Bits.To<T>(a)) * long.CreateTruncating(Bits.To<T>(b));
        return Unsafe.SizeOf<T>() == 2 ? (uint)product : (ulong)product;
    }
}

internal readonly struct MadLo<T> : ITernary
    where T : unmanaged, INumber<T>
{
    public static ulong Do(ulong a, ulong b, ulong c) => Bits.Of(unchecked(Bits.To<T>(a) * Bits.To<T>(b) + Bits.To<T>(c)));
}

internal readonly struct MadHi<T> : ITernary
    where T : unmanaged, IBinaryInteger<T>
{
    public static ulong Do(ulong a, ulong b, ulong c) => Bits.Of(unchecked(Bits.To<T>(MulHi<T>.Do(a, b)) + Bits.To<T>(c)));
}

internal readonly struct MadWide<T> : ITernary
    where T : unmanaged, IBinaryInteger<T>
{
    public static ulong Do(ulong a, ulong b, ulong c)
    {
        var sum = MulWide<T>.Do(a, b) + c;
        return Unsafe.SizeOf<T>() == 2 ? (uint)sum : sum;
    }
}

/// <summary>
/// By zero: PTX leaves the result open; what hardware gives is all ones. The smallest number by -1 wraps around.
/// </summary>
internal readonly struct DivInteger<T> : IBinary
    where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T>
{
    public static ulong Do(ulong a, ulong b)
    {
        T x = Bits.To<T>(a), y = Bits.To<T>(b);
        if (y == T.Zero)
        {
            return Bits.Of(~T.Zero);
        }

        return T.MinValue < T.Zero && y == ~T.Zero ? Bits.Of(unchecked(T.Zero - x)) : Bits.Of(x / y);
    }
}

/// <summary>By zero: the dividend.</summary>
internal readonly struct Rem<T> : IBinary
    where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T>
{
    public static ulong Do(ulong a, ulong b)
    {
        T x = Bits.To<T>(a), y = Bits.To<T>(b);
        if (y == T.Zero)
        {
            return Bits.Of(x);
        }

        return T.MinValue < T.Zero && y == ~T.Zero ? 0 : Bits.Of(x % y);
    }
}

internal readonly struct DivFloat<T> : IBinary
    where T : unmanaged, IFloatingPointIeee754<T>
{
    public static ulong Do(ulong a, ulong b) => Bits.Of(Bits.To<T>(a) / Bits.To<T>(b));
}

internal readonly struct Fma<T> : ITernary
    where T : unmanaged, IFloatingPointIeee754<T>
{
    public static ulong Do(ulong a, ulong b, ulong c)
    {
        if (typeof(T) == typeof(Half))
        {
            // The product is exact in double; the sum could only round twice where the operands are 2^30 apart.
            var wide = Math.FusedMultiplyAdd(
                (double)BitConverter.UInt16BitsToHalf((ushort)a),
                (double)BitConverter.UInt16BitsToHalf((ushort)b),
                (double)BitConverter.UInt16BitsToHalf((ushort)c));
            return BitConverter.HalfToUInt16Bits((Half)wide);
        }

        return Bits.Of(T.FusedMultiplyAdd(Bits.To<T>(a), Bits.To<T>(b), Bits.To<T>(c)));
    }
}

internal readonly struct MinInteger<T> : IBinary
    where T : unmanaged, IBinaryInteger<T>
{
    public static ulong Do(ulong a, ulong b) => Bits.Of(T.Min(Bits.To<T>(a), Bits.To<T>(b)));
}

internal readonly struct MaxInteger<T> : IBinary
    where T : unmanaged, IBinaryInteger<T>
{
    public static ulong Do(ulong a, ulong b) => Bits.Of(T.Max(Bits.To<T>(a), Bits.To<T>(b)));
}

/// <summary>A NaN gives way to a number; -0 is less than +0.</summary>
internal readonly struct MinFloat<T> : IBinary
    where T : unmanaged, IFloatingPointIeee754<T>
{
    public static ulong Do(ulong a, ulong b) => Bits.Of(T.MinNumber(Bits.To<T>(a), Bits.To<T>(b)));
}

internal readonly struct MaxFloat<T> : IBinary
    where T : unmanaged, IFloatingPointIeee754<T>
{
    public static ulong Do(ulong a, ulong b) => Bits.Of(T.MaxNumber(Bits.To<T>(a), Bits.To<T>(b)));
}

/// <summary>min.NaN: a NaN wins.</summary>
internal readonly struct MinNaN<T> : IBinary
    where T : unmanaged, IFloatingPointIeee754<T>
{
    public static ulong Do(ulong a, ulong b) => Bits.Of(T.Min(Bits.To<T>(a), Bits.To<T>(b)));
}

internal readonly struct MaxNaN<T> : IBinary
    where T : unmanaged, IFloatingPointIeee754<T>
{
    public static ulong Do(ulong a, ulong b) => Bits.Of(T.Max(Bits.To<T>(a), Bits.To<T>(b)));
}

internal readonly struct AbsInteger<T> : IUnary
    where T : unmanaged, IBinaryInteger<T>
{
    public static ulong Do(ulong a)
    {
        var x = Bits.To<T>(a);
        return Bits.Of(x < T.Zero ? unchecked(T.Zero - x) : x);
    }
}

internal readonly struct NegInteger<T> : IUnary
    where T : unmanaged, IBinaryInteger<T>
{
    public static ulong Do(ulong a) => Bits.Of(unchecked(T.Zero - Bits.To<T>(a)));
}

internal readonly struct AbsFloat<T> : IUnary
    where T : unmanaged
{
    public static ulong Do(ulong a) => Bits.Of(Bits.To<T>(a)) & ~(1UL << (Unsafe.SizeOf<T>() * 8 - 1));
}

internal readonly struct NegFloat<T> : IUnary
    where T : unmanaged
{
    public static ulong Do(ulong a) => Bits.Of(Bits.To<T>(a)) ^ (1UL << (Unsafe.SizeOf<T>() * 8 - 1));
}

/// <summary>copysign d, a, b: the sign of a with the magnitude of b.</summary>
internal readonly struct CopySign<T> : IBinary
    where T : unmanaged
{
    public static ulong Do(ulong a, ulong b)
    {
        var sign = 1UL << (Unsafe.SizeOf<T>() * 8 - 1);
        return (Bits.Of(Bits.To<T>(a)) & sign) | (Bits.Of(Bits.To<T>(b)) & ~sign);
    }
}

internal readonly struct Rcp<T> : IUnary
    where T : unmanaged, IFloatingPointIeee754<T>
{
    public static ulong Do(ulong a) => Bits.Of(T.One / Bits.To<T>(a));
}

internal readonly struct Sqrt<T> : IUnary
    where T : unmanaged, IFloatingPointIeee754<T>
{
    public static ulong Do(ulong a) => Bits.Of(T.Sqrt(Bits.To<T>(a)));
}

/// <summary>The approximate functions: computed in double, then rounded. Hardware is allowed to be less exact, not more.</summary>
internal readonly struct Rsqrt<T> : IUnary
    where T : unmanaged, IFloatingPointIeee754<T>
{
    public static ulong Do(ulong a) => Bits.Of(T.CreateTruncating(1 / Math.Sqrt(double.CreateTruncating(Bits.To<T>(a)))));
}

internal readonly struct Exp2 : IUnary
{
    public static ulong Do(ulong a) => Bits.Of((float)Math.Pow(2, Bits.To<float>(a)));
}

internal readonly struct Log2 : IUnary
{
    public static ulong Do(ulong a) => Bits.Of((float)Math.Log2(Bits.To<float>(a)));
}

internal readonly struct Sin : IUnary
{
    public static ulong Do(ulong a) => Bits.Of((float)Math.Sin(Bits.To<float>(a)));
}

internal readonly struct Cos : IUnary
{
    public static ulong Do(ulong a) => Bits.Of((float)Math.Cos(Bits.To<float>(a)));
}

internal readonly struct Tanh : IUnary
{
    public static ulong Do(ulong a) => Bits.Of((float)Math.Tanh(Bits.To<float>(a)));
}

/// <summary>Subnormal inputs and results of f32 become zeros of their sign.</summary>
internal readonly struct Flush1<TOp> : IUnary
    where TOp : struct, IUnary
{
    public static ulong Do(ulong a) => Flush.Of(TOp.Do(Flush.Of(a)));
}

internal readonly struct Flush2<TOp> : IBinary
    where TOp : struct, IBinary
{
    public static ulong Do(ulong a, ulong b) => Flush.Of(TOp.Do(Flush.Of(a), Flush.Of(b)));
}

internal readonly struct Flush3<TOp> : ITernary
    where TOp : struct, ITernary
{
    public static ulong Do(ulong a, ulong b, ulong c) => Flush.Of(TOp.Do(Flush.Of(a), Flush.Of(b), Flush.Of(c)));
}

internal readonly struct FlushCompare<TOp> : ICompare
    where TOp : struct, ICompare
{
    public static bool Do(ulong a, ulong b) => TOp.Do(Flush.Of(a), Flush.Of(b));
}

/// <summary>.sat: into 0 .. 1, NaN becomes 0.</summary>
internal readonly struct Saturate1<T, TOp> : IUnary
    where T : unmanaged, IFloatingPointIeee754<T>
    where TOp : struct, IUnary
{
    public static ulong Do(ulong a) => Flush.Saturate<T>(TOp.Do(a));
}

internal readonly struct Saturate2<T, TOp> : IBinary
    where T : unmanaged, IFloatingPointIeee754<T>
    where TOp : struct, IBinary
{
    public static ulong Do(ulong a, ulong b) => Flush.Saturate<T>(TOp.Do(a, b));
}

internal readonly struct Saturate3<T, TOp> : ITernary
    where T : unmanaged, IFloatingPointIeee754<T>
    where TOp : struct, ITernary
{
    public static ulong Do(ulong a, ulong b, ulong c) => Flush.Saturate<T>(TOp.Do(a, b, c));
}

/// <summary>add.sat.s32 and sub.sat.s32.</summary>
internal readonly struct AddSaturated : IBinary
{
    public static ulong Do(ulong a, ulong b) => (uint)Math.Clamp((long)(int)a + (int)b, int.MinValue, int.MaxValue);
}

internal readonly struct SubSaturated : IBinary
{
    public static ulong Do(ulong a, ulong b) => (uint)Math.Clamp((long)(int)a - (int)b, int.MinValue, int.MaxValue);
}

internal static class Flush
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Of(ulong a) => (a & 0x7f800000) == 0 ? a & 0x80000000 : a;

    public static ulong Saturate<T>(ulong a)
        where T : unmanaged, IFloatingPointIeee754<T>
    {
        var x = Bits.To<T>(a);
        return Bits.Of(x > T.Zero ? x < T.One ? x : T.One : T.Zero);
    }
}

internal readonly struct And : IBinary
{
    public static ulong Do(ulong a, ulong b) => a & b;
}

internal readonly struct Or : IBinary
{
    public static ulong Do(ulong a, ulong b) => a | b;
}

internal readonly struct Xor : IBinary
{
    public static ulong Do(ulong a, ulong b) => a ^ b;
}

internal readonly struct Not<T> : IUnary
    where T : unmanaged
{
    public static ulong Do(ulong a) => Bits.Of(Bits.To<T>(~a));
}

internal readonly struct LogicalNot<T> : IUnary
    where T : unmanaged
{
    public static ulong Do(ulong a) => Bits.Of(Bits.To<T>(a)) == 0 ? 1UL : 0;
}

/// <summary>Amounts beyond the width count as the width.</summary>
internal readonly struct ShiftLeft<T> : IBinary
    where T : unmanaged, IBinaryInteger<T>
{
    public static ulong Do(ulong a, ulong b) => (uint)b >= (uint)(Unsafe.SizeOf<T>() * 8) ? 0 : Bits.Of(Bits.To<T>(a << (int)b));
}

internal readonly struct ShiftRight<T> : IBinary
    where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T>
{
    public static ulong Do(ulong a, ulong b)
    {
        var x = Bits.To<T>(a);
        return (uint)b >= (uint)(Unsafe.SizeOf<T>() * 8) ? Bits.Of(x < T.Zero ? ~T.Zero : T.Zero) : Bits.Of(x >> (int)b);
    }
}

internal readonly struct PopulationCount<T> : IUnary
    where T : unmanaged
{
    public static ulong Do(ulong a) => (ulong)BitOperations.PopCount(Bits.Of(Bits.To<T>(a)));
}

internal readonly struct LeadingZeros<T> : IUnary
    where T : unmanaged
{
    public static ulong Do(ulong a) => (ulong)(BitOperations.LeadingZeroCount(Bits.Of(Bits.To<T>(a))) - 64 + Unsafe.SizeOf<T>() * 8);
}

internal readonly struct ReverseBits<T> : IUnary
    where T : unmanaged
{
    public static ulong Do(ulong a)
    {
        ulong result = 0;
        for (var bit = 0; bit < Unsafe.SizeOf<T>() * 8; bit++, a >>= 1)
        {
            result = result << 1 | (a & 1);
        }

        return result;
    }
}

/// <summary>The highest bit that differs from the sign; all ones where there is none.</summary>
internal readonly struct FindBit<T> : IUnary
    where T : unmanaged, IBinaryInteger<T>
{
    public static ulong Do(ulong a)
    {
        var x = Bits.To<T>(a);
        var magnitude = Bits.Of(x < T.Zero ? ~x : x);
        return magnitude == 0 ? uint.MaxValue : (ulong)(63 - BitOperations.LeadingZeroCount(magnitude));
    }
}

internal readonly struct BitFieldExtract<T> : ITernary
    where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T>
{
    public static ulong Do(ulong a, ulong b, ulong c)
    {
        var bits = Unsafe.SizeOf<T>() * 8;
        int position = (int)(b & 0xff), length = (int)(c & 0xff);
        a = Bits.Of(Bits.To<T>(a));
        var signed = T.MinValue < T.Zero;
        var sign = signed && length > 0 && (a >> Math.Min(position + length - 1, bits - 1) & 1) != 0;
        ulong result = 0;
        for (var k = 0; k < bits; k++)
        {
            var bit = k < length && position + k < bits ? (a >> (position + k) & 1) != 0 : sign;
            result |= bit ? 1UL << k : 0;
        }

        return result;
    }
}

internal readonly struct Permute : ITernary
{
    public static ulong Do(ulong a, ulong b, ulong c)
    {
        var bytes = (uint)a | b << 32;
        ulong result = 0;
        for (var k = 0; k < 4; k++)
        {
            var selector = (int)(c >> (4 * k) & 0xf);
            var value = (byte)(bytes >> (8 * (selector & 7)));
            if ((selector & 8) != 0)
            {
                value = (value & 0x80) != 0 ? (byte)0xff : (byte)0;
            }

            result |= (ulong)value << (8 * k);
        }

        return result;
    }
}

internal readonly struct FunnelLeftWrap : ITernary
{
    public static ulong Do(ulong a, ulong b, ulong c) => (uint)(((uint)a | b << 32) << (int)(c & 31) >> 32);
}

internal readonly struct FunnelLeftClamp : ITernary
{
    public static ulong Do(ulong a, ulong b, ulong c) => (uint)(((uint)a | b << 32) << (int)Math.Min((uint)c, 32) >> 32);
}

internal readonly struct FunnelRightWrap : ITernary
{
    public static ulong Do(ulong a, ulong b, ulong c) => (uint)(((uint)a | b << 32) >> (int)(c & 31));
}

internal readonly struct FunnelRightClamp : ITernary
{
    public static ulong Do(ulong a, ulong b, ulong c) => (uint)(((uint)a | b << 32) >> (int)Math.Min((uint)c, 32));
}

internal readonly struct SumOfDifferences<T> : ITernary
    where T : unmanaged, IBinaryInteger<T>
{
    public static ulong Do(ulong a, ulong b, ulong c)
    {
        T x = Bits.To<T>(a), y = Bits.To<T>(b);
        return Bits.Of(unchecked(Bits.To<T>(c) + (x > y ? x - y : y - x)));
    }
}

internal readonly struct Exchange : IBinary
{
    public static ulong Do(ulong a, ulong b) => b;
}

/// <summary>atom.inc: counts up to the operand, then from 0.</summary>
internal readonly struct Increment : IBinary
{
    public static ulong Do(ulong a, ulong b) => (uint)a >= (uint)b ? 0 : (uint)a + 1;
}

internal readonly struct Decrement : IBinary
{
    public static ulong Do(ulong a, ulong b) => (uint)a == 0 || (uint)a > (uint)b ? (uint)b : (uint)a - 1;
}

internal readonly struct Equal<T> : ICompare
    where T : unmanaged, INumber<T>
{
    public static bool Do(ulong a, ulong b) => Bits.To<T>(a) == Bits.To<T>(b);
}

/// <summary>For floats: ordered and unequal.</summary>
internal readonly struct NotEqual<T> : ICompare
    where T : unmanaged, INumber<T>
{
    public static bool Do(ulong a, ulong b)
    {
        T x = Bits.To<T>(a), y = Bits.To<T>(b);
        return x < y || x > y;
    }
}

internal readonly struct Less<T> : ICompare
    where T : unmanaged, INumber<T>
{
    public static bool Do(ulong a, ulong b) => Bits.To<T>(a) < Bits.To<T>(b);
}

internal readonly struct LessOrEqual<T> : ICompare
    where T : unmanaged, INumber<T>
{
    public static bool Do(ulong a, ulong b) => Bits.To<T>(a) <= Bits.To<T>(b);
}

internal readonly struct Greater<T> : ICompare
    where T : unmanaged, INumber<T>
{
    public static bool Do(ulong a, ulong b) => Bits.To<T>(a) > Bits.To<T>(b);
}

internal readonly struct GreaterOrEqual<T> : ICompare
    where T : unmanaged, INumber<T>
{
    public static bool Do(ulong a, ulong b) => Bits.To<T>(a) >= Bits.To<T>(b);
}

/// <summary>The unordered comparisons: true where the opposite, ordered one is false.</summary>
internal readonly struct Negation<TOp> : ICompare
    where TOp : struct, ICompare
{
    public static bool Do(ulong a, ulong b) => !TOp.Do(a, b);
}

/// <summary>setp.num.</summary>
internal readonly struct Ordered<T> : ICompare
    where T : unmanaged, INumber<T>
{
    public static bool Do(ulong a, ulong b) => !T.IsNaN(Bits.To<T>(a)) && !T.IsNaN(Bits.To<T>(b));
}

internal readonly struct IsFinite<T> : ICompare
    where T : unmanaged, INumber<T>
{
    public static bool Do(ulong a, ulong b) => T.IsFinite(Bits.To<T>(a));
}

internal readonly struct IsInfinite<T> : ICompare
    where T : unmanaged, INumber<T>
{
    public static bool Do(ulong a, ulong b) => T.IsInfinity(Bits.To<T>(a));
}

internal readonly struct IsNotANumber<T> : ICompare
    where T : unmanaged, INumber<T>
{
    public static bool Do(ulong a, ulong b) => T.IsNaN(Bits.To<T>(a));
}

internal readonly struct IsNormal<T> : ICompare
    where T : unmanaged, INumber<T>
{
    public static bool Do(ulong a, ulong b) => T.IsNormal(Bits.To<T>(a));
}

internal readonly struct IsSubnormal<T> : ICompare
    where T : unmanaged, INumber<T>
{
    public static bool Do(ulong a, ulong b) => T.IsSubnormal(Bits.To<T>(a));
}
