using EquiNorm.Backends.Cpu;
using EquiNorm.Model;

using NUnit.Framework;

namespace EquiNorm.Tests.Backends.Cpu;

public sealed unsafe class FiniteScanTests
{
    [Test]
    public void The_first_bad_element_is_named(
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Types))] ElementType type,
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Layouts))] TestLayout layout)
    {
        var random = new Random(4);
        foreach (int width in KernelCases.Widths)
        {
            for (int trial = 0; trial < 60; trial++)
            {
                (int outer, int inner, int kernel) = (1 + random.Next(4), 1 + random.Next(40), 1 + random.Next(10));
                using GuardedMemory weights = KernelCases.Weights(type, layout, outer, inner, kernel, out MatrixView view);
                Assert.That(FiniteScan.FirstNonFinite(view, (VectorWidth)width), Is.Null);
                int first = random.Next(outer * inner * kernel), second = random.Next(first, outer * inner * kernel);
                Oracle.Write(At(view, second), type, double.NegativeInfinity);
                Oracle.Write(At(view, first), type, trial % 2 == 0 ? double.NaN : double.PositiveInfinity);
                var expected = new ElementIndex(first / (inner * kernel), first / kernel % inner, first % kernel);
                Assert.That(FiniteScan.FirstNonFinite(view, (VectorWidth)width), Is.EqualTo(expected));
            }
        }
    }

    [Test]
    public void Largest_finite_magnitude(
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Types))] ElementType type,
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Layouts))] TestLayout layout)
    {
        foreach (int width in KernelCases.Widths)
        {
            foreach (int inner in KernelCases.Extents)
            {
                using GuardedMemory weights = KernelCases.Weights(type, layout, 2, inner, 3, out MatrixView view);
                double expected = 0;
                for (int at = 0; at < 2 * inner * 3; at++)
                {
                    if (at % 5 == 0)
                    {
                        Oracle.Write(At(view, at), type, at % 2 == 0 ? double.NaN : double.NegativeInfinity);
                    }
                    else
                    {
                        expected = Math.Max(expected, Math.Abs(Oracle.Read(At(view, at), type)));
                    }
                }

                Assert.That(FiniteScan.MaxAbs(view, (VectorWidth)width), Is.EqualTo(expected));
            }
        }
    }

    private static byte* At(in MatrixView view, int at) =>
        view.At(at / (view.Inner * view.Kernel), at / view.Kernel % view.Inner, at % view.Kernel);
}
