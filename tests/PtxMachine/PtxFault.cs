using System.Globalization;
using System.Text;

namespace EquiNorm.PtxMachine;

/// <summary>What a kernel did wrong.</summary>
public enum PtxFaultKind
{
    /// <summary>An access outside every allocation, or across the end of one.</summary>
    OutOfBounds,

    /// <summary>An address that is no multiple of the size of the access.</summary>
    Misaligned,

    /// <summary>A read of global, shared or local memory that nobody has written.</summary>
    Uninitialized,

    /// <summary>An access to an allocation that has been freed.</summary>
    UseAfterFree,

    /// <summary>Two threads of a group touch a byte of shared memory, one of them writes, and no barrier lies between.</summary>
    SharedRace,

    /// <summary>Two groups of a launch touch a byte of global memory, one of them writes, and nothing orders them.</summary>
    GlobalRace,

    /// <summary>A barrier that not all threads reach together.</summary>
    DivergentBarrier,

    /// <summary>A shuffle, vote or reduction whose mask names lanes that do not take part.</summary>
    DivergentShuffle,

    /// <summary>A shuffle that reads from a lane that is not there.</summary>
    InactiveSourceLane,

    /// <summary>A branch marked as uniform whose condition differs between the lanes.</summary>
    NonUniformBranch,

    /// <summary>The index of an indexed branch is outside its table.</summary>
    BranchIndex,

    /// <summary>A warp executed more instructions than the device allows.</summary>
    InstructionLimit,

    /// <summary>The kernel executed trap.</summary>
    Trap,
}

/// <summary>A kernel did what it must not do.</summary>
public sealed class PtxFaultException : Exception
{
    internal PtxFaultException(
        PtxFaultKind kind, string kernel, int line, string text, int group, int warp, uint lanes, ulong address, string detail)
        : base(Format(kind, kernel, line, text, group, warp, lanes, detail))
    {
        Kind = kind;
        Kernel = kernel;
        Line = line;
        Text = text;
        Group = group;
        Warp = warp;
        Lanes = lanes;
        Address = address;
        Detail = detail;
    }

    /// <summary>What happened.</summary>
    public PtxFaultKind Kind { get; }

    /// <summary>The name of the entry.</summary>
    public string Kernel { get; }

    /// <summary>The line in the PTX text, from 1.</summary>
    public int Line { get; }

    /// <summary>That line.</summary>
    public string Text { get; }

    /// <summary>The index of the group.</summary>
    public int Group { get; }

    /// <summary>The index of the warp within its group.</summary>
    public int Warp { get; }

    /// <summary>The lanes at fault, lane 0 in the lowest bit.</summary>
    public uint Lanes { get; }

    /// <summary>The address of the first lane at fault, 0 where no memory is involved.</summary>
    public ulong Address { get; }

    /// <summary>What exactly is wrong, in words.</summary>
    public string Detail { get; }

    private static string Format(
        PtxFaultKind kind, string kernel, int line, string text, int group, int warp, uint lanes, string detail) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"{kind} in {kernel}, line {line} \"{text}\", group {group}, warp {warp}, lanes {Ranges(lanes)}: {detail}");

    private static string Ranges(uint lanes)
    {
        var text = new StringBuilder();
        for (var lane = 0; lane < 32; lane++)
        {
            if ((lanes >> lane & 1) == 0)
            {
                continue;
            }

            var last = lane;
            while (last < 31 && (lanes >> (last + 1) & 1) != 0)
            {
                last++;
            }

            text.Append(text.Length > 0 ? "," : "").Append(CultureInfo.InvariantCulture, $"{lane}");
            if (last > lane)
            {
                text.Append(CultureInfo.InvariantCulture, $"-{last}");
            }

            lane = last;
        }

        return text.Length > 0 ? text.ToString() : "none";
    }
}

/// <summary>The text is not PTX that the machine knows: an unknown instruction, an undeclared name, a malformed statement.</summary>
public sealed class PtxParseException : Exception
{
    internal PtxParseException(int line, string message)
        : base(string.Create(CultureInfo.InvariantCulture, $"line {line}: {message}")) => Line = line;

    /// <summary>The line in the PTX text, from 1.</summary>
    public int Line { get; }
}
