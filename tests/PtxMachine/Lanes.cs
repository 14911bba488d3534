// The loops over the lanes of a warp: one for each shape of an instruction, compiled for each operation.
using System.Numerics;
using System.Runtime.CompilerServices;

namespace EquiNorm.PtxMachine;

internal interface IUnary
{
    static abstract ulong Do(ulong a);
}

internal interface IBinary
{
    static abstract ulong Do(ulong a, ulong b);
}

internal interface ITernary
{
    static abstract ulong Do(ulong a, ulong b, ulong c);
}

internal interface ICompare
{
    static abstract bool Do(ulong a, ulong b);
}

internal static unsafe class Lanes
{
    public const uint All = uint.MaxValue;

    public static void Nothing(Warp w, Instruction* i, uint mask)
    {
    }

    public static void Unary<TOp>(Warp w, Instruction* i, uint mask)
        where TOp : struct, IUnary
    {
        ulong* d = w.Registers + i->D, a = w.Registers + i->A;
        if (mask == All)
        {
            for (var k = 0; k < 32; k++)
            {
                d[k] = TOp.Do(a[k]);
            }

            return;
        }

        for (; mask != 0; mask &= mask - 1)
        {
            var k = BitOperations.TrailingZeroCount(mask);
            d[k] = TOp.Do(a[k]);
        }
    }

    public static void Binary<TOp>(Warp w, Instruction* i, uint mask)
        where TOp : struct, IBinary
    {
        ulong* d = w.Registers + i->D, a = w.Registers + i->A, b = w.Registers + i->B;
        if (mask == All)
        {
            for (var k = 0; k < 32; k++)
            {
                d[k] = TOp.Do(a[k], b[k]);
            }

            return;
        }

        for (; mask != 0; mask &= mask - 1)
        {
            var k = BitOperations.TrailingZeroCount(mask);
            d[k] = TOp.Do(a[k], b[k]);
        }
    }

    public static void Ternary<TOp>(Warp w, Instruction* i, uint mask)
        where TOp : struct, ITernary
    {
        ulong* d = w.Registers + i->D, a = w.Registers + i->A, b = w.Registers + i->B, c = w.Registers + i->C;
        if (mask == All)
        {
            for (var k = 0; k < 32; k++)
            {
                d[k] = TOp.Do(a[k], b[k], c[k]);
            }

            return;
        }

        for (; mask != 0; mask &= mask - 1)
        {
            var k = BitOperations.TrailingZeroCount(mask);
            d[k] = TOp.Do(a[k], b[k], c[k]);
        }
    }

    /// <summary>bfi, lop3: three operands and a fourth.</summary>
    public static void BitFieldInsert<T>(Warp w, Instruction* i, uint mask)
        where T : unmanaged, IBinaryInteger<T>
    {
        ulong* r = w.Registers;
        var bits = sizeof(T) * 8;
        for (; mask != 0; mask &= mask - 1)
        {
            var k = BitOperations.TrailingZeroCount(mask);
            var position = (int)(r[i->C + k] & 0xff);
            var length = (int)(r[i->E + k] & 0xff);
            var field = length >= 64 ? ulong.MaxValue : (1UL << length) - 1;
            field = position >= bits ? 0 : field << position;
            var a = position >= bits ? 0 : r[i->A + k] << position;
            r[i->D + k] = Bits.Of(Bits.To<T>((r[i->B + k] & ~field) | (a & field)));
        }
    }

    public static void Lop3(Warp w, Instruction* i, uint mask)
    {
        ulong* r = w.Registers;
        for (; mask != 0; mask &= mask - 1)
        {
            var k = BitOperations.TrailingZeroCount(mask);
            uint a = (uint)r[i->A + k], b = (uint)r[i->B + k], c = (uint)r[i->C + k], result = 0;
            for (var row = 0; row < 8; row++)
            {
                if ((i->Immediate >> row & 1) != 0)
                {
                    result |= ((row & 4) != 0 ? a : ~a) & ((row & 2) != 0 ? b : ~b) & ((row & 1) != 0 ? c : ~c);
                }
            }

            r[i->D + k] = result;
        }
    }

    /// <summary>mov.b64 d, {a, b} and its kin: parts of Mode bits each.</summary>
    public static void Pack(Warp w, Instruction* i, uint mask)
    {
        ulong* r = w.Registers;
        var part = i->Mode == 32 ? uint.MaxValue : (1UL << i->Mode) - 1;
        for (; mask != 0; mask &= mask - 1)
        {
            var k = BitOperations.TrailingZeroCount(mask);
            var value = (r[i->A + k] & part) | (r[i->B + k] & part) << i->Mode;
            if (i->Bytes == 4)
            {
                value |= (r[i->C + k] & part) << 2 * i->Mode | (r[i->E + k] & part) << 3 * i->Mode;
            }

            r[i->D + k] = value;
        }
    }

    public static void Unpack(Warp w, Instruction* i, uint mask)
    {
        ulong* r = w.Registers;
        var part = i->Mode == 32 ? uint.MaxValue : (1UL << i->Mode) - 1;
        for (; mask != 0; mask &= mask - 1)
        {
            var k = BitOperations.TrailingZeroCount(mask);
            var value = r[i->A + k];
            r[i->D + k] = value & part;
            r[i->D1 + k] = value >> i->Mode & part;
            if (i->Bytes == 4)
            {
                r[i->D2 + k] = value >> 2 * i->Mode & part;
                r[i->D3 + k] = value >> 3 * i->Mode & part;
            }
        }
    }

    /// <summary>The predicate in C chooses between A and B.</summary>
    public static void Select(Warp w, Instruction* i, uint mask)
    {
        ulong* d = w.Registers + i->D, a = w.Registers + i->A, b = w.Registers + i->B;
        var p = w.Predicates[i->C] ^ i->Flip;
        for (; mask != 0; mask &= mask - 1)
        {
            var k = BitOperations.TrailingZeroCount(mask);
            d[k] = (p >> k & 1) != 0 ? a[k] : b[k];
        }
    }

    /// <summary>setp: D is the predicate, D1 its complement, C the predicate that Mode combines it with.</summary>
    public static void Compare<TOp>(Warp w, Instruction* i, uint mask)
        where TOp : struct, ICompare
    {
        ulong* a = w.Registers + i->A, b = w.Registers + i->B;
        uint result = 0;
        for (var k = 0; k < 32; k++)
        {
            result |= (TOp.Do(a[k], b[k]) ? 1u : 0u) << k;
        }

        if (i->Mode == 0)
        {
            w.Predicates[i->D] = (w.Predicates[i->D] & ~mask) | (result & mask);
            return;
        }

        var other = w.Predicates[i->C] ^ i->Flip;
        var first = Combine(i->Mode, result, other);
        var second = Combine(i->Mode, ~result, other);
        w.Predicates[i->D] = (w.Predicates[i->D] & ~mask) | (first & mask);
        if (i->D1 > 0)
        {
            w.Predicates[i->D1] = (w.Predicates[i->D1] & ~mask) | (second & mask);
        }
    }

    /// <summary>testp and other tests of one operand.</summary>
    public static void Test<TOp>(Warp w, Instruction* i, uint mask)
        where TOp : struct, ICompare => Compare<TOp>(w, i, mask);

    /// <summary>and.pred and so on; A and B are predicates, each perhaps negated (bits 0 and 1 of Bytes).</summary>
    public static void PredicateLogic(Warp w, Instruction* i, uint mask)
    {
        var a = w.Predicates[i->A] ^ ((i->Bytes & 1) != 0 ? All : 0);
        var b = w.Predicates[i->B] ^ ((i->Bytes & 2) != 0 ? All : 0);
        var result = i->Mode switch { 1 => a & b, 2 => a | b, 3 => a ^ b, 4 => ~a, _ => a };
        w.Predicates[i->D] = (w.Predicates[i->D] & ~mask) | (result & mask);
    }

    public static void LoadParameter<T>(Warp w, Instruction* i, uint mask)
        where T : unmanaged
    {
        ReadOnlySpan<int> destinations = [i->D, i->D1, i->D2, i->D3];
        for (var v = 0; v < i->Mode; v++)
        {
            var value = Bits.Extend(Unsafe.ReadUnaligned<T>(w.Parameters + i->Immediate + v * sizeof(T)));
            var d = w.Registers + destinations[v];
            for (var m = mask; m != 0; m &= m - 1)
            {
                d[BitOperations.TrailingZeroCount(m)] = value;
            }
        }
    }

    private static uint Combine(int mode, uint a, uint b) => mode switch
    {
        1 => a & b,
        2 => a | b,
        3 => a ^ b,
        _ => a,
    };
}

/// <summary>Values in registers: the low bits of 64; what lies above them means nothing.</summary>
internal static unsafe class Bits
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T To<T>(ulong value)
        where T : unmanaged
    {
        return sizeof(T) switch
        {
            1 => Unsafe.BitCast<byte, T>((byte)value),
            2 => Unsafe.BitCast<ushort, T>((ushort)value),
            4 => Unsafe.BitCast<uint, T>((uint)value),
            _ => Unsafe.BitCast<ulong, T>(value),
        };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Of<T>(T value)
        where T : unmanaged
    {
        return sizeof(T) switch
        {
            1 => Unsafe.BitCast<T, byte>(value),
            2 => Unsafe.BitCast<T, ushort>(value),
            4 => Unsafe.BitCast<T, uint>(value),
            _ => Unsafe.BitCast<T, ulong>(value),
        };
    }

    /// <summary>As <see cref="Of"/>, but signed integers are extended by their sign: a load or conversion into a wider register.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Extend<T>(T value)
        where T : unmanaged
    {
        if (typeof(T) == typeof(sbyte))
        {
            return (ulong)(sbyte)(object)value;
        }

        if (typeof(T) == typeof(short))
        {
            return (ulong)(short)(object)value;
        }

        if (typeof(T) == typeof(int))
        {
            return (ulong)(int)(object)value;
        }

        return Of(value);
    }
}
