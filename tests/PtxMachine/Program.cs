namespace EquiNorm.PtxMachine;

/// <summary>An entry ready to run: all calls inlined, all names resolved.</summary>
internal sealed class Program
{
    public required string Name { get; init; }

    public required Instruction[] Code { get; init; }

    /// <summary>The instruction returns, or jumps to one that does.</summary>
    public required bool[] LeadsToReturn { get; init; }

    public required int[][] BranchTables { get; init; }

    /// <summary>Slots of registers; constants and special registers come after them.</summary>
    public required int Registers { get; init; }

    public required int Slots { get; init; }

    public required List<(ulong Value, int Slot)> Constants { get; init; }

    public required List<(string Name, int Slot)> Specials { get; init; }

    /// <summary>Predicates 0 and 1 are the constants true and false.</summary>
    public required int Predicates { get; init; }

    public required int ParameterBytes { get; init; }

    public required int SharedBytes { get; init; }

    public required bool UsesDynamicShared { get; init; }

    public required int LocalBytes { get; init; }

    public required int MaxThreads { get; init; }

    /// <summary>Logarithm of the smallest access to global memory: no two accesses overlap without sharing a granule of that size.</summary>
    public required int GlobalGranule { get; init; }

    public required int SharedGranule { get; init; }

    public required bool HasGlobalAtomics { get; init; }

    public required string[] Lines { get; init; }
}
