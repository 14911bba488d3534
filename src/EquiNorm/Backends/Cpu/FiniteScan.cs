// What a weight holds before anything is computed from it: the first NaN or infinity, in (outer, inner, kernel) order,
// and the largest finite magnitude, from which the prescale of PowerLaw is chosen.

using System.Runtime.CompilerServices;

namespace EquiNorm.Backends.Cpu;

/// <summary>The position of one element of a view.</summary>
internal readonly record struct ElementIndex(int Outer, int Inner, int Kernel);

internal static unsafe class FiniteScan
{
    /// <summary>The first element that is NaN or infinite, or null.</summary>
    public static ElementIndex? FirstNonFinite(in MatrixView view, VectorWidth width)
    {
        for (int o = 0; o < view.Outer; o++)
        {
            var kernel = new Kernel { View = view.Rows(o, 1), AllFinite = true };
            KernelDispatch.Run(ref kernel, width, view.Type);
            if (!kernel.AllFinite)
            {
                return FindInRow(view, o);
            }
        }

        return null;
    }

    /// <summary>The largest |w| among the finite elements; 0 if there are none.</summary>
    public static double MaxAbs(in MatrixView view, VectorWidth width)
    {
        var kernel = new Kernel { View = view };
        KernelDispatch.Run(ref kernel, width, view.Type);
        return kernel.Largest;
    }

    private static ElementIndex? FindInRow(in MatrixView view, int o)
    {
        for (int i = 0; i < view.Inner; i++)
        {
            for (int k = 0; k < view.Kernel; k++)
            {
                var one = new Kernel { View = new(view.At(o, i, k), view.Type, 1, 1, 1, 0, 0, 0), AllFinite = true };
                KernelDispatch.Run(ref one, VectorWidth.Scalar, view.Type);
                if (!one.AllFinite)
                {
                    return new(o, i, k);
                }
            }
        }

        return null;
    }

    private struct Kernel : IElementKernel
    {
        public MatrixView View;
        public bool AllFinite;
        public double Largest;

        public void Run<TLanes, TVector, TElement>()
            where TLanes : struct, ILanes<TVector>
            where TVector : unmanaged
            where TElement : struct, IElement
        {
            if (View.IsEmpty)
            {
                return;
            }

            MatrixLayout layout = View.Layout;
            for (int o = 0; o < View.Outer; o++)
            {
                if (layout == MatrixLayout.ContiguousRow)
                {
                    Scan<TLanes, TVector, TElement>(View.At(o, 0, 0), (long)View.Inner * View.Kernel);
                    continue;
                }

                for (int k = 0; k < View.Kernel; k++)
                {
                    if (layout == MatrixLayout.ContiguousInner)
                    {
                        Scan<TLanes, TVector, TElement>(View.At(o, 0, k), View.Inner);
                        continue;
                    }

                    for (int i = 0; i < View.Inner; i++)
                    {
                        Scan<LanesScalar, double, TElement>(View.At(o, i, k), 1);
                    }
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Scan<TLanes, TVector, TElement>(byte* run, long count)
            where TLanes : struct, ILanes<TVector>
            where TVector : unmanaged
            where TElement : struct, IElement
        {
            TVector infinity = TLanes.Create(double.PositiveInfinity);
            TVector largest = TLanes.Create(0);
            TVector suspect = TLanes.Create(0);
            long j = 0;
            for (; j <= count - TLanes.Count; j += TLanes.Count)
            {
                Prefetch.Line(run + (j * TElement.Bytes) + Prefetch.Distance);
                TVector magnitude = TLanes.Abs(TElement.Load<TLanes, TVector>(run + (j * TElement.Bytes)));
                TVector finite = TLanes.LessThan(magnitude, infinity);
                largest = TLanes.Max(largest, TLanes.And(magnitude, finite));

                // x - x is 0 for a finite x and NaN otherwise, and a NaN in a sum stays.
                suspect = TLanes.Add(suspect, TLanes.Subtract(magnitude, magnitude));
            }

            Largest = Math.Max(Largest, TLanes.MaxLane(largest));
            AllFinite &= TLanes.Sum(suspect) == 0;
            for (; j < count; j++)
            {
                double magnitude = Math.Abs(TElement.Load<LanesScalar, double>(run + (j * TElement.Bytes)));
                bool finite = double.IsFinite(magnitude);
                AllFinite &= finite;
                Largest = finite ? Math.Max(Largest, magnitude) : Largest;
            }
        }
    }
}
