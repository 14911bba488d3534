// Instructions in which the lanes of a warp exchange values.
using System.Numerics;

namespace EquiNorm.PtxMachine;

internal enum ShuffleMode : byte
{
    Up,
    Down,
    Xor,
    Index,
}

internal static unsafe class WarpLanes
{
    /// <summary>shfl.sync d|p, a, b, c, members: D, D1 (predicate, 0 for none), A, B, C, E.</summary>
    public static void Shuffle(Warp w, Instruction* i, uint mask)
    {
        CheckMembers(w, i, mask, w.Registers + i->E);
        w.Runner.Tally.Shuffles++;
        ulong* a = w.Registers + i->A, b = w.Registers + i->B, c = w.Registers + i->C, d = w.Registers + i->D;
        var values = stackalloc ulong[32];
        new ReadOnlySpan<ulong>(a, 32).CopyTo(new Span<ulong>(values, 32));
        uint inRange = 0;
        uint absent = 0;
        for (var m = mask; m != 0; m &= m - 1)
        {
            var k = BitOperations.TrailingZeroCount(m);
            int amount = (int)(b[k] & 31), clamp = (int)(c[k] & 31), segment = (int)(c[k] >> 8 & 31);
            var limit = (k & segment) | (clamp & ~segment);
            var lowest = k & segment;
            int source;
            bool valid;
            switch ((ShuffleMode)i->Mode)
            {
                case ShuffleMode.Up:
                    source = k - amount;
                    valid = source >= limit;
                    break;
                case ShuffleMode.Down:
                    source = k + amount;
                    valid = source <= limit;
                    break;
                case ShuffleMode.Xor:
                    source = k ^ amount;
                    valid = source <= limit;
                    break;
                default:
                    source = lowest | (amount & ~segment);
                    valid = source <= limit;
                    break;
            }

            if (!valid)
            {
                source = k;
            }

            inRange |= valid ? 1u << k : 0;
            absent |= (mask >> source & 1) == 0 ? 1u << k : 0;
            d[k] = (uint)values[source];
        }

        if (absent != 0)
        {
            throw w.Runner.Fault(PtxFaultKind.InactiveSourceLane, w, i, absent, 0, $"these lanes read from lanes that take no part; only 0x{mask:x8} do");
        }

        if (i->D1 > 0)
        {
            w.Predicates[i->D1] = (w.Predicates[i->D1] & ~mask) | (inRange & mask);
        }
    }

    /// <summary>vote.sync: Mode 0 ballot, 1 all, 2 any, 3 uni; C is the predicate.</summary>
    public static void Vote(Warp w, Instruction* i, uint mask)
    {
        CheckMembers(w, i, mask, w.Registers + i->E);
        w.Runner.Tally.Shuffles++;
        var p = (w.Predicates[i->C] ^ i->Flip) & mask;
        if (i->Mode == 0)
        {
            Fill(w.Registers + i->D, p, mask);
            return;
        }

        var result = i->Mode switch { 1 => p == mask, 2 => p != 0, _ => p == mask || p == 0 };
        w.Predicates[i->D] = (w.Predicates[i->D] & ~mask) | (result ? mask : 0);
    }

    public static void ActiveMask(Warp w, Instruction* i, uint mask) => Fill(w.Registers + i->D, w.Active, mask);

    public static void Reduce<TOp>(Warp w, Instruction* i, uint mask)
        where TOp : struct, IBinary
    {
        CheckMembers(w, i, mask, w.Registers + i->E);
        w.Runner.Tally.Shuffles++;
        var a = w.Registers + i->A;
        var first = BitOperations.TrailingZeroCount(mask);
        ulong result = (uint)a[first];
        for (var m = mask & (mask - 1); m != 0; m &= m - 1)
        {
            result = TOp.Do(result, (uint)a[BitOperations.TrailingZeroCount(m)]);
        }

        Fill(w.Registers + i->D, (uint)result, mask);
    }

    public static void Match(Warp w, Instruction* i, uint mask)
    {
        CheckMembers(w, i, mask, w.Registers + i->E);
        w.Runner.Tally.Shuffles++;
        var a = w.Registers + i->A;
        var width = i->Bytes == 8 ? ulong.MaxValue : uint.MaxValue;
        var results = stackalloc uint[32];
        for (var m = mask; m != 0; m &= m - 1)
        {
            var k = BitOperations.TrailingZeroCount(m);
            uint same = 0;
            for (var n = mask; n != 0; n &= n - 1)
            {
                var other = BitOperations.TrailingZeroCount(n);
                same |= (a[k] & width) == (a[other] & width) ? 1u << other : 0;
            }

            results[k] = same;
        }

        for (var m = mask; m != 0; m &= m - 1)
        {
            var k = BitOperations.TrailingZeroCount(m);
            w.Registers[i->D + k] = results[k];
        }
    }

    /// <summary>bar.warp.sync: what the lanes wrote to shared memory before it, all of them may read after it.</summary>
    public static void Synchronize(Warp w, Instruction* i, uint mask)
    {
        var members = w.Registers + i->E;
        for (var m = mask; m != 0; m &= m - 1)
        {
            var k = BitOperations.TrailingZeroCount(m);
            var missing = (uint)members[k] & w.Live & ~mask;
            if (missing != 0)
            {
                throw w.Runner.Fault(PtxFaultKind.DivergentBarrier, w, i, missing, 0, $"the mask 0x{(uint)members[k]:x8} names these lanes, and only 0x{mask:x8} are at the barrier");
            }
        }

        w.Epoch++;
    }

    private static void Fill(ulong* d, uint value, uint mask)
    {
        for (; mask != 0; mask &= mask - 1)
        {
            d[BitOperations.TrailingZeroCount(mask)] = value;
        }
    }

    /// <summary>Every lane that executes must be in its own mask, and every lane of the mask that has not returned must be here.</summary>
    private static void CheckMembers(Warp w, Instruction* i, uint mask, ulong* members)
    {
        for (var m = mask; m != 0; m &= m - 1)
        {
            var k = BitOperations.TrailingZeroCount(m);
            var own = (uint)members[k];
            if ((own >> k & 1) == 0)
            {
                throw w.Runner.Fault(PtxFaultKind.DivergentShuffle, w, i, 1u << k, 0, $"the lane is not in its mask 0x{own:x8}");
            }

            var missing = own & w.Live & ~mask;
            if (missing != 0)
            {
                throw w.Runner.Fault(PtxFaultKind.DivergentShuffle, w, i, missing, 0, $"the mask 0x{own:x8} names these lanes, and only 0x{mask:x8} take part");
            }
        }
    }
}
