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

        for (var k = 0; k < Tile.Kernel; k++)
        {
            for (var j = 0; j < Tile.Inner; j += ChunkColumns)
            {
                UnitLoops<TLanes, TVector, TElement, TPower>.Run(
                    Tile.At(0, j, k), Tile.RowBytes, Tile.Outer, Math.Min(ChunkColumns, Tile.Inner - j), OuterSums, InnerSums + j);
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
    // A column sum is loaded and stored once for so many rows; their own sums fill half the registers of AVX2.
    public const int Rows = 8;

    /// <summary>Contiguous columns of rows that are <paramref name="rowBytes"/> apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(byte* data, long rowBytes, int rows, int columns, double* outer, double* inner)
    {
        // The last, partial vector is loaded so that it ends with the row; lanes that were summed already are masked away.
        var vectors = columns / TLanes.Count;
        var rest = columns % TLanes.Count;
        long* lanes = stackalloc long[TLanes.Count];
        for (var lane = 0; lane < TLanes.Count; lane++)
        {
            lanes[lane] = lane >= TLanes.Count - rest ? -1 : 0;
        }

        TVector mask = TLanes.LoadFloat64((byte*)lanes);
        var last = columns - TLanes.Count;
        var row = 0;
        for (; row <= rows - Rows && vectors > 0; row += Rows, data += Rows * rowBytes)
        {
            EightRows(data, rowBytes, vectors, rest > 0 ? last : -1, mask, outer + row, inner);
        }

        for (; row < rows; row++, data += rowBytes)
        {
            outer[row] += OneRow(data, columns, inner);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void EightRows(byte* data, long rowBytes, int vectors, int last, TVector mask, double* outer, double* inner)
    {
        TVector s0 = TLanes.Create(0), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
        long twoRows = 2 * rowBytes, threeRows = 3 * rowBytes, ahead = Rows * rowBytes;
        long step = (long)TLanes.Count * TElement.Bytes;
        byte* near = data;
        byte* far = data + (4 * rowBytes);
        double* sums = inner;
        for (var n = 0; n < vectors; n++, near += step, far += step, sums += TLanes.Count)
        {
            // The next eight rows, a cache line at a time: the hardware begins anew at each row.
            if ((n * step & (CacheLine.Bytes - 1)) == 0)
            {
                Prefetch.Line(near + ahead);
                Prefetch.Line(near + ahead + rowBytes);
                Prefetch.Line(near + ahead + twoRows);
                Prefetch.Line(near + ahead + threeRows);
                Prefetch.Line(far + ahead);
                Prefetch.Line(far + ahead + rowBytes);
                Prefetch.Line(far + ahead + twoRows);
                Prefetch.Line(far + ahead + threeRows);
            }

            TVector e0 = TElement.Load<TLanes, TVector>(near);
            TVector e1 = TElement.Load<TLanes, TVector>(near + rowBytes);
            TVector e2 = TElement.Load<TLanes, TVector>(near + twoRows);
            TVector e3 = TElement.Load<TLanes, TVector>(near + threeRows);
            TVector even = TLanes.LoadFloat64((byte*)sums);
            s0 = Add(s0, e0);
            s1 = Add(s1, e1);
            s2 = Add(s2, e2);
            s3 = Add(s3, e3);
            even = Add(Add(Add(Add(even, e0), e1), e2), e3);
            TVector e4 = TElement.Load<TLanes, TVector>(far);
            TVector e5 = TElement.Load<TLanes, TVector>(far + rowBytes);
            TVector e6 = TElement.Load<TLanes, TVector>(far + twoRows);
            TVector e7 = TElement.Load<TLanes, TVector>(far + threeRows);
            s4 = Add(s4, e4);
            s5 = Add(s5, e5);
            s6 = Add(s6, e6);
            s7 = Add(s7, e7);
            even = Add(Add(Add(Add(even, e4), e5), e6), e7);
            TLanes.StoreFloat64((byte*)sums, even);
        }

        if (last >= 0)
        {
            near = data + ((long)last * TElement.Bytes);
            far = near + (4 * rowBytes);
            TVector sum = TLanes.LoadFloat64((byte*)(inner + last));
            AddMasked(near, mask, ref s0, ref sum);
            AddMasked(near + rowBytes, mask, ref s1, ref sum);
            AddMasked(near + twoRows, mask, ref s2, ref sum);
            AddMasked(near + threeRows, mask, ref s3, ref sum);
            AddMasked(far, mask, ref s4, ref sum);
            AddMasked(far + rowBytes, mask, ref s5, ref sum);
            AddMasked(far + twoRows, mask, ref s6, ref sum);
            AddMasked(far + threeRows, mask, ref s7, ref sum);
            TLanes.StoreFloat64((byte*)(inner + last), sum);
        }

        outer[0] += TLanes.Sum(s0);
        outer[1] += TLanes.Sum(s1);
        outer[2] += TLanes.Sum(s2);
        outer[3] += TLanes.Sum(s3);
        outer[4] += TLanes.Sum(s4);
        outer[5] += TLanes.Sum(s5);
        outer[6] += TLanes.Sum(s6);
        outer[7] += TLanes.Sum(s7);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static double OneRow(byte* row, int columns, double* inner)
    {
        TVector sum = TLanes.Create(0);
        var j = 0;
        for (; j <= columns - TLanes.Count; j += TLanes.Count)
        {
            TVector element = TElement.Load<TLanes, TVector>(row + ((long)j * TElement.Bytes));
            sum = Add(sum, element);
            TLanes.StoreFloat64((byte*)(inner + j), Add(TLanes.LoadFloat64((byte*)(inner + j)), element));
        }

        double total = TLanes.Sum(sum);
        for (; j < columns; j++)
        {
            double element = TElement.Load<LanesScalar, double>(row + ((long)j * TElement.Bytes));
            total = default(TPower).AddEnergy<LanesScalar, double>(total, element);
            inner[j] = default(TPower).AddEnergy<LanesScalar, double>(inner[j], element);
        }

        return total;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Add(TVector sum, TVector element) => default(TPower).AddEnergy<TLanes, TVector>(sum, element);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddMasked(byte* source, TVector mask, ref TVector row, ref TVector column)
    {
        TVector element = TLanes.And(TElement.Load<TLanes, TVector>(source), mask);
        row = Add(row, element);
        column = Add(column, element);
    }
}
