// Loads, stores and atomics: the space resolves the addresses of the lanes into pointers, the loops here move the bytes.
using System.Numerics;
using System.Runtime.CompilerServices;

namespace EquiNorm.PtxMachine;

internal interface ISpace
{
    static abstract bool IsShared { get; }

    static abstract unsafe void Resolve(Warp w, Instruction* i, uint mask, ulong* addresses, Access access);
}

internal readonly unsafe struct GlobalSpace : ISpace
{
    public static bool IsShared => false;

    public static void Resolve(Warp w, Instruction* i, uint mask, ulong* addresses, Access access) =>
        w.Runner.ResolveGlobal(w, i, mask, addresses, i->Bytes, access);
}

internal readonly unsafe struct SharedSpace : ISpace
{
    public static bool IsShared => true;

    public static void Resolve(Warp w, Instruction* i, uint mask, ulong* addresses, Access access) =>
        w.Runner.ResolveShared(w, i, mask, addresses, i->Bytes, access);
}

internal readonly unsafe struct LocalSpace : ISpace
{
    public static bool IsShared => false;

    public static void Resolve(Warp w, Instruction* i, uint mask, ulong* addresses, Access access) =>
        w.Runner.ResolveLocal(w, i, mask, addresses, i->Bytes, access);
}

/// <summary>Each lane says by its address where it goes; the lanes of each space are resolved together.</summary>
internal readonly unsafe struct GenericSpace : ISpace
{
    public static bool IsShared => false;

    public static void Resolve(Warp w, Instruction* i, uint mask, ulong* addresses, Access access)
    {
        uint shared = 0, local = 0;
        for (var m = mask; m != 0; m &= m - 1)
        {
            var k = BitOperations.TrailingZeroCount(m);
            if ((addresses[k] & GroupRunner.SharedWindow) != 0)
            {
                shared |= 1u << k;
                addresses[k] -= GroupRunner.SharedWindow;
            }
            else if ((addresses[k] & GroupRunner.LocalWindow) != 0)
            {
                local |= 1u << k;
                addresses[k] -= GroupRunner.LocalWindow;
            }
        }

        uint overlap = 0;
        if (shared != 0)
        {
            w.Runner.ResolveShared(w, i, shared, addresses, i->Bytes, access);
            overlap |= w.Runner.Overlap;
        }

        if (local != 0)
        {
            w.Runner.ResolveLocal(w, i, local, addresses, i->Bytes, access);
        }

        if ((mask & ~shared & ~local) != 0)
        {
            w.Runner.ResolveGlobal(w, i, mask & ~shared & ~local, addresses, i->Bytes, access);
            overlap |= w.Runner.Overlap;
        }

        w.Runner.Overlap = overlap;
    }
}

internal sealed unsafe partial class GroupRunner
{
    /// <summary>Local memory: the bytes of a lane lie together.</summary>
    public void ResolveLocal(Warp w, Instruction* i, uint mask, ulong* addresses, int bytes, Access access)
    {
        Overlap = 0;
        var size = _program.LocalBytes;
        for (var m = mask; m != 0; m &= m - 1)
        {
            var k = BitOperations.TrailingZeroCount(m);
            var offset = addresses[k];
            if (offset > (ulong)size || (long)offset + bytes > size)
            {
                throw Fault(PtxFaultKind.OutOfBounds, w, i, 1u << k, offset, $"{bytes} bytes at offset {offset} of local memory, which has {size} bytes");
            }

            if ((offset & (ulong)(bytes - 1)) != 0)
            {
                throw Fault(PtxFaultKind.Misaligned, w, i, 1u << k, offset, $"{bytes} bytes at offset {offset} of local memory");
            }

            var at = (long)k * size + (long)offset;
            Pointers[k] = w.Local + at;
            if (!_checking)
            {
                continue;
            }

            var valid = new Span<byte>(w.LocalValid + at, bytes);
            if (access == Access.Write)
            {
                valid.Fill(1);
            }
            else if (valid.Contains((byte)0))
            {
                throw Fault(PtxFaultKind.Uninitialized, w, i, 1u << k, offset, $"{bytes} bytes at offset {offset} of local memory: never written");
            }
        }

        if (_counting)
        {
            Tally.LocalAccesses++;
        }
    }
}

internal static unsafe class MemoryLanes
{
    public static void Load<T, TSpace>(Warp w, Instruction* i, uint mask)
        where T : unmanaged
        where TSpace : struct, ISpace
    {
        var addresses = stackalloc ulong[32];
        Addresses(w, i, addresses);
        TSpace.Resolve(w, i, mask, addresses, Access.Read);
        var pointers = w.Runner.Pointers;
        Copy<T>(pointers, 0, w.Registers + i->D, mask);
        if (i->Mode > 1)
        {
            Copy<T>(pointers, 1, w.Registers + i->D1, mask);
        }

        if (i->Mode > 2)
        {
            Copy<T>(pointers, 2, w.Registers + i->D2, mask);
            Copy<T>(pointers, 3, w.Registers + i->D3, mask);
        }
    }

    public static void Store<T, TSpace>(Warp w, Instruction* i, uint mask)
        where T : unmanaged
        where TSpace : struct, ISpace
    {
        var addresses = stackalloc ulong[32];
        Addresses(w, i, addresses);
        TSpace.Resolve(w, i, mask, addresses, Access.Write);
        var pointers = w.Runner.Pointers;
        var overlap = w.Runner.Overlap;
        var sources = stackalloc ulong*[4] { w.Registers + i->D, w.Registers + i->D1, w.Registers + i->D2, w.Registers + i->D3 };
        var vector = i->Mode;
        for (var v = 0; v < vector; v++)
        {
            var source = sources[v];
            for (var m = mask; m != 0; m &= m - 1)
            {
                var k = BitOperations.TrailingZeroCount(m);
                var p = (T*)pointers[k] + v;
                var value = Bits.To<T>(source[k]);
                if ((overlap >> k & 1) != 0 && Bits.Of(*p) != Bits.Of(value))
                {
                    throw w.Runner.OverlapFault(w, i, 1u << k, addresses[k], TSpace.IsShared);
                }

                *p = value;
            }
        }
    }

    /// <summary>atom (D is not negative) and red; lane by lane in ascending order.</summary>
    public static void Atomic<T, TOp, TSpace>(Warp w, Instruction* i, uint mask)
        where T : unmanaged
        where TOp : struct, IBinary
        where TSpace : struct, ISpace
    {
        var addresses = stackalloc ulong[32];
        Addresses(w, i, addresses);
        TSpace.Resolve(w, i, mask, addresses, Access.Atomic);
        for (var m = mask; m != 0; m &= m - 1)
        {
            var k = BitOperations.TrailingZeroCount(m);
            var p = (T*)w.Runner.Pointers[k];
            var old = Bits.Of(*p);
            *p = Bits.To<T>(TOp.Do(old, w.Registers[i->B + k]));
            if (i->D >= 0)
            {
                w.Registers[i->D + k] = old;
            }
        }
    }

    public static void CompareAndSwap<T, TSpace>(Warp w, Instruction* i, uint mask)
        where T : unmanaged
        where TSpace : struct, ISpace
    {
        var addresses = stackalloc ulong[32];
        Addresses(w, i, addresses);
        TSpace.Resolve(w, i, mask, addresses, Access.Atomic);
        for (var m = mask; m != 0; m &= m - 1)
        {
            var k = BitOperations.TrailingZeroCount(m);
            var p = (T*)w.Runner.Pointers[k];
            var old = Bits.Of(*p);
            if (old == Bits.Of(Bits.To<T>(w.Registers[i->B + k])))
            {
                *p = Bits.To<T>(w.Registers[i->C + k]);
            }

            if (i->D >= 0)
            {
                w.Registers[i->D + k] = old;
            }
        }
    }

    public static void Fence(Warp w, Instruction* i, uint mask) => w.Runner.Fence();

    private static void Addresses(Warp w, Instruction* i, ulong* addresses)
    {
        var a = w.Registers + i->A;
        var offset = (ulong)i->Immediate;
        for (var k = 0; k < 32; k++)
        {
            addresses[k] = a[k] + offset;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Copy<T>(byte*[] pointers, int v, ulong* d, uint mask)
        where T : unmanaged
    {
        if (mask == uint.MaxValue)
        {
            for (var k = 0; k < 32; k++)
            {
                d[k] = Bits.Extend(((T*)pointers[k])[v]);
            }

            return;
        }

        for (; mask != 0; mask &= mask - 1)
        {
            var k = BitOperations.TrailingZeroCount(mask);
            d[k] = Bits.Extend(((T*)pointers[k])[v]);
        }
    }
}
