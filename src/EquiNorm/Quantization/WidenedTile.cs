// A rectangle of a weight as it would be written with some factors, widened to float64: round(W[o, i, k] * (outer[o] * inner[i])), rounded by
// the kernel that the writers use, so that the survey of factors has the same bits as the survey of what is written. Rows of the result are
// rows of the rectangle and hold inner * kernel elements, kernel positions inside, or outside where they lie so in memory.

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using EquiNorm.Backends.Cpu;

namespace EquiNorm.Quantization;

/// <summary>Room for one rectangle; one for each thread.</summary>
internal sealed unsafe class WidenedTile
{
    private readonly byte[] _stored;
    private readonly double[] _values;

    /// <param name="elements">Elements of the largest rectangle.</param>
    public WidenedTile(long elements)
    {
        _stored = GC.AllocateUninitializedArray<byte>(checked((int)elements * sizeof(double)), pinned: true);
        _values = GC.AllocateUninitializedArray<double>(checked((int)elements), pinned: true);
        Values = (double*)Marshal.UnsafeAddrOfPinnedArrayElement(_values, 0);
    }

    /// <summary>The elements, [rows][inner * kernel].</summary>
    public double* Values { get; }

    /// <summary>Whether kernel positions of one channel lie apart in a row: [kernel][inner] instead of [inner][kernel].</summary>
    public bool KernelOutside { get; private set; }

    /// <summary>Reads a rectangle.</summary>
    /// <param name="source">The stored elements.</param>
    /// <param name="outer">A factor for each row; null if all factors are 1.</param>
    /// <param name="inner">A factor for each column; null if all are 1.</param>
    public void Read(in MatrixView source, double* outer, double* inner)
    {
        KernelOutside = source.Layout == MatrixLayout.ContiguousInner;
        if (outer is null && source.Layout != MatrixLayout.Strided)
        {
            Widen(source);
            return;
        }

        fixed (byte* stored = _stored)
        {
            var rowElements = (long)source.Inner * source.Kernel;
            var copy = KernelOutside
                ? new MatrixView(stored, source.Type, source.Outer, source.Inner, source.Kernel, rowElements, 1, source.Inner)
                : MatrixView.RowMajor(stored, source.Type, source.Outer, source.Inner, source.Kernel);
            ScaleKernels.Apply(source, copy, outer, inner, VectorWidths.Default);
            Widen(copy);
        }
    }

    private void Widen(in MatrixView view)
    {
        var kernel = new Widening { View = view, Destination = Values };
        KernelDispatch.Run(ref kernel, VectorWidths.Default, view.Type);
    }

    private struct Widening : IElementKernel
    {
        public MatrixView View;
        public double* Destination;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run<TLanes, TVector, TElement>()
            where TLanes : struct, ILanes<TVector>
            where TVector : unmanaged
            where TElement : struct, IElement
        {
            var outside = View.Layout == MatrixLayout.ContiguousInner;
            var (runs, count) = outside ? (View.Kernel, View.Inner) : (1, View.Inner * View.Kernel);
            for (var r = 0; r < View.Outer; r++)
            {
                for (var k = 0; k < runs; k++, Destination += count)
                {
                    Run<TLanes, TVector, TElement>(View.At(r, 0, k), count);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Run<TLanes, TVector, TElement>(byte* source, int count)
            where TLanes : struct, ILanes<TVector>
            where TVector : unmanaged
            where TElement : struct, IElement
        {
            var j = 0;
            for (; j <= count - TLanes.Count; j += TLanes.Count)
            {
                TLanes.StoreFloat64((byte*)(Destination + j), TElement.Load<TLanes, TVector>(source + (long)j * TElement.Bytes));
            }

            for (; j < count; j++)
            {
                Destination[j] = TElement.Load<LanesScalar, double>(source + (long)j * TElement.Bytes);
            }
        }
    }
}
