// Energies of one row of a weight: destination[i] = sum_k |w[i, k]|^p, float64, i in [0, count), one loop per layout. At p = infinity the
// largest magnitude takes the place of the sum.
// Sums over k run in a fixed order that depends on the vector width only.

using System.Runtime.CompilerServices;

namespace EquiNorm.Backends.Cpu;

// AggressiveOptimization, here and on every other loop of the backend: the program lives for a fraction of a second, so
// without it most elements would be read by tier-0 code, ten times slower, before the runtime decides to recompile.
internal static unsafe class EnergyRows<TLanes, TVector, TElement, TPower>
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
    where TElement : struct, IElement
    where TPower : struct, IPower
{
    /// <summary>One kernel position, contiguous: an elementwise loop.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Flat(byte* source, int count, double* destination, TPower power)
    {
        int i = 0;
        for (; i <= count - TLanes.Count; i += TLanes.Count)
        {
            TVector element = TElement.Load<TLanes, TVector>(source + ((long)i * TElement.Bytes));
            TLanes.StoreFloat64((byte*)(destination + i), power.Energy<TLanes, TVector>(element));
        }

        for (; i < count; i++)
        {
            double element = TElement.Load<LanesScalar, double>(source + ((long)i * TElement.Bytes));
            destination[i] = power.Energy<LanesScalar, double>(element);
        }
    }

    /// <summary>
    /// Kernel positions contiguous, channels one after the other. As many channels as lanes are summed into one vector
    /// each, then one transposing reduction turns those vectors into a vector of energies: a horizontal sum per channel
    /// would cost more than the nine additions of a 3x3 kernel.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    [SkipLocalsInit]
    public static void KernelRuns(byte* source, int count, int kernel, double* destination, TPower power)
    {
        byte* stack = stackalloc byte[((TLanes.Count + 1) * sizeof(TVector)) + CacheLine.Bytes];
        var partial = (TVector*)CacheLine.Align(stack);
        TVector tailMask = TLanes.LoadFloat64(TailMask(kernel, (long*)(partial + TLanes.Count)));
        long channelBytes = (long)kernel * TElement.Bytes;
        int i = EnergyRows3x3<TPower>.CanRun<TLanes, TElement>(kernel)
            ? EnergyRows3x3<TPower>.Run((float*)source, count, destination, power)
            : 0;
        if (kernel >= TLanes.Count)
        {
            for (; i <= count - TLanes.Count; i += TLanes.Count)
            {
                byte* channel = source + (i * channelBytes);
                for (int c = 0; c < TLanes.Count; c++, channel += channelBytes)
                {
                    partial[c] = LongRun(channel, kernel, tailMask, power);
                }

                TLanes.StoreFloat64((byte*)(destination + i), TPower.TotalEach<TLanes, TVector>(partial));
            }

            for (; i < count; i++)
            {
                destination[i] = TPower.Total<TLanes, TVector>(LongRun(source + (i * channelBytes), kernel, tailMask, power));
            }

            return;
        }

        // A kernel shorter than a vector: the load runs into the next channels (masked away), so the last channels,
        // behind which the row may end, are left to scalar code.
        for (; ((long)(i + TLanes.Count - 1) * kernel) + TLanes.Count <= (long)count * kernel; i += TLanes.Count)
        {
            for (int c = 0; c < TLanes.Count; c++)
            {
                TVector element = TElement.Load<TLanes, TVector>(source + ((i + c) * channelBytes));
                partial[c] = power.Energy<TLanes, TVector>(TLanes.And(element, tailMask));
            }

            TLanes.StoreFloat64((byte*)(destination + i), TPower.TotalEach<TLanes, TVector>(partial));
        }

        Strided(source + (i * channelBytes), count - i, kernel, kernel, 1, destination + i, power);
    }

    /// <summary>
    /// Inner contiguous, kernel positions apart: each position's run of channels is added to the destination, which the
    /// caller keeps short enough for the first-level cache. Reading all positions of one vector of channels instead would
    /// follow one stream per position, more than the prefetcher tracks for a 7x7 kernel.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Planes(byte* source, int count, int kernel, long kernelStride, double* destination, TPower power)
    {
        Flat(source, count, destination, power);
        for (int k = 1; k < kernel; k++)
        {
            byte* plane = source + (k * kernelStride * TElement.Bytes);
            int i = 0;
            for (; i <= count - TLanes.Count; i += TLanes.Count)
            {
                TVector sum = TLanes.LoadFloat64((byte*)(destination + i));
                TVector element = TElement.Load<TLanes, TVector>(plane + ((long)i * TElement.Bytes));
                TLanes.StoreFloat64((byte*)(destination + i), power.AddEnergy<TLanes, TVector>(sum, element));
            }

            for (; i < count; i++)
            {
                double element = TElement.Load<LanesScalar, double>(plane + ((long)i * TElement.Bytes));
                destination[i] = power.AddEnergy<LanesScalar, double>(destination[i], element);
            }
        }
    }

    /// <summary>Any strides, in elements.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Strided(
        byte* source, int count, int kernel, long innerStride, long kernelStride, double* destination, TPower power)
    {
        for (int i = 0; i < count; i++)
        {
            byte* channel = source + (i * innerStride * TElement.Bytes);
            double sum = 0;
            for (int k = 0; k < kernel; k++)
            {
                double element = TElement.Load<LanesScalar, double>(channel + (k * kernelStride * TElement.Bytes));
                sum = power.AddEnergy<LanesScalar, double>(sum, element);
            }

            destination[i] = sum;
        }
    }

    // The last, partial vector of a run is loaded so that it ENDS with the run; lanes already summed are masked away.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector LongRun(byte* run, int kernel, TVector tailMask, TPower power)
    {
        Prefetch.Line(run + Prefetch.Distance);
        TVector sum = power.Energy<TLanes, TVector>(TElement.Load<TLanes, TVector>(run));
        int k = TLanes.Count;
        for (; k <= kernel - TLanes.Count; k += TLanes.Count)
        {
            Prefetch.Line(run + (k * TElement.Bytes) + Prefetch.Distance);
            sum = power.AddEnergy<TLanes, TVector>(sum, TElement.Load<TLanes, TVector>(run + (k * TElement.Bytes)));
        }

        if (k < kernel)
        {
            byte* end = run + ((long)(kernel - TLanes.Count) * TElement.Bytes);
            TVector element = TLanes.And(TElement.Load<TLanes, TVector>(end), tailMask);
            sum = power.AddEnergy<TLanes, TVector>(sum, element);
        }

        return sum;
    }

    /// <summary>All ones in the last kernel % Count lanes, or in the first if the kernel is shorter than a vector.</summary>
    private static byte* TailMask(int kernel, long* lanes)
    {
        int rest = kernel % TLanes.Count;
        for (int lane = 0; lane < TLanes.Count; lane++)
        {
            bool set = kernel < TLanes.Count ? lane < rest : lane >= TLanes.Count - rest;
            lanes[lane] = set ? -1 : 0;
        }

        return (byte*)lanes;
    }
}
