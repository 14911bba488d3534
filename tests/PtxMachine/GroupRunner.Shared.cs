// Shared memory of the group that runs: bytes, who touched them since the last barrier, banks.
using System.Globalization;
using System.Numerics;
using System.Runtime.InteropServices;

namespace EquiNorm.PtxMachine;

/// <summary>A granule of shared memory: its last writer and its readers.</summary>
internal struct SharedCell
{
    /// <summary>Barriers that the runner had passed; a lower one than that of the group's start: nobody wrote.</summary>
    public int WriteEpoch;
    public int WriteWarpEpoch;

    /// <summary>The thread; <see cref="GroupRunner.ManyAtomics"/> where several warps changed it by atomics.</summary>
    public int Writer;
    public bool WriteIsAtomic;

    /// <summary>Tells lanes of one instruction from those of two.</summary>
    public long WriteInstruction;
    public int ReadEpoch;
    public int ReadWarpEpoch;

    /// <summary>The thread, -1 - warp for several lanes of a warp, or <see cref="GroupRunner.ManyWarps"/>.</summary>
    public int Reader;
}

internal sealed unsafe partial class GroupRunner
{
    public const int ManyWarps = int.MinValue;
    public const int ManyAtomics = int.MaxValue;

    private readonly int _sharedBytes;
    private readonly int[] _bankCounts = new int[32];
    private readonly uint[] _bankWords = new uint[32 * 32];
    private byte* _shared;
    private SharedCell* _cells;
    private int _epoch;
    private int _startEpoch;
    private long _instruction;

    private void MakeShared()
    {
        _shared = (byte*)NativeMemory.AlignedAlloc((nuint)_sharedBytes + 16, 128);
        _cells = (SharedCell*)NativeMemory.AllocZeroed((nuint)(_sharedBytes >> _program.SharedGranule) + 1, (nuint)sizeof(SharedCell));
    }

    private void FreeShared()
    {
        NativeMemory.AlignedFree(_shared);
        NativeMemory.Free(_cells);
    }

    private void StartShared()
    {
        NativeMemory.Fill(_shared, (nuint)_sharedBytes, 0xff);
        NextEpoch();
        _startEpoch = _epoch;
    }

    private void NextEpoch() => _epoch++;

    public void ResolveShared(Warp w, Instruction* i, uint mask, ulong* addresses, int bytes, Access access)
    {
        Overlap = 0;
        _instruction++;
        for (var m = mask; m != 0; m &= m - 1)
        {
            var k = BitOperations.TrailingZeroCount(m);
            var offset = addresses[k];
            if (offset > (ulong)_sharedBytes || (long)offset + bytes > _sharedBytes)
            {
                throw SharedFault(PtxFaultKind.OutOfBounds, w, i, mask, addresses, k, bytes, o => o > (ulong)_sharedBytes || (long)o + bytes > _sharedBytes);
            }

            if ((offset & (ulong)(bytes - 1)) != 0)
            {
                throw SharedFault(PtxFaultKind.Misaligned, w, i, mask, addresses, k, bytes, o => (o & (ulong)(bytes - 1)) != 0);
            }

            Pointers[k] = _shared + offset;
        }

        if (_checking)
        {
            for (var m = mask; m != 0; m &= m - 1)
            {
                var k = BitOperations.TrailingZeroCount(m);
                TouchShared(w, i, mask, addresses, k, bytes, access);
            }
        }

        if (_counting)
        {
            Tally.SharedAccesses++;
            Tally.BankConflicts += Conflicts(mask, addresses, bytes);
            if (access == Access.Atomic)
            {
                Tally.Atomics += BitOperations.PopCount(mask);
            }
        }
    }

    private void TouchShared(Warp w, Instruction* i, uint mask, ulong* addresses, int k, int bytes, Access access)
    {
        var offset = (long)addresses[k];
        var granule = _program.SharedGranule;
        int thread = w.Index * 32 + k, warp = w.Index;
        for (var c = offset >> granule; c <= offset + bytes - 1 >> granule; c++)
        {
            ref var cell = ref _cells[c];
            if (access != Access.Write && cell.WriteEpoch < _startEpoch)
            {
                throw SharedFault(
                    PtxFaultKind.Uninitialized, w, i, mask, addresses, k, bytes, o => _cells[(long)o >> granule].WriteEpoch < _startEpoch);
            }

            if (cell.WriteEpoch == _epoch && cell.Writer != thread && !(access == Access.Atomic && cell.WriteIsAtomic))
            {
                var sameWarp = cell.Writer >> 5 == warp;
                if (sameWarp && access == Access.Write && cell.WriteInstruction == _instruction)
                {
                    Overlap |= 1u << k;
                }
                else if (!sameWarp || cell.WriteWarpEpoch == w.Epoch)
                {
                    throw SharedRace(w, i, k, addresses[k], bytes, access, cell.Writer, cell.WriteIsAtomic ? "changed atomically" : "wrote");
                }
            }

            if (access == Access.Read)
            {
                if (cell.ReadEpoch != _epoch)
                {
                    cell.Reader = thread;
                }
                else if (cell.Reader == ManyWarps)
                {
                    // Stays so.
                }
                else if ((cell.Reader < 0 ? -1 - cell.Reader : cell.Reader >> 5) != warp)
                {
                    cell.Reader = ManyWarps;
                }
                else if (cell.Reader != thread)
                {
                    // Reads of this warp before its last synchronisation do not matter to it any more.
                    cell.Reader = cell.ReadWarpEpoch == w.Epoch ? -1 - warp : thread;
                }

                cell.ReadEpoch = _epoch;
                cell.ReadWarpEpoch = w.Epoch;
                continue;
            }

            if (cell.ReadEpoch == _epoch && cell.Reader != thread)
            {
                var sameWarp = cell.Reader != ManyWarps && (cell.Reader < 0 ? -1 - cell.Reader : cell.Reader >> 5) == warp;
                if (!sameWarp || cell.ReadWarpEpoch == w.Epoch)
                {
                    throw SharedRace(w, i, k, addresses[k], bytes, access, cell.Reader, "read");
                }
            }

            var severalAtomics = access == Access.Atomic && cell.WriteEpoch == _epoch && cell.WriteIsAtomic && cell.Writer >> 5 != warp;
            cell.Writer = severalAtomics ? ManyAtomics : thread;
            cell.WriteEpoch = _epoch;
            cell.WriteWarpEpoch = w.Epoch;
            cell.WriteIsAtomic = access == Access.Atomic;
            cell.WriteInstruction = _instruction;
        }
    }

    /// <summary>Lanes that write one address in one instruction must write the same value: which of them wins is open.</summary>
    internal PtxFaultException OverlapFault(Warp w, Instruction* i, uint lane, ulong address, bool shared) => Fault(
        shared ? PtxFaultKind.SharedRace : PtxFaultKind.GlobalRace, w, i, lane, address,
        $"another lane of the same instruction writes another value to {(shared ? Offset(address) : $"0x{address:x}")}");

    private static string Offset(ulong address) => string.Create(CultureInfo.InvariantCulture, $"offset {address} of shared memory");

    private PtxFaultException SharedRace(Warp w, Instruction* i, int k, ulong address, int bytes, Access access, int other, string did)
    {
        var who = other switch
        {
            ManyWarps or ManyAtomics => "threads of other warps",
            < 0 => string.Create(CultureInfo.InvariantCulture, $"several lanes of warp {-1 - other}"),
            _ => string.Create(CultureInfo.InvariantCulture, $"warp {other >> 5}, lane {other & 31}"),
        };
        var does = access switch { Access.Read => "reads", Access.Write => "writes", _ => "changes atomically" };
        var inWarp = other >= 0 && other >> 5 == w.Index ? "no synchronisation of the warp" : "no barrier";
        return Fault(
            PtxFaultKind.SharedRace, w, i, 1u << k, address,
            $"the lane {does} {bytes} bytes at {Offset(address)} that {who} {did}, with {inWarp} between");
    }

    private PtxFaultException SharedFault(
        PtxFaultKind kind, Warp w, Instruction* i, uint mask, ulong* addresses, int first, int bytes, Func<ulong, bool> isWrong)
    {
        uint lanes = 0;
        for (var m = mask; m != 0; m &= m - 1)
        {
            var k = BitOperations.TrailingZeroCount(m);
            var inside = addresses[k] <= (ulong)_sharedBytes && (long)addresses[k] + bytes <= _sharedBytes;
            lanes |= (inside || kind != PtxFaultKind.Uninitialized) && isWrong(addresses[k]) ? 1u << k : 0;
        }

        return Fault(kind, w, i, lanes, addresses[first], $"{bytes} bytes at {Offset(addresses[first])}, which has {_sharedBytes} bytes");
    }

    /// <summary>
    /// 32 banks of 4 bytes. Lanes with 8 bytes go in halves of the warp, lanes with 16 bytes in quarters; within such a part every bank
    /// delivers one word for each wavefront, and lanes that ask for the same word share it.
    /// </summary>
    private int Conflicts(uint mask, ulong* addresses, int bytes)
    {
        var lanes = bytes <= 4 ? 32 : 128 / bytes;
        var words = Math.Max(1, bytes / 4);
        var extra = 0;
        for (var start = 0; start < 32; start += lanes)
        {
            var part = lanes == 32 ? mask : mask & ((1u << lanes) - 1) << start;
            if (part == 0)
            {
                continue;
            }

            // The usual case first: words side by side, or one for all.
            var dense = true;
            var origin = addresses[BitOperations.TrailingZeroCount(part)];
            for (var m = part; m != 0 && dense; m &= m - 1)
            {
                var distance = addresses[BitOperations.TrailingZeroCount(m)] - origin;
                dense = distance <= (ulong)(128 - bytes) && (origin & 3) == 0;
            }

            if (dense)
            {
                continue;
            }

            Array.Clear(_bankCounts);
            var most = 0;
            for (var m = part; m != 0; m &= m - 1)
            {
                var word = (uint)(addresses[BitOperations.TrailingZeroCount(m)] >> 2);
                for (var v = 0u; v < words; v++)
                {
                    var bank = (int)((word + v) & 31);
                    var count = _bankCounts[bank];
                    if (_bankWords.AsSpan(bank * 32, count).Contains(word + v))
                    {
                        continue;
                    }

                    _bankWords[bank * 32 + count] = word + v;
                    _bankCounts[bank] = ++count;
                    most = Math.Max(most, count);
                }
            }

            extra += most - 1;
        }

        return extra;
    }
}
