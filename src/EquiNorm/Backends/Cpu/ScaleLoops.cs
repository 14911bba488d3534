// The inner loops of ScaleKernels: rows of contiguous elements times a factor per element, times one factor, or strided.
// Overflow and loss are seen in the float64 product, by the thresholds from which rounding gives infinity or zero. Four
// vectors at a time only the smallest and largest magnitude are watched; a block that may hold a casualty (a zero is no
// casualty, but looks like one) is counted before it is stored, while its old elements still exist. Measured on one core,
// float32 in L2: 22 GB/s without any counting, 6.8 with two compares and population counts per vector, 14 as it is.

using System.Runtime.CompilerServices;

namespace EquiNorm.Backends.Cpu;

/// <summary>Where the factors of a row's elements come from.</summary>
internal unsafe interface IFactors
{
    TVector At<TLanes, TVector>(long element)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged;
}

/// <summary>One factor per element, times the row's.</summary>
internal readonly unsafe struct ElementFactors(double* factors, double row) : IFactors
{
    private readonly double* _factors = factors;
    private readonly double _row = row;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TVector At<TLanes, TVector>(long element)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.Multiply(TLanes.Create(_row), TLanes.LoadFloat64((byte*)(_factors + element)));
}

/// <summary>One factor for all elements.</summary>
internal readonly struct ConstantFactor(double value) : IFactors
{
    private readonly double _value = value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TVector At<TLanes, TVector>(long element)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged => TLanes.Create(_value);
}

/// <summary>Which ends of the range are watched.</summary>
internal interface IWatch
{
    static abstract bool Low { get; }
}

/// <summary>Overflow and loss.</summary>
internal readonly struct BothEnds : IWatch
{
    public static bool Low => true;
}

/// <summary>Overflow only: with factors above a half not even the smallest element of a type vanishes, and zeros need no second look.</summary>
internal readonly struct HighOnly : IWatch
{
    public static bool Low => false;
}

internal static unsafe class ScaleLoops<TLanes, TVector, TElement>
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
    where TElement : struct, IElement
{
    // Half the smallest element of a type is what rounds to zero, to even.
    private const double LargestLosingFactor = 0.5;

    /// <summary>destination[j] = source[j] * factors[j] for a run of elements; <paramref name="ahead"/> bytes on is read next.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ScaleCounts Run<TFactors>(byte* source, byte* destination, int count, TFactors factors, long ahead)
        where TFactors : struct, IFactors
    {
        ScaleCounts counts = default;
        int block = 4 * TLanes.Count;
        long step = (long)TLanes.Count * TElement.Bytes;
        long j = 0;
        for (; j <= count - block; j += block)
        {
            byte* from = source + (j * TElement.Bytes);
            byte* to = destination + (j * TElement.Bytes);
            TVector p0 = Product(from, factors.At<TLanes, TVector>(j));
            TVector p1 = Product(from + step, factors.At<TLanes, TVector>(j + TLanes.Count));
            TVector p2 = Product(from + (2 * step), factors.At<TLanes, TVector>(j + (2 * TLanes.Count)));
            TVector p3 = Product(from + (3 * step), factors.At<TLanes, TVector>(j + (3 * TLanes.Count)));
            Prefetch.Line(from + ahead);
            Prefetch.Line(from + ahead + (2 * step));
            if (MayHurt<BothEnds>(p0, p1, p2, p3))
            {
                counts += Count(from, block, factors, j);
            }

            TElement.Store<TLanes, TVector>(to, p0);
            TElement.Store<TLanes, TVector>(to + step, p1);
            TElement.Store<TLanes, TVector>(to + (2 * step), p2);
            TElement.Store<TLanes, TVector>(to + (3 * step), p3);
        }

        if (j < count)
        {
            counts += Count(source + (j * TElement.Bytes), count - (int)j, factors, j);
        }

        for (; j <= count - TLanes.Count; j += TLanes.Count)
        {
            TVector element = TElement.Load<TLanes, TVector>(source + (j * TElement.Bytes));
            TElement.Store<TLanes, TVector>(
                destination + (j * TElement.Bytes), TLanes.Multiply(element, factors.At<TLanes, TVector>(j)));
        }

        for (; j < count; j++)
        {
            double element = TElement.Load<LanesScalar, double>(source + (j * TElement.Bytes));
            TElement.Store<LanesScalar, double>(
                destination + (j * TElement.Bytes), element * factors.At<LanesScalar, double>(j));
        }

        return counts;
    }

    /// <summary>
    /// destination[r, j] = source[r, j] * outer[r] * factors[j] for rows of contiguous elements; source and destination may be the same.
    /// </summary>
    public static ScaleCounts Rows(
        byte* source, long sourceStride, byte* destination, long destinationStride, int rows, int count, double* outer, double* factors) =>
        Least(outer, rows) * Least(factors, count) > LargestLosingFactor
            ? Rows<HighOnly>(source, sourceStride, destination, destinationStride, rows, count, outer, factors)
            : Rows<BothEnds>(source, sourceStride, destination, destinationStride, rows, count, outer, factors);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    [SkipLocalsInit]
    private static ScaleCounts Rows<TWatch>(
        byte* source, long sourceStride, byte* destination, long destinationStride, int rows, int count, double* outer, double* factors)
        where TWatch : struct, IWatch
    {
        ScaleCounts counts = default;
        int block = 4 * TLanes.Count;
        long step = (long)TLanes.Count * TElement.Bytes;
        int whole = count - (count % block);
        if (whole == 0)
        {
            for (int r = 0; r < rows; r++, source += sourceStride, destination += destinationStride)
            {
                counts += Run(source, destination, count, new ElementFactors(factors, outer is null ? 1 : outer[r]), sourceStride);
            }

            return counts;
        }

        // What is left behind the last whole block is done by a block that ends with the row. Where source and destination are the same
        // its elements must be read before the others are written, and what both blocks compute is the same (a row of 500 float32 in L2:
        // 0.43 ns an element with vectors and scalars for the last 20, 0.33 so).
        long last = whole == count ? -1 : count - block;
        long ahead = Prefetch.Ahead(sourceStride, (long)count * TElement.Bytes, rows);
        byte* stack = stackalloc byte[(4 * sizeof(TVector)) + CacheLine.Bytes];
        var tail = (TVector*)CacheLine.Align(stack);
        for (int r = 0; r < rows; r++, source += sourceStride, destination += destinationStride)
        {
            double row = outer is null ? 1 : outer[r];
            TVector x = TLanes.Create(row);
            if (last >= 0)
            {
                byte* from = source + (last * TElement.Bytes);
                double* y = factors + last;
                TVector t0 = Product(from, TLanes.Multiply(x, TLanes.LoadFloat64((byte*)y)));
                TVector t1 = Product(from + step, TLanes.Multiply(x, TLanes.LoadFloat64((byte*)(y + TLanes.Count))));
                TVector t2 = Product(from + (2 * step), TLanes.Multiply(x, TLanes.LoadFloat64((byte*)(y + (2 * TLanes.Count)))));
                TVector t3 = Product(from + (3 * step), TLanes.Multiply(x, TLanes.LoadFloat64((byte*)(y + (3 * TLanes.Count)))));
                tail[0] = t0;
                tail[1] = t1;
                tail[2] = t2;
                tail[3] = t3;
                if (MayHurt<TWatch>(t0, t1, t2, t3))
                {
                    counts += Count(source + ((long)whole * TElement.Bytes), count - whole, new ElementFactors(factors, row), whole);
                }
            }

            for (long j = 0; (j += Blocks<TWatch>(
                source + (j * TElement.Bytes), destination + (j * TElement.Bytes), whole - j, factors + j, x, ahead)) < whole; j += block)
            {
                counts += Slowly(
                    source + (j * TElement.Bytes), destination + (j * TElement.Bytes), block, new ElementFactors(factors, row), j);
            }

            if (last >= 0)
            {
                byte* to = destination + (last * TElement.Bytes);
                TElement.Store<TLanes, TVector>(to, TLanes.LoadFloat64((byte*)tail));
                TElement.Store<TLanes, TVector>(to + step, TLanes.LoadFloat64((byte*)(tail + 1)));
                TElement.Store<TLanes, TVector>(to + (2 * step), TLanes.LoadFloat64((byte*)(tail + 2)));
                TElement.Store<TLanes, TVector>(to + (3 * step), TLanes.LoadFloat64((byte*)(tail + 3)));
            }
        }

        return counts;
    }

    /// <summary>Any strides.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ScaleCounts Strided(in MatrixView source, in MatrixView destination, double* outer, double* inner)
    {
        ScaleCounts counts = default;
        for (int o = 0; o < source.Outer; o++)
        {
            for (int i = 0; i < source.Inner; i++)
            {
                var factor = new ConstantFactor((outer is null ? 1 : outer[o]) * (inner is null ? 1 : inner[i]));
                for (int k = 0; k < source.Kernel; k++)
                {
                    byte* from = source.At(o, i, k);
                    counts += Count(from, 1, factor, 0);
                    double element = TElement.Load<LanesScalar, double>(from);
                    TElement.Store<LanesScalar, double>(
                        destination.At(o, i, k), element * factor.At<LanesScalar, double>(0));
                }
            }
        }

        return counts;
    }

    // Whole blocks until one may hold a casualty; returns the elements done. Nothing is called from here: whatever outlives a call goes
    // through memory, in every block (a step of conv-net with momentum: 1.64 of the floor with the call inside, 1.46 so).
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static long Blocks<TWatch>(byte* source, byte* destination, long count, double* factors, TVector row, long ahead)
        where TWatch : struct, IWatch
    {
        long step = (long)TLanes.Count * TElement.Bytes;
        byte* from = source;
        byte* end = source + (count * TElement.Bytes);
        for (; from < end; from += 4 * step, destination += 4 * step, factors += 4 * TLanes.Count)
        {
            TVector p0 = Product(from, TLanes.Multiply(row, TLanes.LoadFloat64((byte*)factors)));
            TVector p1 = Product(from + step, TLanes.Multiply(row, TLanes.LoadFloat64((byte*)(factors + TLanes.Count))));
            TVector p2 = Product(from + (2 * step), TLanes.Multiply(row, TLanes.LoadFloat64((byte*)(factors + (2 * TLanes.Count)))));
            TVector p3 = Product(from + (3 * step), TLanes.Multiply(row, TLanes.LoadFloat64((byte*)(factors + (3 * TLanes.Count)))));
            Prefetch.Line(from + ahead);
            Prefetch.Line(from + ahead + (2 * step));
            if (MayHurt<TWatch>(p0, p1, p2, p3))
            {
                break;
            }

            TElement.Store<TLanes, TVector>(destination, p0);
            TElement.Store<TLanes, TVector>(destination + step, p1);
            TElement.Store<TLanes, TVector>(destination + (2 * step), p2);
            TElement.Store<TLanes, TVector>(destination + (3 * step), p3);
        }

        return (from - source) / TElement.Bytes;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Product(byte* source, TVector factor) => TLanes.Multiply(TElement.Load<TLanes, TVector>(source), factor);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool MayHurt<TWatch>(TVector p0, TVector p1, TVector p2, TVector p3)
        where TWatch : struct, IWatch
    {
        TVector high = TLanes.MaxMagnitude(TLanes.MaxMagnitude(p0, p1), TLanes.MaxMagnitude(p2, p3));
        bool overflows = TLanes.AnyLessOrEqual(TLanes.Create(TElement.OverflowsFrom), high);
        if (!TWatch.Low)
        {
            return overflows;
        }

        TVector low = TLanes.MinMagnitude(TLanes.MinMagnitude(p0, p1), TLanes.MinMagnitude(p2, p3));
        return overflows | TLanes.AnyLessOrEqual(low, TLanes.Create(TElement.VanishesUpTo));
    }

    // The least magnitude; 1 of nothing.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static double Least(double* factors, int count)
    {
        if (factors is null)
        {
            return 1;
        }

        double least = double.PositiveInfinity;
        int n = 0;
        if (count >= TLanes.Count)
        {
            TVector lanes = TLanes.Create(double.PositiveInfinity);
            for (; n <= count - TLanes.Count; n += TLanes.Count)
            {
                lanes = TLanes.MinMagnitude(lanes, TLanes.LoadFloat64((byte*)(factors + n)));
            }

            double* room = stackalloc double[TLanes.Count];
            TLanes.StoreFloat64((byte*)room, lanes);
            for (int lane = 0; lane < TLanes.Count; lane++)
            {
                least = Math.Min(least, room[lane]);
            }
        }

        for (; n < count; n++)
        {
            least = Math.Min(least, Math.Abs(factors[n]));
        }

        return least;
    }

    // Elements some of which may overflow or vanish: counted while the old ones still exist. A multiple of the lanes.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static ScaleCounts Slowly(byte* source, byte* destination, int count, ElementFactors factors, long first)
    {
        ScaleCounts counts = Count(source, count, factors, first);
        for (long j = 0; j < count; j += TLanes.Count)
        {
            TVector element = TElement.Load<TLanes, TVector>(source + (j * TElement.Bytes));
            TElement.Store<TLanes, TVector>(
                destination + (j * TElement.Bytes), TLanes.Multiply(element, factors.At<TLanes, TVector>(first + j)));
        }

        return counts;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static ScaleCounts Count<TFactors>(byte* source, int count, TFactors factors, long first)
        where TFactors : struct, IFactors
    {
        long overflowed = 0, vanished = 0;
        int j = 0;
        for (; j <= count - TLanes.Count; j += TLanes.Count)
        {
            CountOne<TLanes, TVector, TFactors>(source, j, factors, first, ref overflowed, ref vanished);
        }

        for (; j < count; j++)
        {
            CountOne<LanesScalar, double, TFactors>(source, j, factors, first, ref overflowed, ref vanished);
        }

        return new(overflowed, vanished);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CountOne<TL, TV, TFactors>(
        byte* source, long j, TFactors factors, long first, ref long overflowed, ref long vanished)
        where TL : struct, ILanes<TV>
        where TV : unmanaged
        where TFactors : struct, IFactors
    {
        TV element = TElement.Load<TL, TV>(source + (j * TElement.Bytes));
        TV magnitude = TL.Abs(TL.Multiply(element, factors.At<TL, TV>(first + j)));
        overflowed += TL.CountTrue(TL.And(
            TL.LessOrEqual(TL.Create(TElement.OverflowsFrom), magnitude),
            TL.LessThan(TL.Abs(element), TL.Create(double.PositiveInfinity))));
        vanished += TL.CountTrue(TL.And(
            TL.LessOrEqual(magnitude, TL.Create(TElement.VanishesUpTo)),
            TL.NotEqual(element, TL.Create(0))));
    }
}
