// The vectors that go with the sums over a tile: one or two pairs (factor, sums) in each direction, in one read. The
// second pair serves passes that weigh the same energies in two ways.

using System.Runtime.CompilerServices;

namespace EquiNorm.Backends.Cpu;

/// <summary>Factors and sums of a tile; every pointer addresses the tile's first row or column. A pair is used if its sums are not null.</summary>
internal unsafe struct TileSums
{
    /// <summary>[inner], read.</summary>
    public double* InnerFactor;

    /// <summary>[outer], overwritten.</summary>
    public double* OuterSums;

    public double* InnerFactor2;

    public double* OuterSums2;

    /// <summary>[outer], read.</summary>
    public double* OuterFactor;

    /// <summary>[inner], added to.</summary>
    public double* InnerSums;

    public double* OuterFactor2;

    public double* InnerSums2;

    /// <summary>Whether every sum is the largest of its terms instead.</summary>
    public bool TakesLargest;

    /// <summary>Whether the first pair's factors are all 1, and there is no second pair.</summary>
    public bool IsUnit;

    public readonly int Dots => OuterSums is null ? 0 : OuterSums2 is null ? 1 : 2;

    public readonly int Axpys => InnerSums is null ? 0 : InnerSums2 is null ? 1 : 2;

    /// <summary>The same sums, for the tile that begins <paramref name="rows"/> and <paramref name="columns"/> further on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly TileSums Offset(int rows, int columns) => new()
    {
        InnerFactor = Move(InnerFactor, columns),
        OuterSums = Move(OuterSums, rows),
        InnerFactor2 = Move(InnerFactor2, columns),
        OuterSums2 = Move(OuterSums2, rows),
        OuterFactor = Move(OuterFactor, rows),
        InnerSums = Move(InnerSums, columns),
        OuterFactor2 = Move(OuterFactor2, rows),
        InnerSums2 = Move(InnerSums2, columns),
        TakesLargest = TakesLargest,
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static double* Move(double* vector, int count) => vector is null ? null : vector + count;
}
