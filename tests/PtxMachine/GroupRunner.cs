// Runs groups, one after the other: warps, their control flow, their barriers.
using System.Numerics;

namespace EquiNorm.PtxMachine;

internal sealed unsafe partial class GroupRunner : IDisposable
{
    private readonly Program _program;
    private readonly LaunchState _launch;
    private readonly PtxDeviceOptions _options;
    private readonly Warp[] _warps;
    private readonly bool _counting;
    private readonly bool _checking;

    private int _group;
    private Instruction* _code;

    public GroupRunner(Program program, LaunchState launch)
    {
        _program = program;
        _launch = launch;
        _options = launch.Options;
        _counting = _options.Counting;
        _checking = _options.Checking;
        _parallel = launch.Parallel;
        _warps = new Warp[(launch.GroupSize + 31) / 32];
        Traffic = new LabelTraffic[launch.Memory.Allocations.Count];
        for (var k = 0; k < _warps.Length; k++)
        {
            var lanes = Math.Min(32, launch.GroupSize - 32 * k);
            var warp = new Warp(this, k, uint.MaxValue >> (32 - lanes), program.Slots, program.Predicates, program.LocalBytes);
            _warps[k] = warp;
            foreach (var (value, slot) in program.Constants)
            {
                Fill(warp, slot, value);
            }

            foreach (var (name, slot) in program.Specials)
            {
                for (var lane = 0; lane < 32; lane++)
                {
                    warp.Registers[slot * 32 + lane] = Special(name, k, lane);
                }
            }
        }

        _sharedBytes = program.SharedBytes + (program.UsesDynamicShared ? _options.DynamicSharedBytes : 0);
        MakeShared();
    }

    public Tally Tally { get; } = new();

    /// <summary>By the index of the allocation.</summary>
    public LabelTraffic[] Traffic { get; }

    public void Run(int group, Instruction* code, byte* parameters)
    {
        _group = group;
        _code = code;
        StartGlobal();
        StartShared();
        foreach (var warp in _warps)
        {
            new Span<ulong>(warp.Registers, _program.Registers * 32).Clear();
            new Span<uint>(warp.Predicates, _program.Predicates).Clear();
            warp.Predicates[0] = uint.MaxValue;
            new Span<byte>(warp.LocalValid, _program.LocalBytes * 32).Clear();
            foreach (var (name, slot) in _program.Specials)
            {
                if (name == "%ctaid.x")
                {
                    Fill(warp, slot, (ulong)group);
                }
            }

            warp.Parameters = parameters;
            warp.Depth = 0;
            warp.Pc = 0;
            warp.Active = warp.Present;
            warp.Live = warp.Present;
            warp.Reconvergence = -1;
            warp.Rotations = 0;
            warp.Executed = 0;
            warp.Waiting = false;
            warp.Done = false;
        }

        while (true)
        {
            for (var k = 0; k < _warps.Length; k++)
            {
                var warp = _warps[_options.ReverseWarps ? _warps.Length - 1 - k : k];
                if (!warp.Done)
                {
                    Run(warp);
                }
            }

            if (Array.TrueForAll(_warps, w => w.Done))
            {
                return;
            }

            PassBarrier();
        }
    }

    public void Dispose()
    {
        foreach (var warp in _warps)
        {
            warp.Dispose();
        }

        FreeShared();
    }

    internal PtxFaultException Fault(PtxFaultKind kind, Warp warp, Instruction* i, uint lanes, ulong address, string detail) => new(
        kind, _program.Name, i->Line, i->Line > 0 ? _program.Lines[i->Line - 1] : "", _group, warp.Index, lanes, address, detail);

    private static void Fill(Warp warp, int slot, ulong value) => new Span<ulong>(warp.Registers + slot * 32, 32).Fill(value);

    private ulong Special(string name, int warp, int lane) => name switch
    {
        "%tid.x" => (ulong)(warp * 32 + lane),
        "%ntid.x" => (ulong)_launch.GroupSize,
        "%nctaid.x" => (ulong)_launch.Groups,
        "%ntid.y" or "%ntid.z" or "%nctaid.y" or "%nctaid.z" => 1,
        "%laneid" => (ulong)lane,
        "%warpid" => (ulong)warp,
        "%nwarpid" => (ulong)_warps.Length,
        "%dynamic_smem_size" => (ulong)_options.DynamicSharedBytes,
        "%total_smem_size" => (ulong)(_program.SharedBytes + _options.DynamicSharedBytes),
        "%lanemask_eq" => 1u << lane,
        "%lanemask_lt" => (1u << lane) - 1,
        "%lanemask_le" => uint.MaxValue >> (31 - lane),
        "%lanemask_gt" => ~(uint.MaxValue >> (31 - lane)),
        "%lanemask_ge" => ~((1u << lane) - 1),
        _ => 0,
    };

    private void Run(Warp w)
    {
        var code = _code;
        var predicates = w.Predicates;
        var executed = w.Executed;
        var limit = _options.InstructionLimit;
        long lanes = 0;
        int pc = w.Pc, reconvergence = w.Reconvergence;
        var active = w.Active;
        while (true)
        {
            while (pc == reconvergence || active == 0)
            {
                if (w.Depth == 0)
                {
                    w.Done = true;
                    Leave();
                    return;
                }

                var entry = w.Stack[--w.Depth];
                pc = entry.Pc;
                active = entry.Mask & w.Live;
                reconvergence = entry.Reconvergence;
                w.Rotations = 0;
            }

            var i = code + pc;
            var mask = active & (predicates[i->Guard] ^ i->GuardFlip);
            executed++;
            lanes += BitOperations.PopCount(mask);
            switch (i->Kind)
            {
                case InstructionKind.Lanes:
                    if (mask != 0)
                    {
                        if (i->Uniform && active != w.Live && StepBack())
                        {
                            executed--;
                            lanes -= BitOperations.PopCount(mask);
                            continue;
                        }

                        w.Active = active;
                        i->Execute(w, i, mask);
                    }

                    pc++;
                    break;

                case InstructionKind.Branch:
                    if (executed > limit)
                    {
                        w.Executed = executed;
                        throw Fault(PtxFaultKind.InstructionLimit, w, i, active, 0, $"the warp has executed {executed} instructions");
                    }

                    if (mask == active)
                    {
                        pc = i->Target;
                    }
                    else if (mask == 0)
                    {
                        pc++;
                    }
                    else
                    {
                        if (i->Uniform)
                        {
                            throw Fault(PtxFaultKind.NonUniformBranch, w, i, mask, 0, $"the branch is marked as uniform, and of the lanes 0x{active:x8} only these take it");
                        }

                        Part(i->Target, mask, i->Reconvergence);
                    }

                    break;

                case InstructionKind.BranchIndexed:
                    BranchIndexed(i, mask);
                    break;

                case InstructionKind.Return:
                    w.Live &= ~mask;
                    active &= ~mask;
                    pc++;
                    break;

                case InstructionKind.Barrier:
                    if (mask == 0)
                    {
                        pc++;
                        break;
                    }

                    if (mask != w.Live)
                    {
                        if (StepBack())
                        {
                            executed--;
                            lanes -= BitOperations.PopCount(mask);
                            continue;
                        }

                        throw Fault(PtxFaultKind.DivergentBarrier, w, i, w.Live & ~mask, 0, $"only the lanes 0x{mask:x8} of the warp are at the barrier");
                    }

                    w.Rotations = 0;
                    w.Waiting = true;
                    Tally.Barriers++;
                    w.Pc = pc;
                    w.Active = active;
                    w.Reconvergence = reconvergence;
                    Leave();
                    return;

                default:
                    if (mask != 0)
                    {
                        throw Fault(PtxFaultKind.Trap, w, i, mask, 0, "trap");
                    }

                    pc++;
                    break;
            }
        }

        void Leave()
        {
            Tally.Instructions += executed - w.Executed;
            Tally.LaneInstructions += lanes;
            w.Executed = executed;
        }

        // The lanes part: those of the mask go to the target, the others on.
        void Part(int target, uint mask, int meeting)
        {
            Tally.DivergentBranches++;
            var rest = active & ~mask;
            // Lanes that return do so at once, as hardware lets them: a barrier does not wait for them.
            if (_program.LeadsToReturn[target])
            {
                w.Live &= ~mask;
                active = rest;
                pc++;
                return;
            }

            if (_program.LeadsToReturn[pc + 1])
            {
                w.Live &= ~rest;
                active = mask;
                pc = target;
                return;
            }

            Split(target, mask, meeting);
        }

        void Split(int target, uint mask, int meeting)
        {
            var rest = active & ~mask;
            // Where one side returns, the lanes meet where those around them do.
            if (meeting < 0)
            {
                meeting = reconvergence;
            }

            if (meeting != reconvergence)
            {
                w.Push(meeting, active, reconvergence);
                reconvergence = meeting;
            }

            if (target == meeting)
            {
                active = rest;
                pc++;
            }
            else if (pc + 1 == meeting)
            {
                active = mask;
                pc = target;
            }
            else
            {
                w.Push(target, mask, meeting);
                active = rest;
                pc++;
            }
        }

        void BranchIndexed(Instruction* i, uint mask)
        {
            var table = _program.BranchTables[i->Target];
            var index = w.Registers + i->A;
            var first = table.Length;
            for (var m = mask; m != 0; m &= m - 1)
            {
                var k = BitOperations.TrailingZeroCount(m);
                if ((uint)index[k] >= (uint)table.Length)
                {
                    throw Fault(PtxFaultKind.BranchIndex, w, i, 1u << k, 0, $"index {(uint)index[k]} of a table of {table.Length}");
                }

                first = (int)Math.Min((uint)first, (uint)index[k]);
            }

            if (mask == 0)
            {
                pc++;
                return;
            }

            // The lanes with the lowest index go, the others come back to this instruction.
            uint going = 0;
            for (var m = mask; m != 0; m &= m - 1)
            {
                var k = BitOperations.TrailingZeroCount(m);
                going |= table[(int)index[k]] == table[first] ? 1u << k : 0;
            }

            if (going == active)
            {
                pc = table[first];
                return;
            }

            if (i->Uniform)
            {
                throw Fault(PtxFaultKind.NonUniformBranch, w, i, going, 0, "the branch is marked as uniform, and the lanes differ in their index");
            }

            Tally.DivergentBranches++;
            var target = table[first];
            if (_program.LeadsToReturn[target])
            {
                w.Live &= ~going;
                active &= ~going;
                return;
            }

            var meeting = i->Reconvergence < 0 ? reconvergence : i->Reconvergence;
            if (meeting != reconvergence)
            {
                w.Push(meeting, active, reconvergence);
                reconvergence = meeting;
            }

            active &= ~going;
            if (target != meeting)
            {
                w.Push(target, going, meeting);
            }
        }

        // Lanes that must meet others here let those run first that stand beside them on the stack: they may be about to return.
        bool StepBack()
        {
            var siblings = 0;
            while (siblings < w.Depth && w.Stack[w.Depth - 1 - siblings] is var e && e.Reconvergence == reconvergence && e.Pc != reconvergence)
            {
                siblings++;
            }

            if (w.Rotations >= siblings)
            {
                return false;
            }

            w.Rotations++;
            var next = w.Stack[w.Depth - 1];
            for (var k = 1; k < siblings; k++)
            {
                w.Stack[w.Depth - k] = w.Stack[w.Depth - 1 - k];
            }

            w.Stack[w.Depth - siblings] = new() { Pc = pc, Mask = active, Reconvergence = reconvergence };
            pc = next.Pc;
            active = next.Mask & w.Live;
            return true;
        }
    }

    /// <summary>All warps wait or have returned: lets them pass, if they wait for the same.</summary>
    private void PassBarrier()
    {
        var first = Array.Find(_warps, w => w.Waiting)!;
        var at = _code + first.Pc;
        uint and = 1, or = 0, count = 0;
        foreach (var warp in _warps)
        {
            if (warp.Done ? _options.StrictBarriers : _options.StrictBarriers && warp.Live != warp.Present)
            {
                throw Fault(PtxFaultKind.DivergentBarrier, first, at, first.Active, 0, $"threads of warp {warp.Index} have returned and will never reach the barrier");
            }

            if (warp.Done)
            {
                continue;
            }

            var i = _code + warp.Pc;
            if (warp.Pc != first.Pc)
            {
                throw Fault(
                    PtxFaultKind.DivergentBarrier, warp, i, warp.Active, 0,
                    $"warp {first.Index} waits at another barrier: line {at->Line} \"{_program.Lines[at->Line - 1]}\"");
            }

            if (i->Reduction != BarrierReduction.None)
            {
                var p = (warp.Predicates[i->C] ^ i->Flip) & warp.Active;
                and &= p == warp.Active ? 1u : 0;
                or |= p != 0 ? 1u : 0;
                count += (uint)BitOperations.PopCount(p);
            }
        }

        foreach (var warp in _warps)
        {
            if (warp.Done)
            {
                continue;
            }

            if (at->Reduction == BarrierReduction.PopulationCount)
            {
                for (var m = warp.Active; m != 0; m &= m - 1)
                {
                    warp.Registers[at->D + BitOperations.TrailingZeroCount(m)] = count;
                }
            }
            else if (at->Reduction != BarrierReduction.None)
            {
                var all = (at->Reduction == BarrierReduction.And ? and : or) != 0 ? uint.MaxValue : 0;
                warp.Predicates[at->D] = (warp.Predicates[at->D] & ~warp.Active) | (all & warp.Active);
            }

            warp.Pc++;
            warp.Waiting = false;
        }

        NextEpoch();
    }
}
