// Sums at p = infinity over a tile of energies E[r, j], stored or in the first-level cache:
//   outerSums[r] = max(outerSums[r], max_j E[r, j] innerFactor[j])      innerSums[j] = max(innerSums[j], max_r E[r, j] outerFactor[r])
// each for none, one or two pairs of factors. The largest does not depend on the order: the same bits however a tile is cut. An
// infinite energy times the factor 0 of a channel of another segment is NaN, which counts for nothing.

using System.Runtime.CompilerServices;

namespace EquiNorm.Backends.Cpu;

internal unsafe struct LargestKernel : ILaneKernel
{
    public EnergyTile Tile;
    public TileSums Sums;

    public readonly void Run<TLanes, TVector>()
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        for (var j = 0; j < Tile.Inner; j += SumKernels.ChunkColumns)
        {
            var columns = Math.Min(SumKernels.ChunkColumns, Tile.Inner - j);
            for (var r = 0; r < Tile.Outer; r++)
            {
                var energies = Tile.Data + (r * Tile.Stride) + j;
                var sums = Sums.Offset(r, j);
                if (sums.OuterSums is not null)
                {
                    Row<TLanes, TVector>(energies, columns, sums.InnerFactor, sums.OuterSums);
                }

                if (sums.OuterSums2 is not null)
                {
                    Row<TLanes, TVector>(energies, columns, sums.InnerFactor2, sums.OuterSums2);
                }

                if (sums.InnerSums is not null)
                {
                    Column<TLanes, TVector>(energies, columns, *sums.OuterFactor, sums.InnerSums);
                }

                if (sums.InnerSums2 is not null)
                {
                    Column<TLanes, TVector>(energies, columns, *sums.OuterFactor2, sums.InnerSums2);
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Row<TLanes, TVector>(double* energies, int columns, double* factors, double* result)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector largest = TLanes.Create(0), second = largest;
        var j = 0;
        for (; j <= columns - (2 * TLanes.Count); j += 2 * TLanes.Count)
        {
            largest = Larger<TLanes, TVector>(energies + j, factors + j, largest);
            second = Larger<TLanes, TVector>(energies + j + TLanes.Count, factors + j + TLanes.Count, second);
        }

        for (; j <= columns - TLanes.Count; j += TLanes.Count)
        {
            largest = Larger<TLanes, TVector>(energies + j, factors + j, largest);
        }

        var total = LanesScalar.Max(*result, TLanes.MaxLane(TLanes.Max(largest, second)));
        for (; j < columns; j++)
        {
            total = LanesScalar.Max(energies[j] * factors[j], total);
        }

        *result = total;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Column<TLanes, TVector>(double* energies, int columns, double factor, double* results)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        var factors = TLanes.Create(factor);
        var j = 0;
        for (; j <= columns - TLanes.Count; j += TLanes.Count)
        {
            var product = TLanes.Multiply(TLanes.LoadFloat64((byte*)(energies + j)), factors);
            TLanes.StoreFloat64((byte*)(results + j), TLanes.Max(product, TLanes.LoadFloat64((byte*)(results + j))));
        }

        for (; j < columns; j++)
        {
            results[j] = LanesScalar.Max(energies[j] * factor, results[j]);
        }
    }

    // The product first: of a NaN and a number the second operand is taken.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Larger<TLanes, TVector>(double* energies, double* factors, TVector largest)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.Max(TLanes.Multiply(TLanes.LoadFloat64((byte*)energies), TLanes.LoadFloat64((byte*)factors)), largest);
}
