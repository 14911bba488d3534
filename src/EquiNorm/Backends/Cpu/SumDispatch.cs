// From the pairs of sums that are asked for to the loop that computes exactly those, then over a tile: chunks of columns
// outside, blocks of four rows inside, so that factors and inner sums of a chunk stay in cache for all rows.

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace EquiNorm.Backends.Cpu;

/// <summary>Sums over stored energies, up to two pairs each way.</summary>
internal unsafe struct StoredKernel : ILaneKernel
{
    public EnergyTile Tile;
    public TileSums Sums;

    public void Run<TLanes, TVector>()
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        switch (Sums.Dots)
        {
            case 0:
                Axpys<TLanes, TVector, NoPair>();
                break;
            case 1:
                Axpys<TLanes, TVector, OnePair>();
                break;
            default:
                Axpys<TLanes, TVector, TwoPairs>();
                break;
        }
    }

    private void Axpys<TLanes, TVector, TDots>()
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TDots : struct, IPairCount
    {
        switch (Sums.Axpys)
        {
            case 0:
                Walk<TLanes, TVector, TDots, NoPair>();
                break;
            case 1:
                Walk<TLanes, TVector, TDots, OnePair>();
                break;
            default:
                Walk<TLanes, TVector, TDots, TwoPairs>();
                break;
        }
    }

    private readonly void Walk<TLanes, TVector, TDots, TAxpys>()
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TDots : struct, IPairCount
        where TAxpys : struct, IPairCount =>
        TileWalk<StoredEnergy>.Run<TLanes, TVector, TDots, TAxpys>(
            (byte*)Tile.Data, Tile.Stride * sizeof(double), Tile.Outer, Tile.Inner, Sums);
}

/// <summary>Sums over single float32 elements (K = 1, p = 1 or 2), two pairs in all: energies never leave registers.</summary>
internal struct DirectKernel : ILaneKernel
{
    public MatrixView Tile;
    public PowerKind Kind;
    public TileSums Sums;

    public void Run<TLanes, TVector>()
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        if (Kind == PowerKind.Square)
        {
            Pairs<TLanes, TVector, ElementEnergy<Float32Element, SquarePower>>();
        }
        else
        {
            Pairs<TLanes, TVector, ElementEnergy<Float32Element, AbsolutePower>>();
        }
    }

    private void Pairs<TLanes, TVector, TReader>()
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TReader : struct, IEnergyReader
    {
        switch (Sums.Dots, Sums.Axpys)
        {
            case (0, 0):
                break;
            case (0, 1):
                Walk<TLanes, TVector, TReader, NoPair, OnePair>();
                break;
            case (0, 2):
                Walk<TLanes, TVector, TReader, NoPair, TwoPairs>();
                break;
            case (1, 0):
                Walk<TLanes, TVector, TReader, OnePair, NoPair>();
                break;
            case (2, 0):
                Walk<TLanes, TVector, TReader, TwoPairs, NoPair>();
                break;
            default:
                Walk<TLanes, TVector, TReader, OnePair, OnePair>();
                break;
        }
    }

    private readonly unsafe void Walk<TLanes, TVector, TReader, TDots, TAxpys>()
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TReader : struct, IEnergyReader
        where TDots : struct, IPairCount
        where TAxpys : struct, IPairCount =>
        TileWalk<TReader>.Run<TLanes, TVector, TDots, TAxpys>(Tile.Data, Tile.RowBytes, Tile.Outer, Tile.Inner, Sums);
}

internal static unsafe class TileWalk<TReader>
    where TReader : struct, IEnergyReader
{
    private const int Rows = SumLoops<LanesScalar, double, TReader, NoPair, NoPair>.Rows;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run<TLanes, TVector, TDots, TAxpys>(
        byte* data, long rowBytes, int outer, int inner, in TileSums sums)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TDots : struct, IPairCount
        where TAxpys : struct, IPairCount
    {
        for (int j = 0; j < inner; j += SumKernels.ChunkColumns)
        {
            int columns = Math.Min(SumKernels.ChunkColumns, inner - j);
            int whole = columns - (columns % TLanes.Count);

            // Of the columns behind the last whole vector half a vector goes at once: 500 columns end with four.
            int half = TLanes.Count == 2 * Lanes256.Count && columns - whole >= Lanes256.Count ? Lanes256.Count : 0;
            int rest = whole + half;
            byte* chunk = data + ((long)j * TReader.Bytes);
            int r = 0;
            for (; r <= outer - Rows; r += Rows)
            {
                byte* rows = chunk + (r * rowBytes);

                // The hardware begins anew at each row and each page, and rows are often shorter than a page, so the next four rows are asked for
                // (half a sweep of 15x500 on one thread took 2.1 ms without, 1.1 ms with it). Behind the tile is what another thread writes.
                long ahead = r + (2 * Rows) <= outer ? Rows * rowBytes : 0;
                SumLoops<TLanes, TVector, TReader, TDots, TAxpys>.FourRows(rows, rowBytes, ahead, whole, sums.Offset(r, j));
                if (half != 0)
                {
                    SumLoops<Lanes256, Vector256<double>, TReader, TDots, TAxpys>.FourRows(
                        rows + ((long)whole * TReader.Bytes), rowBytes, ahead, half, sums.Offset(r, j + whole));
                }

                if (rest != columns)
                {
                    SumLoops<LanesScalar, double, TReader, TDots, TAxpys>.FourRows(
                        rows + ((long)rest * TReader.Bytes), rowBytes, ahead, columns - rest, sums.Offset(r, j + rest));
                }
            }

            for (; r < outer; r++)
            {
                byte* row = chunk + (r * rowBytes);
                SumLoops<TLanes, TVector, TReader, TDots, TAxpys>.OneRow(row, whole, sums.Offset(r, j));
                if (whole != columns)
                {
                    SumLoops<LanesScalar, double, TReader, TDots, TAxpys>.OneRow(
                        row + ((long)whole * TReader.Bytes), columns - whole, sums.Offset(r, j + whole));
                }
            }
        }
    }
}
