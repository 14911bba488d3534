// Row and column sums over a tile of energies, from stored energies or straight from the weight:
//   outerSums[r] = sum_j E[r, j] innerFactor[j]   (overwritten)      innerSums[j] += sum_r E[r, j] outerFactor[r]
// At p = infinity the largest product takes the place of each sum. Accumulate reads only; Materialise also stores the energies, in the same read of the weight. For a fixed shape, source
// and vector width the order of all additions is fixed: the same bits on every run. NaN and infinity reach the sums.

using System.Runtime.CompilerServices;
using EquiNorm.Model;

namespace EquiNorm.Backends.Cpu;

/// <summary>Stored energies [outer, inner], float64; the stride counts elements.</summary>
internal readonly unsafe record struct EnergyTile(nint Address, int Outer, int Inner, long Stride)
{
    // Not public: a record would print it, and the native compiler does not take ToString of a pointer.
    internal double* Data => (double*)Address;
}

internal static unsafe class SumKernels
{
    // Columns per pass over stored or register-only energies: two factor and two sum vectors of 2048 columns are 64 KB.
    internal const int ChunkColumns = 2048;

    /// <summary>Sums over stored energies.</summary>
    public static void Accumulate(in EnergyTile tile, in TileSums sums, VectorWidth width)
    {
        ClearOuter(sums, tile.Outer);
        Run(tile, sums, width);
    }

    /// <summary>Sums over the energies of a weight that are not kept; scales as in <see cref="EnergyKernels.Compute"/>.</summary>
    [SkipLocalsInit]
    public static void Accumulate(
        in MatrixView tile, in PowerLaw law, double* outerScale, double* innerScale, in TileSums sums, VectorWidth width)
    {
        ClearOuter(sums, tile.Outer);
        if (sums.IsUnit && outerScale is null && innerScale is null && UnitSums.CanRun(tile, law))
        {
            UnitSums.Run(tile, law, sums.OuterSums, sums.InnerSums, width);
            return;
        }

        if (outerScale is null && innerScale is null && IsRegisterOnly(tile, law, sums, out PowerKind kind))
        {
            var kernel = new DirectKernel { Tile = tile, Kind = kind, Sums = sums };
            KernelDispatch.Run(ref kernel, width);
            return;
        }

        // Four rows of 512 energies are 16 KB: they never leave the first-level cache.
        const int rows = 4;
        byte* stack = stackalloc byte[(rows * EnergyKernels.ChunkColumns * sizeof(double)) + CacheLine.Bytes];
        Blocks(tile, law, outerScale, innerScale, (double*)CacheLine.Align(stack), null, 0, sums, width);
    }

    /// <summary>Stores the energies of a weight and sums over them: the first pass of a solve.</summary>
    public static void Materialise(
        in MatrixView tile, in PowerLaw law, double* outerScale, double* innerScale,
        double* destination, long destinationStride, in TileSums sums, VectorWidth width)
    {
        ClearOuter(sums, tile.Outer);
        Blocks(tile, law, outerScale, innerScale, null, destination, destinationStride, sums, width);
    }

    // Energies of four rows by 512 columns, then the sums over that block while it is in the first-level cache.
    private static void Blocks(
        in MatrixView tile, in PowerLaw law, double* outerScale, double* innerScale,
        double* buffer, double* destination, long destinationStride, in TileSums sums, VectorWidth width)
    {
        const int rows = 4;
        for (int j = 0; j < tile.Inner; j += EnergyKernels.ChunkColumns)
        {
            int columns = Math.Min(EnergyKernels.ChunkColumns, tile.Inner - j);
            for (int r = 0; r < tile.Outer; r += rows)
            {
                int count = Math.Min(rows, tile.Outer - r);
                double* block = buffer is not null ? buffer : destination + (r * destinationStride) + j;
                long stride = buffer is not null ? columns : destinationStride;
                EnergyKernels.Compute(
                    tile.Slice(r, count, j, columns), law,
                    outerScale is null ? null : outerScale + r, innerScale is null ? null : innerScale + j,
                    block, stride, width);
                Run(new((nint)block, count, columns, stride), sums.Offset(r, j), width);
            }
        }
    }

    private static void Run(in EnergyTile tile, in TileSums sums, VectorWidth width)
    {
        if (sums.TakesLargest)
        {
            var largest = new LargestKernel { Tile = tile, Sums = sums };
            KernelDispatch.Run(ref largest, width);
            return;
        }

        var kernel = new StoredKernel { Tile = tile, Sums = sums };
        KernelDispatch.Run(ref kernel, width);
    }

    private static bool IsRegisterOnly(in MatrixView tile, in PowerLaw law, in TileSums sums, out PowerKind kind)
    {
        kind = law.KindFor(tile.Type);
        return tile.Type == ElementType.Float32 && tile.Kernel == 1 && tile.Layout != MatrixLayout.Strided
            && kind is PowerKind.Absolute or PowerKind.Square
            && sums.Dots + sums.Axpys <= 2;
    }

    private static void ClearOuter(in TileSums sums, int outer)
    {
        if (sums.OuterSums is not null)
        {
            new Span<double>(sums.OuterSums, outer).Clear();
        }

        if (sums.OuterSums2 is not null)
        {
            new Span<double>(sums.OuterSums2, outer).Clear();
        }
    }
}
