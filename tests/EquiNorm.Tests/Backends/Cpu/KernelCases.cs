// The cross product that kernel tests walk: widths of this machine, element types, memory layouts and shapes.

using EquiNorm.Backends.Cpu;
using EquiNorm.Model;

using NUnit.Framework;

namespace EquiNorm.Tests.Backends.Cpu;

public enum TestLayout
{
    RowMajor,
    RowMajorWithGaps,
    Planes,
    Strided,
    Transposed,
}

internal static unsafe class KernelCases
{
    public static readonly int[] Extents = [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 257];
    public static readonly int[] Kernels = [1, 2, 3, 4, 9, 25, 49];

    /// <summary>All pairs of extents, but only every third of the large ones: they exercise nothing new and take most of the time.</summary>
    public static IEnumerable<(int Inner, int Kernel)> Shapes =>
        Extents.SelectMany(inner => Kernels, (inner, kernel) => (inner, kernel))
            .Where(shape => shape.inner * shape.kernel < 400 || (shape.inner + shape.kernel) % 3 == 0);

    public static IEnumerable<int> Widths => VectorWidths.Available.Select(width => (int)width);

    public static IEnumerable<ElementType> Types => Enum.GetValues<ElementType>();

    public static IEnumerable<TestLayout> Layouts => Enum.GetValues<TestLayout>();

    /// <summary>Random weights in a layout; the payload is exactly what the layout spans.</summary>
    public static GuardedMemory Weights(
        ElementType type, TestLayout layout, int outer, int inner, int kernel, out MatrixView view, int seed = 1)
    {
        (long O, long I, long K) strides = layout switch
        {
            TestLayout.RowMajor => ((long)inner * kernel, kernel, 1L),
            TestLayout.RowMajorWithGaps => (((long)inner * kernel) + 5, kernel, 1),
            TestLayout.Planes => (((long)inner + 1) * kernel, 1, inner + 1),
            TestLayout.Strided => ((long)inner * ((2 * kernel) + 1), (2 * kernel) + 1, 2),
            _ => (1, (long)outer * kernel, outer),
        };
        (long o, long i, long k) = strides;
        bool empty = outer == 0 || inner == 0 || kernel == 0;
        long last = empty ? 0 : ((outer - 1) * o) + ((inner - 1) * i) + ((kernel - 1) * k) + 1;
        int size = type.ByteSize();
        var memory = new GuardedMemory((int)last * size, 3);
        view = new(memory.Data, type, outer, inner, kernel, o, i, k);
        var random = new Random(seed);
        for (int at = 0; at < last; at++)
        {
            Oracle.Write(memory.Data + (at * size), type, random.NextDouble() - 0.5);
        }

        return memory;
    }

    public static double[] Factors(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => Math.Exp(random.NextDouble() - 0.5))];
    }

    public static void AssertClose(double actual, double expected, double relative, string what)
    {
        // Not Assert.That(... Within ...): it is called millions of times.
        if (actual != expected && !(Math.Abs(actual - expected) <= relative * Math.Abs(expected)))
        {
            Assert.Fail($"{what}: {actual:R}, expected {expected:R}");
        }
    }
}
