namespace EquiNorm.PtxMachine;

/// <summary>How the interpreter treats an instruction: everything but control flow is <see cref="Lanes"/>.</summary>
internal enum InstructionKind : byte
{
    Lanes,
    Branch,
    BranchIndexed,
    Return,
    Barrier,
    Trap,
}

internal enum BarrierReduction : byte
{
    None,
    And,
    Or,
    PopulationCount,
}

/// <summary>
/// A decoded instruction. Registers and constants are named by the index of their first lane (slot * 32), predicates by their own index.
/// </summary>
internal unsafe struct Instruction
{
    public delegate*<Warp, Instruction*, uint, void> Execute;
    public InstructionKind Kind;
    public BarrierReduction Reduction;

    /// <summary>Of bra.uni and brx.idx.uni: lanes must agree.</summary>
    public bool Uniform;

    /// <summary>shfl with c = 0 .. 31 and so on: what an instruction needs beyond its operands.</summary>
    public byte Mode;

    /// <summary>The source operand is a negated predicate.</summary>
    public uint Flip;

    /// <summary>The predicate that guards; index 0 is always true.</summary>
    public int Guard;

    /// <summary>All ones where the guard is negated.</summary>
    public uint GuardFlip;

    public int D;
    public int D1;
    public int D2;
    public int D3;
    public int A;
    public int B;
    public int C;
    public int E;

    /// <summary>Of a branch: where the taken lanes go. Of an indexed branch: the index of its table.</summary>
    public int Target;

    /// <summary>The immediate post-dominator of a branch, -1 where the lanes meet only at the end.</summary>
    public int Reconvergence;

    /// <summary>Offset of an address, table of lop3.</summary>
    public long Immediate;

    /// <summary>Bytes of an access for one lane.</summary>
    public int Bytes;

    public int Line;
}
