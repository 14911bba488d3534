using System.Runtime.InteropServices;

namespace EquiNorm.PtxMachine;

/// <summary>Lanes that wait: for their turn (Pc is where they go on) or for others (Pc is where all meet).</summary>
internal struct StackEntry
{
    public int Pc;
    public uint Mask;
    public int Reconvergence;
}

/// <summary>Registers and control flow of 32 lanes.</summary>
internal sealed unsafe class Warp : IDisposable
{
    public readonly ulong* Registers;
    public readonly uint* Predicates;
    public readonly byte* Local;

    /// <summary>Local memory that has been written, a byte for a byte.</summary>
    public readonly byte* LocalValid;

    public readonly GroupRunner Runner;
    public readonly int Index;

    /// <summary>Lanes that the size of the group gives this warp.</summary>
    public readonly uint Present;

    public byte* Parameters;
    public StackEntry[] Stack = new StackEntry[16];
    public int Depth;
    public int Pc;
    public uint Active;
    public int Reconvergence;
    public uint Live;

    /// <summary>Times that lanes have stepped back before a barrier or shuffle for others of their warp.</summary>
    public int Rotations;

    public bool Waiting;
    public bool Done;

    /// <summary>Counts the synchronisations of this warp.</summary>
    public int Epoch;

    public long Executed;

    public Warp(GroupRunner runner, int index, uint present, int slots, int predicates, int localBytes)
    {
        Runner = runner;
        Index = index;
        Present = present;
        Registers = (ulong*)NativeMemory.AlignedAlloc((nuint)slots * 32 * 8 + 8, 64);
        NativeMemory.Clear(Registers, (nuint)slots * 32 * 8);
        Predicates = (uint*)NativeMemory.AllocZeroed((nuint)predicates + 1, 4);
        Local = (byte*)NativeMemory.AllocZeroed((nuint)localBytes * 32 + 1);
        LocalValid = (byte*)NativeMemory.AllocZeroed((nuint)localBytes * 32 + 1);
    }

    public void Push(int pc, uint mask, int reconvergence)
    {
        if (Depth == Stack.Length)
        {
            Array.Resize(ref Stack, 2 * Depth);
        }

        Stack[Depth++] = new() { Pc = pc, Mask = mask, Reconvergence = reconvergence };
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(Registers);
        NativeMemory.Free(Predicates);
        NativeMemory.Free(Local);
        NativeMemory.Free(LocalValid);
    }
}
