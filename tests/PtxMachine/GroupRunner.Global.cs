// Global memory as one group sees it: every access is checked and counted here before a byte moves.
using System.Globalization;
using System.Numerics;

namespace EquiNorm.PtxMachine;

internal enum Access
{
    Read,
    Write,
    Atomic,
}

internal sealed unsafe partial class GroupRunner
{
    /// <summary>Generic addresses of shared and local memory start here; those of global memory are far below.</summary>
    public const ulong SharedWindow = 1UL << 56;
    public const ulong LocalWindow = 1UL << 57;

    private readonly ulong[] _distinct = new ulong[32];
    private readonly HashSet<int> _acquired = [];
    private readonly bool _parallel;
    private Allocation? _last;
    private int _stamp;
    private bool _fenced;

    /// <summary>Where the bytes of each lane are: the result of a successful check.</summary>
    public readonly byte*[] Pointers = new byte*[32];

    /// <summary>Lanes of a store whose address another lane of the same instruction writes too.</summary>
    public uint Overlap;

    /// <summary>membar.gl and its kin: what this group wrote can be handed on by an atomic.</summary>
    public void Fence() => _fenced = true;

    private void StartGlobal()
    {
        _stamp = _launch.FirstStamp + _group;
        _fenced = false;
        _acquired.Clear();
    }

    public void ResolveGlobal(Warp w, Instruction* i, uint mask, ulong* addresses, int bytes, Access access)
    {
        var first = BitOperations.TrailingZeroCount(mask);
        var start = addresses[first];
        Overlap = 0;
        var a = _last;
        if (a == null || start < a.Base || (long)(start - a.Base) > a.Size - bytes || a.Freed)
        {
            a = Find(w, i, mask, addresses, first, bytes);
        }

        var offset = (long)(start - a.Base);
        if (mask == uint.MaxValue && access != Access.Atomic && offset + 32 * bytes <= a.Size && IsDense(addresses, start, (uint)bytes))
        {
            if ((start & (ulong)(bytes - 1)) != 0)
            {
                throw Misaligned(w, i, mask, addresses, bytes);
            }

            var p = a.Data + offset;
            for (var k = 0; k < 32; k++, p += bytes)
            {
                Pointers[k] = p;
            }

            var count = 32 * bytes;
            if (_checking)
            {
                if (access == Access.Read)
                {
                    if (!a.AllValid && !a.IsValid(offset, count))
                    {
                        throw Uninitialized(w, i, mask, addresses, bytes);
                    }
                }
                else
                {
                    _fenced = false;
                    if (!a.AllValid)
                    {
                        a.MarkValid(offset, count);
                    }
                }

                Touch(w, i, mask, addresses, bytes, a, offset, count, access);
            }

            if (_counting)
            {
                var sectors = (int)((start + (ulong)count - 1 >> 5) - (start >> 5)) + 1;
                Count(a, access, count, count, sectors);
                var bits = access == Access.Read ? a.ReadSectors : a.WrittenSectors;
                for (long s = offset >> 5, last = offset + count - 1 >> 5; s <= last;)
                {
                    // All sectors of one word of the bitmap at once.
                    var n = (int)Math.Min(last - s + 1, 64 - (s & 63));
                    MarkSectors(bits, s, (1UL << n) - 1);
                    s += n;
                }

                Tally.GlobalAccesses++;
                if (bytes == 16)
                {
                    Tally.VectorAccesses++;
                }
            }

            return;
        }

        ResolveScattered(w, i, mask, addresses, bytes, access, a);
    }

    private static bool IsDense(ulong* addresses, ulong start, ulong bytes)
    {
        for (var k = 1; k < 32; k++)
        {
            start += bytes;
            if (addresses[k] != start)
            {
                return false;
            }
        }

        return true;
    }

    private void ResolveScattered(Warp w, Instruction* i, uint mask, ulong* addresses, int bytes, Access access, Allocation a)
    {
        // Everything is checked before anything counts or changes.
        var a0 = a;
        for (var m = mask; m != 0; m &= m - 1)
        {
            var k = BitOperations.TrailingZeroCount(m);
            var address = addresses[k];
            if (address < a.Base || (long)(address - a.Base) > a.Size - bytes)
            {
                a = Find(w, i, mask, addresses, k, bytes);
            }

            if ((address & (ulong)(bytes - 1)) != 0)
            {
                throw Misaligned(w, i, mask, addresses, bytes);
            }

            var offset = (long)(address - a.Base);
            Pointers[k] = a.Data + offset;
            if (_checking && access != Access.Write && !a.AllValid && !a.IsValid(offset, bytes))
            {
                throw Uninitialized(w, i, mask, addresses, bytes);
            }
        }

        a = a0;
        int distinct = 0, sectors = 0;
        ulong highest = 0, highestSector = 0;
        var isFirst = true;
        for (var m = mask; m != 0; m &= m - 1)
        {
            var k = BitOperations.TrailingZeroCount(m);
            var address = addresses[k];
            if (address < a.Base || (long)(address - a.Base) > a.Size - bytes)
            {
                a = _launch.Memory.Find(address)!;
            }

            var offset = (long)(address - a.Base);
            if (_checking)
            {
                if (access == Access.Write)
                {
                    _fenced = false;
                    if (!a.AllValid)
                    {
                        a.MarkValid(offset, bytes);
                    }
                }

                if (access == Access.Atomic)
                {
                    TouchAtomic(w, i, 1u << k, address, bytes, a, offset);
                }
                else
                {
                    Touch(w, i, 1u << k, addresses, bytes, a, offset, bytes, access);
                }
            }

            // Lanes mostly ascend: only those that do not are looked up.
            var isNew = isFirst || address > highest || !Seen(distinct, address);
            var newSectors = 0;
            if (isNew)
            {
                var sector = address >> 5;
                newSectors = isFirst || sector > highestSector || !SeenSector(distinct, sector) ? 1 : 0;
                _distinct[distinct++] = address;
                highest = isFirst || address > highest ? address : highest;
                highestSector = highest >> 5;
            }
            else
            {
                Overlap |= 1u << k;
            }

            isFirst = false;
            sectors += newSectors;
            if (_counting)
            {
                Count(a, access, bytes, isNew ? bytes : 0, newSectors);
                if (isNew)
                {
                    if (access != Access.Write)
                    {
                        MarkSectors(a.ReadSectors, offset >> 5, 1);
                    }

                    if (access != Access.Read)
                    {
                        MarkSectors(a.WrittenSectors, offset >> 5, 1);
                    }
                }
            }
        }

        if (_counting)
        {
            if (access == Access.Atomic)
            {
                Tally.Atomics += BitOperations.PopCount(mask);
            }
            else
            {
                Tally.GlobalAccesses++;
                Tally.VectorAccesses += bytes == 16 ? 1 : 0;
            }
        }
    }

    private bool Seen(int count, ulong address)
    {
        for (var k = count - 1; k >= 0; k--)
        {
            if (_distinct[k] == address)
            {
                return true;
            }
        }

        return false;
    }

    private bool SeenSector(int count, ulong sector)
    {
        for (var k = count - 1; k >= 0; k--)
        {
            if (_distinct[k] >> 5 == sector)
            {
                return true;
            }
        }

        return false;
    }

    private void Count(Allocation a, Access access, int bytes, int distinct, int sectors)
    {
        ref var traffic = ref Traffic[a.Index];
        a.Touched = true;
        if (access != Access.Write)
        {
            Tally.BytesRead += bytes;
            Tally.DistinctBytesRead += distinct;
            Tally.SectorsRead += sectors;
            traffic = traffic with { BytesRead = traffic.BytesRead + bytes, SectorsRead = traffic.SectorsRead + sectors };
        }

        if (access != Access.Read)
        {
            Tally.BytesWritten += bytes;
            Tally.DistinctBytesWritten += distinct;
            Tally.SectorsWritten += sectors;
            traffic = traffic with { BytesWritten = traffic.BytesWritten + bytes, SectorsWritten = traffic.SectorsWritten + sectors };
        }
    }

    private static void MarkSectors(ulong* bits, long first, ulong pattern)
    {
        pattern <<= (int)(first & 63);
        if ((bits[first >> 6] & pattern) != pattern)
        {
            Interlocked.Or(ref bits[first >> 6], pattern);
        }
    }

    private Allocation Find(Warp w, Instruction* i, uint mask, ulong* addresses, int lane, int bytes)
    {
        var address = addresses[lane];
        var a = _launch.Memory.Find(address);
        if (a == null || address < a.Base || (long)(address - a.Base) > a.Size - bytes || a.Freed)
        {
            var freed = a is { Freed: true };
            uint lanes = 0;
            for (var m = mask; m != 0; m &= m - 1)
            {
                var k = BitOperations.TrailingZeroCount(m);
                var other = _launch.Memory.Find(addresses[k]);
                var outside = other == null || addresses[k] < other.Base || (long)(addresses[k] - other.Base) > other.Size - bytes;
                lanes |= (freed ? other is { Freed: true } : outside && other is not { Freed: true }) ? 1u << k : 0;
            }

            throw Fault(freed ? PtxFaultKind.UseAfterFree : PtxFaultKind.OutOfBounds, w, i, lanes, address, _launch.Memory.Describe(address, bytes));
        }

        // The sectors of an allocation are counted from the first launch that touches it.
        if (_counting && a.WrittenSectors == null)
        {
            a.MakeSectors();
        }

        _last = a;
        return a;
    }

    private PtxFaultException Misaligned(Warp w, Instruction* i, uint mask, ulong* addresses, int bytes)
    {
        uint lanes = 0;
        for (var m = mask; m != 0; m &= m - 1)
        {
            var k = BitOperations.TrailingZeroCount(m);
            lanes |= (addresses[k] & (ulong)(bytes - 1)) != 0 ? 1u << k : 0;
        }

        var address = addresses[BitOperations.TrailingZeroCount(lanes)];
        return Fault(PtxFaultKind.Misaligned, w, i, lanes, address, $"{_launch.Memory.Describe(address, bytes)}: not a multiple of {bytes}");
    }

    private PtxFaultException Uninitialized(Warp w, Instruction* i, uint mask, ulong* addresses, int bytes)
    {
        uint lanes = 0;
        for (var m = mask; m != 0; m &= m - 1)
        {
            var k = BitOperations.TrailingZeroCount(m);
            var a = _launch.Memory.Find(addresses[k]);
            if (a is { Freed: false } && addresses[k] >= a.Base && (long)(addresses[k] - a.Base) <= a.Size - bytes)
            {
                lanes |= a.IsValid((long)(addresses[k] - a.Base), bytes) ? 0 : 1u << k;
            }
        }

        var address = addresses[BitOperations.TrailingZeroCount(lanes)];
        return Fault(PtxFaultKind.Uninitialized, w, i, lanes, address, $"{_launch.Memory.Describe(address, bytes)}: never written");
    }

    /// <summary>
    /// Notes that this group touches the bytes. A granule knows the group that wrote it last (low half, as a number that no other launch
    /// uses) and the one that read it, or the negated number of the launch where several did.
    /// </summary>
    private void Touch(
        Warp w, Instruction* i, uint mask, ulong* addresses, int bytes, Allocation a, long offset, int count, Access access)
    {
        var granule = _program.GlobalGranule;
        var cells = a.Shadow(granule);
        int first = _launch.FirstStamp, many = -first, me = _stamp;
        long from = offset >> granule, to = offset + count - 1 >> granule;
        for (var c = from; c <= to; c++)
        {
            var old = cells[c];
            int writer = (int)old, reader = (int)(old >> 32);
            if (writer >= first && writer != me)
            {
                CheckOrder(w, i, mask, addresses, bytes, a, c, writer, access, "wrote");
            }

            if (access == Access.Read)
            {
                if (reader == me || reader == many)
                {
                    continue;
                }

                reader = reader >= first ? many : me;
            }
            else
            {
                if (reader == many || (reader >= first && reader != me))
                {
                    CheckOrder(w, i, mask, addresses, bytes, a, c, reader, access, "read");
                }

                if (writer == me)
                {
                    continue;
                }

                writer = me;
            }

            var next = (long)reader << 32 | (uint)writer;
            if (!_parallel)
            {
                cells[c] = next;
            }
            else if (Interlocked.CompareExchange(ref cells[c], next, old) != old)
            {
                // Another thread was quicker: look again.
                c--;
            }
        }

        if (_program.HasGlobalAtomics)
        {
            for (var c = from; c <= to; c++)
            {
                if (_launch.Atomics.TryGetValue(a.Base + ((ulong)c << granule), out var cell))
                {
                    foreach (var other in cell.Groups)
                    {
                        if (other != me)
                        {
                            CheckOrder(w, i, mask, addresses, bytes, a, c, other, access, "changed atomically");
                        }
                    }
                }
            }
        }
    }

    /// <summary>Another group has touched the granule too: a race, unless it has handed on what it did.</summary>
    private void CheckOrder(
        Warp w, Instruction* i, uint mask, ulong* addresses, int bytes, Allocation a, long cell, int other, Access access, string did)
    {
        if (_acquired.Contains(other))
        {
            return;
        }

        uint lanes = 0;
        var granule = _program.GlobalGranule;
        var start = a.Base + ((ulong)cell << granule);
        for (var m = mask; m != 0; m &= m - 1)
        {
            var k = BitOperations.TrailingZeroCount(m);
            lanes |= addresses[k] <= start && start < addresses[k] + (ulong)bytes ? 1u << k : 0;
        }

        var who = other < 0 ? "several other groups" : string.Create(CultureInfo.InvariantCulture, $"group {other - _launch.FirstStamp}");
        throw Fault(
            PtxFaultKind.GlobalRace, w, i, lanes, start,
            $"{_launch.Memory.Describe(start, 1 << granule)}: group {_group} {(access == Access.Read ? "reads" : "writes")} what {who} {did} in the same launch");
    }

    /// <summary>
    /// Atomics do not race with atomics. One after a fence hands on what its group did before; one that follows it in another group
    /// receives that. (Groups, not threads, are tracked; a write after the fence and before the atomic takes the fence back.)
    /// </summary>
    private void TouchAtomic(Warp w, Instruction* i, uint lane, ulong address, int bytes, Allocation a, long offset)
    {
        var granule = _program.GlobalGranule;
        int first = _launch.FirstStamp, many = -first, me = _stamp;
        for (var c = offset >> granule; c <= offset + bytes - 1 >> granule; c++)
        {
            var key = a.Base + ((ulong)c << granule);
            if (!_launch.Atomics.TryGetValue(key, out var cell))
            {
                cell = new();
                _launch.Atomics.Add(key, cell);
            }

            if (_fenced || i->Mode != 0)
            {
                cell.Released.UnionWith(_acquired);
                cell.Released.Add(me);
            }

            _acquired.UnionWith(cell.Released);
            cell.Groups.Add(me);
            var old = a.Shadow(granule)[c];
            int writer = (int)old, reader = (int)(old >> 32);
            if ((writer >= first && writer != me && !_acquired.Contains(writer))
                || reader == many || (reader >= first && reader != me && !_acquired.Contains(reader)))
            {
                throw Fault(
                    PtxFaultKind.GlobalRace, w, i, lane, address,
                    $"{_launch.Memory.Describe(address, bytes)}: changed atomically, and in the same launch another group reads or writes it without");
            }
        }
    }
}
