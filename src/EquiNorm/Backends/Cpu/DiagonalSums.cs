using System.Runtime.CompilerServices;

namespace EquiNorm.Backends.Cpu;

/// <summary>
/// Sums of a diagonal weight (depthwise convolution, normalisation gain): one energy per channel, so both sums are products,
/// R[c] = E[c] y[c] and C[c] = E[c] x[c]. Energies are always stored.
/// </summary>
internal static unsafe class DiagonalSums
{
    public static void Run(in SumWork work, in Tile tile, VectorWidth width)
    {
        var weight = work.Weight;
        if (work.Source == EnergySource.WeightAndStore)
        {
            var view = weight.Blocks.View(weight.Memory.Address, 0).Slice(tile.Outer, tile.OuterCount, 0, 1);
            var scale = weight.Scale is null ? null : weight.Scale + tile.Outer;
            EnergyKernels.Compute(view, weight.Law, scale, null, weight.Energies + tile.Outer, 1, width);
        }

        Multiply(weight, work.First, work.Start, tile);
        Multiply(weight, work.Second, work.Start, tile);
        Multiply(weight, work.Opposite, work.Start, tile);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Multiply(CpuWeight weight, SumVectors vectors, int start, in Tile tile)
    {
        if (vectors.Sums == 0)
        {
            return;
        }

        for (var c = tile.Outer; c < tile.Outer + tile.OuterCount; c++)
        {
            vectors.SumsAt[c] = weight.Energies[c] * vectors.FactorsAt[c - start];
        }
    }
}
