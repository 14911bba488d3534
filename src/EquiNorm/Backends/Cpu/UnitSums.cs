// Both sums of a tile whose factors are all 1, as at the beginning of every step: sum of energies of each row, and of each column.
// Without factors an element costs two fused additions instead of a square and two products, and kernel positions are columns of their
// own until the end, so that a convolution is read like a dense layer instead of nine elements at a time. Energies never leave registers.

using System.Runtime.CompilerServices;

namespace EquiNorm.Backends.Cpu;

/// <summary>Adds the energies of a tile to its row and column sums.</summary>
internal unsafe struct UnitSums : IElementKernel
{
    // Columns per pass: 16 KB of column sums stay in the first-level cache while all rows of the tile pass by.
    private const int ChunkColumns = 2048;

    public MatrixView Tile;
    public PowerKind Kind;
    public double* OuterSums;
    public double* InnerSums;

    /// <summary>Whether <see cref="Run(in MatrixView, in PowerLaw, double*, double*, VectorWidth)"/> can do it.</summary>
    public static bool CanRun(in MatrixView tile, in PowerLaw law) =>
        law.KindFor(tile.Type) is PowerKind.Absolute or PowerKind.Square
        && (tile.Layout == MatrixLayout.ContiguousRow ? tile.Kernel <= ChunkColumns : tile.Layout == MatrixLayout.ContiguousInner);

    /// <summary>outerSums[r] += sum of row r, innerSums[j] += sum of column j.</summary>
    public static void Run(in MatrixView tile, in PowerLaw law, double* outerSums, double* innerSums, VectorWidth width)
    {
        if (tile.IsEmpty)
        {
            return;
        }

        var kernel = new UnitSums { Tile = tile, Kind = law.KindFor(tile.Type), OuterSums = outerSums, InnerSums = innerSums };
        KernelDispatch.Run(ref kernel, width, tile.Type);
    }

    public readonly void Run<TLanes, TVector, TElement>()
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TElement : struct, IElement
    {
        if (Kind == PowerKind.Square)
        {
            Planes<TLanes, TVector, TElement, SquarePower>();
        }
        else
        {
            Planes<TLanes, TVector, TElement, AbsolutePower>();
        }
    }

    private readonly void Planes<TLanes, TVector, TElement, TPower>()
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TElement : struct, IElement
        where TPower : struct, IPower
    {
        if (Tile.Kernel > 1 && Tile.Layout == MatrixLayout.ContiguousRow)
        {
            Expanded<TLanes, TVector, TElement, TPower>();
            return;
        }

        var chunks = (Tile.Inner + ChunkColumns - 1) / ChunkColumns;
        var columns = ((Tile.Inner + chunks - 1) / chunks + 31) / 32 * 32;
        for (var k = 0; k < Tile.Kernel; k++)
        {
            for (var j = 0; j < Tile.Inner; j += columns)
            {
                UnitLoops<TLanes, TVector, TElement, TPower>.Run(
                    Tile.At(0, j, k), Tile.RowBytes, Tile.Outer, Math.Min(columns, Tile.Inner - j), OuterSums, InnerSums + j);
            }
        }
    }

    // Every kernel position has a sum of its own, which are added up once for the tile.
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Expanded<TLanes, TVector, TElement, TPower>()
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TElement : struct, IElement
        where TPower : struct, IPower
    {
        byte* stack = stackalloc byte[(ChunkColumns * sizeof(double)) + CacheLine.Bytes];
        var expanded = (double*)CacheLine.Align(stack);
        var kernel = Tile.Kernel;
        var channels = ChunkColumns / kernel;

        // Chunks of equal size: a short last one would be mostly the beginning and end of rows.
        var chunks = (Tile.Inner + channels - 1) / channels;
        channels = (Tile.Inner + chunks - 1) / chunks;
        for (var i = 0; i < Tile.Inner; i += channels)
        {
            var count = Math.Min(channels, Tile.Inner - i);
            new Span<double>(expanded, count * kernel).Clear();
            UnitLoops<TLanes, TVector, TElement, TPower>.Run(
                Tile.At(0, i, 0), Tile.RowBytes, Tile.Outer, count * kernel, OuterSums, expanded);
            for (var c = 0; c < count; c++)
            {
                double sum = 0;
                for (var k = 0; k < kernel; k++)
                {
                    sum += expanded[(c * kernel) + k];
                }

                InnerSums[i + c] += sum;
            }
        }
    }
}

internal static unsafe class UnitLoops<TLanes, TVector, TElement, TPower>
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
    where TElement : struct, IElement
    where TPower : struct, IPower
{
    /// <summary>Contiguous columns of rows that are <paramref name="rowBytes"/> apart.</summary>
    /// <remarks>
    /// One row after the other: memory is read as it lies. Eight rows at once save loads and stores of column sums and are as fast from
    /// the second-level cache, but eight streams at a time come slower from the third (15x500, one thread: 1.9 ms against 1.4 ms).
    /// </remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(byte* data, long rowBytes, int rows, int columns, double* outer, double* inner)
    {
        var ahead = Prefetch.Ahead(rowBytes, (long)columns * TElement.Bytes, rows);
        for (var row = 0; row < rows; row++, data += rowBytes)
        {
            outer[row] += Row(data, columns, inner, ahead);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static double Row(byte* row, int columns, double* inner, long ahead)
    {
        TVector s0 = TLanes.Create(0), s1 = s0, s2 = s0, s3 = s0;
        var step = TLanes.Count * TElement.Bytes;
        var end = row + ((long)columns * TElement.Bytes);
        for (; row <= end - (4 * step); row += 4 * step, inner += 4 * TLanes.Count)
        {
            Prefetch.Line(row + ahead);
            Prefetch.Line(row + ahead + (2 * step));
            AddTo(ref s0, row, inner);
            AddTo(ref s1, row + step, inner + TLanes.Count);
            AddTo(ref s2, row + (2 * step), inner + (2 * TLanes.Count));
            AddTo(ref s3, row + (3 * step), inner + (3 * TLanes.Count));
        }

        for (; row <= end - step; row += step, inner += TLanes.Count)
        {
            AddTo(ref s0, row, inner);
        }

        var total = TLanes.Sum(TLanes.Add(TLanes.Add(s0, s1), TLanes.Add(s2, s3)));
        for (; row < end; row += TElement.Bytes, inner++)
        {
            double element = TElement.Load<LanesScalar, double>(row);
            total = default(TPower).AddEnergy<LanesScalar, double>(total, element);
            *inner = default(TPower).AddEnergy<LanesScalar, double>(*inner, element);
        }

        return total;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddTo(ref TVector sum, byte* source, double* column)
    {
        TVector element = TElement.Load<TLanes, TVector>(source);
        sum = Add(sum, element);
        TLanes.StoreFloat64((byte*)column, Add(TLanes.LoadFloat64((byte*)column), element));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Add(TVector sum, TVector element) => default(TPower).AddEnergy<TLanes, TVector>(sum, element);
}
