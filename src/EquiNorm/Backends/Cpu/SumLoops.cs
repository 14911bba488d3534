// The inner loops of the sums over a tile of energies E[r, j]:
//   dot   outerSums[r] (+)= sum_j E[r, j] innerFactor[j]      axpy   innerSums[j] += sum_r E[r, j] outerFactor[r]
// each for none, one or two pairs of factors, all in one read of E. Four rows go at once: factors and inner sums are
// loaded once per four rows, and the four chains of dependent additions hide each other's latency.

using System.Runtime.CompilerServices;

namespace EquiNorm.Backends.Cpu;

/// <summary>How many pairs a loop computes, as a type argument so that the others cost nothing.</summary>
internal interface IPairCount
{
    static abstract int Value { get; }
}

internal readonly struct NoPair : IPairCount
{
    public static int Value => 0;
}

internal readonly struct OnePair : IPairCount
{
    public static int Value => 1;
}

internal readonly struct TwoPairs : IPairCount
{
    public static int Value => 2;
}

/// <summary>Where a loop's energies come from.</summary>
internal unsafe interface IEnergyReader
{
    /// <summary>Bytes per energy in memory.</summary>
    static abstract int Bytes { get; }

    static abstract TVector Read<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged;
}

/// <summary>Energies stored as float64.</summary>
internal readonly unsafe struct StoredEnergy : IEnergyReader
{
    public static int Bytes => sizeof(double);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Read<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged => TLanes.LoadFloat64(source);
}

/// <summary>Energies of single elements (K = 1), computed in registers and never stored.</summary>
internal readonly unsafe struct ElementEnergy<TElement, TPower> : IEnergyReader
    where TElement : struct, IElement
    where TPower : struct, IPower
{
    public static int Bytes => TElement.Bytes;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Read<TLanes, TVector>(byte* source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        default(TPower).Energy<TLanes, TVector>(TElement.Load<TLanes, TVector>(source));
}

internal static unsafe class SumLoops<TLanes, TVector, TReader, TDots, TAxpys>
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
    where TReader : struct, IEnergyReader
    where TDots : struct, IPairCount
    where TAxpys : struct, IPairCount
{
    public const int Rows = 4;

    /// <summary>Four rows, columns [0, columns), a multiple of the lane count; adds to both kinds of sums.</summary>
    /// <param name="ahead">Bytes from each row to the one to ask for: the next four, as long as they belong to the tile.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void FourRows(byte* energies, long rowBytes, long ahead, int columns, in TileSums sums)
    {
        byte* row0 = energies;
        byte* row1 = row0 + rowBytes;
        byte* row2 = row1 + rowBytes;
        byte* row3 = row2 + rowBytes;
        double* y = sums.InnerFactor;
        double* y2 = sums.InnerFactor2;
        double* inner = sums.InnerSums;
        double* inner2 = sums.InnerSums2;
        TVector dot0 = TLanes.Create(0), dot1 = dot0, dot2 = dot0, dot3 = dot0;
        TVector second0 = dot0, second1 = dot0, second2 = dot0, second3 = dot0;
        Factors x = TAxpys.Value >= 1 ? new Factors(sums.OuterFactor) : default;
        Factors x2 = TAxpys.Value >= 2 ? new Factors(sums.OuterFactor2) : default;
        for (long j = 0; j < columns; j += TLanes.Count)
        {
            long at = j * TReader.Bytes;
            Prefetch.Line(row0 + ahead + at);
            Prefetch.Line(row1 + ahead + at);
            Prefetch.Line(row2 + ahead + at);
            Prefetch.Line(row3 + ahead + at);
            TVector e0 = TReader.Read<TLanes, TVector>(row0 + at);
            TVector e1 = TReader.Read<TLanes, TVector>(row1 + at);
            TVector e2 = TReader.Read<TLanes, TVector>(row2 + at);
            TVector e3 = TReader.Read<TLanes, TVector>(row3 + at);
            if (TDots.Value >= 1)
            {
                TVector factor = TLanes.LoadFloat64((byte*)(y + j));
                dot0 = TLanes.MultiplyAdd(e0, factor, dot0);
                dot1 = TLanes.MultiplyAdd(e1, factor, dot1);
                dot2 = TLanes.MultiplyAdd(e2, factor, dot2);
                dot3 = TLanes.MultiplyAdd(e3, factor, dot3);
            }

            if (TDots.Value >= 2)
            {
                TVector factor = TLanes.LoadFloat64((byte*)(y2 + j));
                second0 = TLanes.MultiplyAdd(e0, factor, second0);
                second1 = TLanes.MultiplyAdd(e1, factor, second1);
                second2 = TLanes.MultiplyAdd(e2, factor, second2);
                second3 = TLanes.MultiplyAdd(e3, factor, second3);
            }

            if (TAxpys.Value >= 1)
            {
                x.AddTo(inner + j, e0, e1, e2, e3);
            }

            if (TAxpys.Value >= 2)
            {
                x2.AddTo(inner2 + j, e0, e1, e2, e3);
            }
        }

        if (TDots.Value >= 1)
        {
            AddFour(sums.OuterSums, dot0, dot1, dot2, dot3);
        }

        if (TDots.Value >= 2)
        {
            AddFour(sums.OuterSums2, second0, second1, second2, second3);
        }
    }

    /// <summary>One row, columns [0, columns), a multiple of the lane count; adds to both kinds of sums.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void OneRow(byte* energies, int columns, in TileSums sums)
    {
        TVector dot = TLanes.Create(0), second = dot;
        for (long j = 0; j < columns; j += TLanes.Count)
        {
            TVector e = TReader.Read<TLanes, TVector>(energies + (j * TReader.Bytes));
            if (TDots.Value >= 1)
            {
                dot = TLanes.MultiplyAdd(e, TLanes.LoadFloat64((byte*)(sums.InnerFactor + j)), dot);
            }

            if (TDots.Value >= 2)
            {
                second = TLanes.MultiplyAdd(e, TLanes.LoadFloat64((byte*)(sums.InnerFactor2 + j)), second);
            }

            if (TAxpys.Value >= 1)
            {
                AddOne(sums.InnerSums + j, e, sums.OuterFactor[0]);
            }

            if (TAxpys.Value >= 2)
            {
                AddOne(sums.InnerSums2 + j, e, sums.OuterFactor2[0]);
            }
        }

        if (TDots.Value >= 1)
        {
            sums.OuterSums[0] += TLanes.Sum(dot);
        }

        if (TDots.Value >= 2)
        {
            sums.OuterSums2[0] += TLanes.Sum(second);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddOne(double* inner, TVector energy, double factor) =>
        TLanes.StoreFloat64(
            (byte*)inner, TLanes.MultiplyAdd(energy, TLanes.Create(factor), TLanes.LoadFloat64((byte*)inner)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddFour(double* outer, TVector sum0, TVector sum1, TVector sum2, TVector sum3)
    {
        outer[0] += TLanes.Sum(sum0);
        outer[1] += TLanes.Sum(sum1);
        outer[2] += TLanes.Sum(sum2);
        outer[3] += TLanes.Sum(sum3);
    }

    /// <summary>The outer factors of four rows, one per register.</summary>
    private readonly struct Factors(double* source)
    {
        private readonly TVector _x0 = TLanes.Create(source[0]);
        private readonly TVector _x1 = TLanes.Create(source[1]);
        private readonly TVector _x2 = TLanes.Create(source[2]);
        private readonly TVector _x3 = TLanes.Create(source[3]);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void AddTo(double* inner, TVector e0, TVector e1, TVector e2, TVector e3)
        {
            TVector sum = TLanes.LoadFloat64((byte*)inner);
            sum = TLanes.MultiplyAdd(e0, _x0, sum);
            sum = TLanes.MultiplyAdd(e1, _x1, sum);
            sum = TLanes.MultiplyAdd(e2, _x2, sum);
            sum = TLanes.MultiplyAdd(e3, _x3, sum);
            TLanes.StoreFloat64((byte*)inner, sum);
        }
    }
}
