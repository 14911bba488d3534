// The inner loops of ScaleKernels: rows of contiguous elements times a factor per element, times one factor, or strided.
// Overflow and loss are counted from the float64 product, by the thresholds from which rounding gives infinity or zero:
// the rounded value need not be looked at, and in place the old one is still in a register.

using System.Runtime.CompilerServices;

namespace EquiNorm.Backends.Cpu;

internal static unsafe class ScaleLoops<TLanes, TVector, TElement>
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
    where TElement : struct, IElement
{
    /// <summary>[rows, count] elements times factors[j] times outer[row].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ScaleCounts PerElement(
        byte* source, long sourceRowBytes, byte* destination, long destinationRowBytes,
        int rows, int count, double* factors, double* outer)
    {
        long overflowed = 0, vanished = 0;
        for (int r = 0; r < rows; r++)
        {
            byte* from = source + (r * sourceRowBytes);
            byte* to = destination + (r * destinationRowBytes);
            double row = outer is null ? 1 : outer[r];
            TVector factor = TLanes.Create(row);
            int j = 0;
            for (; j <= count - TLanes.Count; j += TLanes.Count)
            {
                long at = (long)j * TElement.Bytes;
                TVector product = TLanes.Multiply(factor, TLanes.LoadFloat64((byte*)(factors + j)));
                One<TLanes, TVector>(from + at, to + at, product, ref overflowed, ref vanished);
            }

            for (; j < count; j++)
            {
                long at = (long)j * TElement.Bytes;
                One<LanesScalar, double>(from + at, to + at, row * factors[j], ref overflowed, ref vanished);
            }
        }

        return new(overflowed, vanished);
    }

    /// <summary>[rows, count] elements times one factor times outer[row].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ScaleCounts Constant(
        byte* source, long sourceRowBytes, byte* destination, long destinationRowBytes,
        int rows, int count, double factor, double* outer)
    {
        long overflowed = 0, vanished = 0;
        for (int r = 0; r < rows; r++)
        {
            byte* from = source + (r * sourceRowBytes);
            byte* to = destination + (r * destinationRowBytes);
            double row = (outer is null ? 1 : outer[r]) * factor;
            TVector product = TLanes.Create(row);
            int j = 0;
            for (; j <= count - TLanes.Count; j += TLanes.Count)
            {
                long at = (long)j * TElement.Bytes;
                One<TLanes, TVector>(from + at, to + at, product, ref overflowed, ref vanished);
            }

            for (; j < count; j++)
            {
                long at = (long)j * TElement.Bytes;
                One<LanesScalar, double>(from + at, to + at, row, ref overflowed, ref vanished);
            }
        }

        return new(overflowed, vanished);
    }

    /// <summary>Any strides.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ScaleCounts Strided(in MatrixView source, in MatrixView destination, double* outer, double* inner)
    {
        long overflowed = 0, vanished = 0;
        for (int o = 0; o < source.Outer; o++)
        {
            for (int i = 0; i < source.Inner; i++)
            {
                double factor = (outer is null ? 1 : outer[o]) * (inner is null ? 1 : inner[i]);
                byte* from = source.At(o, i, 0);
                byte* to = destination.At(o, i, 0);
                for (int k = 0; k < source.Kernel; k++)
                {
                    One<LanesScalar, double>(
                        from + (k * source.KernelStride * TElement.Bytes), to + (k * destination.KernelStride * TElement.Bytes),
                        factor, ref overflowed, ref vanished);
                }
            }
        }

        return new(overflowed, vanished);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void One<TL, TV>(byte* source, byte* destination, TV factor, ref long overflowed, ref long vanished)
        where TL : struct, ILanes<TV>
        where TV : unmanaged
    {
        TV element = TElement.Load<TL, TV>(source);
        TV product = TL.Multiply(element, factor);
        TElement.Store<TL, TV>(destination, product);
        TV magnitude = TL.Abs(product);
        TV over = TL.And(
            TL.LessOrEqual(TL.Create(TElement.OverflowsFrom), magnitude),
            TL.LessThan(TL.Abs(element), TL.Create(double.PositiveInfinity)));
        TV gone = TL.And(
            TL.LessOrEqual(magnitude, TL.Create(TElement.VanishesUpTo)),
            TL.NotEqual(element, TL.Create(0)));
        overflowed += TL.CountTrue(over);
        vanished += TL.CountTrue(gone);
    }
}
