// Energies of a tile: destination[o * stride + i] = |s_o|^p |s_i|^p sum_k |w[o, i, k] 2^e|^p, float64.
// The optional scales per row and per column (already raised to p) fold a normalisation layer into the weight in front of it.

using System.Runtime.CompilerServices;

namespace EquiNorm.Backends.Cpu;

internal static unsafe class EnergyKernels
{
    // 512 columns of float64 are 4 KB: several such rows stay in a 32 KB first-level cache while Planes adds to them.
    internal const int ChunkColumns = 512;

    /// <summary>
    /// Writes the energies of all rows and columns of a tile. The scales, where not null, hold one factor >= 0 per row
    /// or column of the tile; <paramref name="destinationStride"/> counts float64 elements between rows.
    /// </summary>
    public static void Compute(
        in MatrixView tile, in PowerLaw law, double* outerScale, double* innerScale,
        double* destination, long destinationStride, VectorWidth width)
    {
        if (tile.Outer == 0 || tile.Inner == 0)
        {
            return;
        }

        var kernel = new Kernel
        {
            Tile = Collapse(tile, outerScale, innerScale, destinationStride),
            Law = law,
            OuterScale = outerScale,
            InnerScale = innerScale,
            Destination = destination,
            Stride = destinationStride,
        };
        KernelDispatch.Run(ref kernel, width, tile.Type);
    }

    // Short rows that follow each other without gaps, in the weight and in the destination, are one long row: the three
    // channels of a first layer would otherwise never fill a vector.
    private static MatrixView Collapse(in MatrixView tile, double* outerScale, double* innerScale, long destinationStride)
    {
        long columns = (long)tile.Outer * tile.Inner;
        bool dense = tile.Layout == MatrixLayout.ContiguousRow
            && tile.OuterStride == (long)tile.Inner * tile.Kernel
            && destinationStride == tile.Inner
            && outerScale is null && innerScale is null
            && columns <= int.MaxValue;
        return dense
            ? new(tile.Data, tile.Type, 1, (int)columns, tile.Kernel, 0, tile.Kernel, 1)
            : tile;
    }

    private struct Kernel : IElementKernel
    {
        public MatrixView Tile;
        public PowerLaw Law;
        public double* OuterScale;
        public double* InnerScale;
        public double* Destination;
        public long Stride;

        public void Run<TLanes, TVector, TElement>()
            where TLanes : struct, ILanes<TVector>
            where TVector : unmanaged
            where TElement : struct, IElement
        {
            switch (Law.KindFor(Tile.Type))
            {
                case PowerKind.Absolute:
                    Rows<TLanes, TVector, TElement, AbsolutePower>(default);
                    break;
                case PowerKind.Square:
                    Rows<TLanes, TVector, TElement, SquarePower>(default);
                    break;
                case PowerKind.HalfInteger:
                    Rows<TLanes, TVector, TElement, HalfIntegerPower>(new(Law));
                    break;
                case PowerKind.Largest:
                    Rows<TLanes, TVector, TElement, LargestPower>(new(Law));
                    break;
                default:
                    Rows<TLanes, TVector, TElement, GeneralPower>(new(Law));
                    break;
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Rows<TLanes, TVector, TElement, TPower>(TPower power)
            where TLanes : struct, ILanes<TVector>
            where TVector : unmanaged
            where TElement : struct, IElement
            where TPower : struct, IPower
        {
            MatrixLayout layout = Tile.Layout;
            for (int o = 0; o < Tile.Outer; o++)
            {
                byte* row = Tile.Data + (o * Tile.OuterStride * TElement.Bytes);
                double* energies = Destination + (o * Stride);
                if (Tile.Kernel == 0)
                {
                    new Span<double>(energies, Tile.Inner).Clear();
                }
                else if (layout == MatrixLayout.ContiguousRow && Tile.Kernel > 1)
                {
                    EnergyRows<TLanes, TVector, TElement, TPower>.KernelRuns(row, Tile.Inner, Tile.Kernel, energies, power);
                }
                else if (layout != MatrixLayout.Strided)
                {
                    for (int i = 0; i < Tile.Inner; i += ChunkColumns)
                    {
                        EnergyRows<TLanes, TVector, TElement, TPower>.Planes(
                            row + ((long)i * TElement.Bytes), Math.Min(ChunkColumns, Tile.Inner - i),
                            Tile.Kernel, Tile.KernelStride, energies + i, power);
                    }
                }
                else
                {
                    EnergyRows<TLanes, TVector, TElement, TPower>.Strided(
                        row, Tile.Inner, Tile.Kernel, Tile.InnerStride, Tile.KernelStride, energies, power);
                }

                if (OuterScale is not null || InnerScale is not null)
                {
                    Scale<TLanes, TVector>(energies, Tile.Inner, OuterScale is null ? 1 : OuterScale[o], InnerScale);
                    if (TPower.Kind == PowerKind.Largest)
                    {
                        KeepInfinite(energies, Tile.Inner);
                    }
                }
            }
        }
    }

    // A scale of zero makes NaN of what is infinite, and comparisons lose a NaN.
    private static void KeepInfinite(double* energies, int count)
    {
        for (int i = 0; i < count; i++)
        {
            energies[i] = double.IsNaN(energies[i]) ? double.PositiveInfinity : energies[i];
        }
    }

    // Scaling by a factor that is not zero must not turn a living channel into a dead one either.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Scale<TLanes, TVector>(double* energies, int count, double outer, double* inner)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        int i = 0;
        for (; i <= count - TLanes.Count; i += TLanes.Count)
        {
            TVector factor = inner is null ? TLanes.Create(1) : TLanes.LoadFloat64((byte*)(inner + i));
            ScaleOne<TLanes, TVector>(energies + i, outer, factor);
        }

        for (; i < count; i++)
        {
            ScaleOne<LanesScalar, double>(energies + i, outer, inner is null ? 1 : inner[i]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void ScaleOne<TLanes, TVector>(double* energies, double outer, TVector inner)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector zero = TLanes.Create(0);
        TVector row = TLanes.Create(outer);
        TVector energy = TLanes.LoadFloat64((byte*)energies);
        TVector scaled = TLanes.Multiply(TLanes.Multiply(energy, row), inner);
        TVector alive = TLanes.And(
            TLanes.NotEqual(energy, zero), TLanes.And(TLanes.NotEqual(row, zero), TLanes.NotEqual(inner, zero)));

        // A scale of zero must not hide what is not finite: infinity times zero is NaN, and NaN stays.
        alive = TLanes.Or(alive, TLanes.NotEqual(TLanes.Subtract(energy, energy), zero));
        scaled = TLanes.And(TLanes.Max(TLanes.Create(Clamp.SmallestNormal), scaled), alive);
        TLanes.StoreFloat64((byte*)energies, scaled);
    }
}
