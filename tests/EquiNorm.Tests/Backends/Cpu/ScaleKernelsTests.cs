using EquiNorm.Backends.Cpu;
using EquiNorm.Model;

using NUnit.Framework;

namespace EquiNorm.Tests.Backends.Cpu;

public sealed unsafe class ScaleKernelsTests
{
    [Test]
    public void Every_element_is_rounded_once(
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Widths))] int width,
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Types))] ElementType type,
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Layouts))] TestLayout layout)
    {
        int turn = 0;
        foreach ((int inner, int kernel) in KernelCases.Shapes)
        {
            turn++;
            TestLayout target = turn % 3 == 0 ? layout : (TestLayout)(turn % 5);
            Check(width, type, layout, target, turn % 4, inner, kernel, turn % 3 == 0, turn % 5 != 0, turn % 7 != 0);
        }

        Check(width, type, layout, layout, 3, 2, 300, true, true, true);
        Check(width, type, layout, layout, 3, 700, 4, true, true, true);
    }

    [Test]
    public void Overflow_and_loss_are_counted(
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Widths))] int width,
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Types))] ElementType type)
    {
        const int columns = 203;
        using GuardedMemory weights = KernelCases.Weights(type, TestLayout.RowMajor, 3, columns, 1, out MatrixView view);
        var random = new Random(8);
        double[] factors = new double[columns];
        (int low, int high) = type switch
        {
            ElementType.Float16 => (-24, 15),
            ElementType.Float64 => (-1060, 1023),
            _ => (-133, 127),
        };
        for (int at = 0; at < 3 * columns; at++)
        {
            double value = random.Next(4) == 0 ? 0 : Math.ScaleB(random.NextDouble() - 0.5, random.Next(low, high));
            Oracle.Write(view.At(0, at, 0), type, value);
            factors[at % columns] = Math.ScaleB(1 + random.NextDouble(), random.Next(low, -low) / 2);
        }

        long overflowed = 0, vanished = 0;
        for (int at = 0; at < 3 * columns; at++)
        {
            double w = Oracle.Read(view.At(0, at, 0), type), scaled = Oracle.Round(type, w * factors[at % columns]);
            overflowed += double.IsFinite(w) && double.IsInfinity(scaled) ? 1 : 0;
            vanished += w != 0 && scaled == 0 ? 1 : 0;
        }

        Assert.That((overflowed > 5, vanished > 5), Is.EqualTo((true, true)), "the test must see both");
        using GuardedMemory inner = GuardedMemory.Of(factors);
        ScaleCounts counts = ScaleKernels.Apply(view, view, null, inner.Doubles, (VectorWidth)width);
        Assert.That(counts, Is.EqualTo(new ScaleCounts(overflowed, vanished)));
    }

    // One times a float64 factor is the factor rounded: every 16-bit number, every midpoint, and their neighbours.
    [Test]
    public void Narrow_rounding_is_exhaustively_to_nearest_even(
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Widths))] int width,
        [Values(ElementType.Float16, ElementType.BFloat16)] ElementType type)
    {
        int infinity = type == ElementType.Float16 ? 0x7C00 : 0x7F80;
        double end = type == ElementType.Float16 ? 65536 : Math.ScaleB(1, 128);
        var values = new List<double> { 0, -0.0, end, 2 * end, 1e300, 1e-300, double.MaxValue, double.PositiveInfinity };
        for (int bits = 0; bits < infinity; bits++)
        {
            double here = Oracle.Decode16(type, bits), next = bits + 1 == infinity ? end : Oracle.Decode16(type, bits + 1);
            double middle = (here + next) / 2;
            values.AddRange([here, middle, Math.BitDecrement(middle), Math.BitIncrement(middle), Math.BitIncrement(here), -middle]);
        }

        using GuardedMemory factors = GuardedMemory.Of(values.ToArray());
        using var ones = new GuardedMemory(values.Count * 2, 1);
        for (int i = 0; i < values.Count; i++)
        {
            Oracle.Write(ones.Data + (2 * i), type, 1);
        }

        MatrixView view = MatrixView.RowMajor(ones.Data, type, 1, values.Count, 1);
        ScaleKernels.Apply(view, view, null, factors.Doubles, (VectorWidth)width);
        for (int i = 0; i < values.Count; i++)
        {
            ushort actual = BitConverter.ToUInt16(ones.Bytes.Slice(2 * i, 2)), expected = Oracle.Encode16(type, values[i]);
            if (actual != expected)
            {
                Assert.Fail($"{values[i]:R} became {actual:X4}, expected {expected:X4}");
            }
        }
    }

    [Test]
    public void A_factor_of_one_keeps_all_bits(
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Widths))] int width,
        [Values(ElementType.Float16, ElementType.BFloat16)] ElementType type)
    {
        using var all = new GuardedMemory(65536 * 2, 1);
        for (int bits = 0; bits < 65536; bits++)
        {
            BitConverter.TryWriteBytes(all.Bytes.Slice(2 * bits, 2), (ushort)bits);
        }

        MatrixView view = MatrixView.RowMajor(all.Data, type, 256, 256, 1);
        ScaleKernels.Apply(view, view, null, null, (VectorWidth)width);
        for (int bits = 0; bits < 65536; bits++)
        {
            ushort actual = BitConverter.ToUInt16(all.Bytes.Slice(2 * bits, 2));
            bool nan = double.IsNaN(Oracle.Decode16(type, bits));
            if (nan ? !double.IsNaN(Oracle.Decode16(type, actual)) : actual != bits)
            {
                Assert.Fail($"{bits:X4} became {actual:X4}");
            }
        }
    }

    [Test]
    public void Shapes_and_types_must_agree()
    {
        MatrixView a = MatrixView.RowMajor(null, ElementType.Float32, 0, 2, 1);
        Assert.Throws<ArgumentException>(() => ScaleKernels.Apply(
            a, MatrixView.RowMajor(null, ElementType.Float32, 0, 3, 1), null, null, VectorWidth.Scalar));
        Assert.Throws<ArgumentException>(() => ScaleKernels.Apply(
            a, MatrixView.RowMajor(null, ElementType.Float64, 0, 2, 1), null, null, VectorWidth.Scalar));
    }

    private static void Check(
        int width, ElementType type, TestLayout layout, TestLayout target, int outer, int inner, int kernel,
        bool inPlace, bool withOuter, bool withInner)
    {
        using GuardedMemory weights = KernelCases.Weights(type, layout, outer, inner, kernel, out MatrixView source);
        using GuardedMemory elsewhere = KernelCases.Weights(type, target, outer, inner, kernel, out MatrixView destination, 2);
        double[] x = KernelCases.Factors(outer, 21), y = KernelCases.Factors(inner, 22);
        GuardedMemory written = inPlace ? weights : elsewhere;
        destination = inPlace ? source : destination;
        byte[] expected = written.Bytes.ToArray();
        fixed (byte* start = expected)
        {
            for (int o = 0; o < outer; o++)
            {
                for (int i = 0; i < inner; i++)
                {
                    for (int k = 0; k < kernel; k++)
                    {
                        double factor = (withOuter ? x[o] : 1) * (withInner ? y[i] : 1);
                        double w = Oracle.Read(source.At(o, i, k), type);
                        Oracle.Write(start + (destination.At(o, i, k) - written.Data), type, w * factor);
                    }
                }
            }
        }

        using GuardedMemory outerFactors = GuardedMemory.Of(x), innerFactors = GuardedMemory.Of(y);
        ScaleCounts counts = ScaleKernels.Apply(
            source, destination, withOuter ? outerFactors.Doubles : null, withInner ? innerFactors.Doubles : null,
            (VectorWidth)width);
        string what = $"{layout} to {target} {type} {outer}x{inner}x{kernel} in place: {inPlace}";
        Assert.That(written.Bytes.SequenceEqual(expected), what);
        Assert.That(counts, Is.EqualTo(default(ScaleCounts)), what);
        written.AssertBandsIntact();
    }
}
