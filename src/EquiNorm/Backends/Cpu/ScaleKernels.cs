// W'[o, i, k] = round(W[o, i, k] * (outer[o] * inner[i])): the product in float64, rounded once to the element type.
// Source and destination may be the same memory. Counted on the way: elements that overflow, elements that vanish.

using System.Runtime.CompilerServices;

namespace EquiNorm.Backends.Cpu;

/// <summary>What rounding did to the elements of a scaled tile.</summary>
/// <param name="Overflowed">Finite before, infinite after.</param>
/// <param name="Vanished">Not zero before, zero after.</param>
internal readonly record struct ScaleCounts(long Overflowed, long Vanished)
{
    public static ScaleCounts operator +(ScaleCounts left, ScaleCounts right) =>
        new(left.Overflowed + right.Overflowed, left.Vanished + right.Vanished);
}

internal static unsafe class ScaleKernels
{
    // Per-element factors of one chunk of a row: 24 KB, read again for every row of the tile. A 3x3 convolution of 256 channels is one
    // chunk: with two of half the size its rows are walked in strides, and conv-net with momentum takes 2 % longer.
    private const int ChunkElements = 3072;

    // A longer kernel would leave a chunk with fewer than eight channels: scale by one constant per run instead (not tuned).
    private const int LongestExpandedKernel = 256;

    /// <summary>
    /// Scales a tile into a view of the same shape and type. Factors, where not null, are finite and positive, one per
    /// row or column of the tile.
    /// </summary>
    [SkipLocalsInit]
    public static ScaleCounts Apply(
        in MatrixView source, in MatrixView destination, double* outerFactors, double* innerFactors, VectorWidth width)
    {
        if (source.Type != destination.Type || source.Outer != destination.Outer
            || source.Inner != destination.Inner || source.Kernel != destination.Kernel)
        {
            throw new ArgumentException("Source and destination differ in shape or element type.", nameof(destination));
        }

        if (source.IsEmpty)
        {
            return default;
        }

        byte* stack = stackalloc byte[(ChunkElements * sizeof(double)) + (2 * CacheLine.Bytes)];
        var kernel = new Kernel
        {
            Source = source,
            Destination = destination,
            Outer = outerFactors,
            Inner = innerFactors,
            Expanded = (double*)CacheLine.Align(stack),
        };
        KernelDispatch.Run(ref kernel, width, source.Type);
        return kernel.Counts;
    }

    private struct Kernel : IElementKernel
    {
        public MatrixView Source;
        public MatrixView Destination;
        public double* Outer;
        public double* Inner;
        public double* Expanded;
        public ScaleCounts Counts;

        public void Run<TLanes, TVector, TElement>()
            where TLanes : struct, ILanes<TVector>
            where TVector : unmanaged
            where TElement : struct, IElement
        {
            bool rows = Source.Layout == MatrixLayout.ContiguousRow && Destination.Layout == MatrixLayout.ContiguousRow;
            if (rows && Source.Kernel <= LongestExpandedKernel)
            {
                ExpandedRows<TLanes, TVector, TElement>();
            }
            else if (rows)
            {
                for (int i = 0; i < Source.Inner; i++)
                {
                    long offset = (long)i * Source.Kernel * TElement.Bytes;
                    Constant<TLanes, TVector, TElement>(
                        Source.Data + offset, Destination.Data + offset, Source.Kernel, Inner is null ? 1 : Inner[i]);
                }
            }
            else if (Source.Layout != MatrixLayout.Strided && Destination.Layout != MatrixLayout.Strided
                && (Source.Inner <= 1 || (Source.InnerStride == 1 && Destination.InnerStride == 1)))
            {
                for (int k = 0; k < Source.Kernel; k++)
                {
                    Run<TLanes, TVector, TElement>(Source.At(0, 0, k), Destination.At(0, 0, k), Source.Inner, Inner);
                }
            }
            else
            {
                Counts += ScaleLoops<TLanes, TVector, TElement>.Strided(Source, Destination, Outer, Inner);
            }
        }

        // Inner factors are spread over the kernel positions once per chunk, not once per row.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void ExpandedRows<TLanes, TVector, TElement>()
            where TLanes : struct, ILanes<TVector>
            where TVector : unmanaged
            where TElement : struct, IElement
        {
            int channels = ChunkElements / Source.Kernel;

            // Chunks of equal size, but of whole blocks of four vectors, so that only the end of a row has a tail.
            int chunks = (Source.Inner + channels - 1) / channels;
            int even = ((Source.Inner + chunks - 1) / chunks + 31) / 32 * 32;
            channels = even <= channels ? even : channels - (channels > 32 ? channels % 32 : 0);
            for (int i = 0; i < Source.Inner; i += channels)
            {
                int count = Math.Min(channels, Source.Inner - i);
                double* factors = Inner is null ? null : Inner + i;
                if (factors is not null && Source.Kernel > 1)
                {
                    Spread<TLanes, TVector>(factors, count, Source.Kernel, Expanded);
                    factors = Expanded;
                }

                long offset = (long)i * Source.Kernel * TElement.Bytes;
                Run<TLanes, TVector, TElement>(
                    Source.Data + offset, Destination.Data + offset, count * Source.Kernel, factors);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Run<TLanes, TVector, TElement>(byte* source, byte* destination, int count, double* factors)
            where TLanes : struct, ILanes<TVector>
            where TVector : unmanaged
            where TElement : struct, IElement
        {
            if (factors is null)
            {
                Constant<TLanes, TVector, TElement>(source, destination, count, 1);
                return;
            }

            Counts += ScaleLoops<TLanes, TVector, TElement>.Rows(
                source, Source.RowBytes, destination, Destination.RowBytes, Source.Outer, count, Outer, factors);
        }

        // Whole vectors, each of which runs into the channels behind it that are written next.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Spread<TLanes, TVector>(double* factors, int count, int kernel, double* expanded)
            where TLanes : struct, ILanes<TVector>
            where TVector : unmanaged
        {
            for (int c = 0; c < count; c++, expanded += kernel)
            {
                TVector factor = TLanes.Create(factors[c]);
                for (int k = 0; k < kernel; k += TLanes.Count)
                {
                    TLanes.StoreFloat64((byte*)(expanded + k), factor);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Constant<TLanes, TVector, TElement>(byte* source, byte* destination, int count, double factor)
            where TLanes : struct, ILanes<TVector>
            where TVector : unmanaged
            where TElement : struct, IElement
        {
            for (int r = 0; r < Source.Outer; r++)
            {
                Counts += ScaleLoops<TLanes, TVector, TElement>.Run(
                    source + (r * Source.RowBytes), destination + (r * Destination.RowBytes), count,
                    new ConstantFactor((Outer is null ? 1 : Outer[r]) * factor), Prefetch.Distance);
            }
        }
    }
}
