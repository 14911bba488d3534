using EquiNorm.Model;

namespace EquiNorm.Gpu.Bench.Check;

/// <summary>Elements of host tensors, whatever their type.</summary>
internal static unsafe class Elements
{
    /// <summary>All elements of a tensor as bytes.</summary>
    public static Span<byte> Bytes(TensorMemory memory) => new((void*)memory.Address, checked((int)(memory.Length * memory.ElementType.ByteSize())));

    /// <summary>An element as float64.</summary>
    public static double Read(TensorMemory memory, long index) => memory.ElementType switch
    {
        ElementType.Float32 => ((float*)memory.Address)[index],
        ElementType.Float64 => ((double*)memory.Address)[index],
        ElementType.Float16 => (double)((Half*)memory.Address)[index],
        _ => BitConverter.UInt32BitsToSingle((uint)((ushort*)memory.Address)[index] << 16),
    };

    /// <summary>The first element that two roundings of its type and those of the factors do not explain; -1 if there is none.</summary>
    public static long FirstDifference(TensorMemory expected, TensorMemory actual)
    {
        // Factors come as logarithms in float64: there and back they lose some units in the last place, which float64 elements show.
        var roundings = 4 * expected.ElementType.UnitRoundoff() + 1e-14;
        var smallest = 2 * SmallestStep(expected.ElementType);
        for (long n = 0; n < expected.Length; n++)
        {
            var (e, a) = (Read(expected, n), Read(actual, n));
            if (e != a && !(Math.Abs(e - a) <= roundings * Math.Abs(e) + smallest))
            {
                return n;
            }
        }

        return -1;
    }

    /// <summary>The first bit pattern that differs; -1 if there is none.</summary>
    public static int FirstDifferentByte(TensorMemory expected, TensorMemory actual)
    {
        var common = Bytes(expected).CommonPrefixLength(Bytes(actual));
        return common == Bytes(expected).Length ? -1 : common;
    }

    private static double SmallestStep(ElementType type) => type switch
    {
        ElementType.Float32 => float.Epsilon,
        ElementType.Float64 => double.Epsilon,
        ElementType.Float16 => (double)Half.Epsilon,
        _ => Math.ScaleB(1, -133),
    };
}
