using EquiNorm.Backends.Cpu;
using EquiNorm.Model;

using NUnit.Framework;

namespace EquiNorm.Tests.Backends.Cpu;

public sealed unsafe class SumKernelsTests
{
    public enum Source
    {
        Stored,
        OnTheFly,
        Materialised,
    }

    [Test]
    public void Sums_match_scalar_loops(
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Widths))] int width, [Values] Source source)
    {
        int turn = 0;
        foreach (int inner in KernelCases.Extents)
        {
            foreach (int outer in new[] { 0, 1, 3, 4, 5, 8, 11 })
            {
                for (int pairs = 1; pairs < 9; pairs++)
                {
                    int kernel = turn % 3 == 0 ? 9 : 1;
                    double p = (turn % 5) switch { 0 or 2 => 2, 1 or 3 => 1, _ => double.PositiveInfinity };
                    turn++;
                    Check(width, source, ElementType.Float32, TestLayout.RowMajorWithGaps, outer, inner, kernel, p, pairs);
                }
            }
        }
    }

    [Test]
    public void All_types_and_layouts(
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Types))] ElementType type,
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Layouts))] TestLayout layout, [Values] Source source)
    {
        foreach (int width in KernelCases.Widths)
        {
            foreach (double p in new[] { 1, 1.3, 2, double.PositiveInfinity })
            {
                Check(width, source, type, layout, 5, 33, 1, p, 4);
                Check(width, source, type, layout, 6, 19, 9, p, 8);
            }
        }
    }

    [Test]
    public void Long_rows_are_cut_into_chunks(
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Widths))] int width, [Values] Source source)
    {
        Check(width, source, ElementType.Float32, TestLayout.RowMajor, 6, 4103, 1, 2, 4);
        Check(width, source, ElementType.Float32, TestLayout.RowMajor, 6, 2048, 2, 2, 8);
        Check(width, source, ElementType.Float32, TestLayout.RowMajor, 6, 4103, 1, double.PositiveInfinity, 8);
    }

    [Test]
    public void Non_finite_weights_reach_both_sums(
        [Values(double.NaN, double.PositiveInfinity, double.NegativeInfinity)] double bad, [Values(2, double.PositiveInfinity)] double p)
    {
        foreach (int width in KernelCases.Widths)
        {
            for (int at = 0; at < 5 * 19; at++)
            {
                using GuardedMemory weights = KernelCases.Weights(
                    ElementType.Float32, TestLayout.RowMajor, 5, 19, 1, out MatrixView view);
                Oracle.Write(view.At(at / 19, at % 19, 0), ElementType.Float32, bad);
                double[] rows = new double[5], columns = new double[19], ones = KernelCases.Factors(19, 1);
                fixed (double* r = rows, c = columns, f = ones)
                {
                    var sums = new TileSums { InnerFactor = f, OuterSums = r, OuterFactor = f, InnerSums = c, TakesLargest = double.IsPositiveInfinity(p) };
                    SumKernels.Accumulate(view, new(p), null, null, sums, (VectorWidth)width);
                }

                Assert.That(rows.Select(double.IsFinite), Is.EqualTo(Enumerable.Range(0, 5).Select(o => o != at / 19)));
                Assert.That(columns.Select(double.IsFinite), Is.EqualTo(Enumerable.Range(0, 19).Select(i => i != at % 19)));
            }
        }
    }

    private static void Check(
        int width, Source source, ElementType type, TestLayout layout, int outer, int inner, int kernel, double p, int pairs)
    {
        (int dots, int axpys) = (pairs / 3, pairs % 3);
        using GuardedMemory weights = KernelCases.Weights(type, layout, outer, inner, kernel, out MatrixView view);
        double[,] energies = Oracle.Energies(view, p);
        double[][] y = [KernelCases.Factors(inner, 11), KernelCases.Factors(inner, 12)];
        double[][] x = [KernelCases.Factors(outer, 13), KernelCases.Factors(outer, 14)];
        string what = $"{source} {layout} {type} {outer}x{inner}x{kernel} p={p} dots={dots} axpys={axpys} width={width}";
        (double[][] rows, double[][] columns) = Compute(width, source, view, energies, p, dots, axpys, x, y);
        (double[][] again, double[][] againColumns) = Compute(width, source, view, energies, p, dots, axpys, x, y);
        for (int n = 0; n < 2; n++)
        {
            for (int o = 0; o < outer; o++)
            {
                double expected = n < dots ? Total(p, Enumerable.Range(0, inner).Select(i => energies[o, i] * y[n][i])) : -1;
                KernelCases.AssertClose(rows[n][o], expected, 1e-13, $"{what} row {o} of pair {n}");
            }

            for (int i = 0; i < inner; i++)
            {
                // Column sums are added to (or compared with) what is there.
                double expected = n < axpys ? Total(p, Enumerable.Range(0, outer).Select(o => energies[o, i] * x[n][o]).Append(There)) : There;
                KernelCases.AssertClose(columns[n][i], expected, 1e-13, $"{what} column {i} of pair {n}");
            }

            Assert.That(rows[n].AsSpan().SequenceEqual(again[n]) && columns[n].AsSpan().SequenceEqual(againColumns[n]), what);
        }
    }

    private const double There = 0.2;

    private static double Total(double p, IEnumerable<double> terms) =>
        double.IsPositiveInfinity(p) ? terms.DefaultIfEmpty(0).Max() : terms.Sum();

    private static (double[][] Rows, double[][] Columns) Compute(
        int width, Source source, in MatrixView view, double[,] energies, double p, int dots, int axpys, double[][] x, double[][] y)
    {
        int stride = view.Inner + 3;
        using GuardedMemory r0 = Filled(view.Outer, -1), r1 = Filled(view.Outer, -1);
        using GuardedMemory c0 = Filled(view.Inner, There), c1 = Filled(view.Inner, There);
        using GuardedMemory x0 = GuardedMemory.Of(x[0]), x1 = GuardedMemory.Of(x[1]);
        using GuardedMemory y0 = GuardedMemory.Of(y[0]), y1 = GuardedMemory.Of(y[1]);
        using GuardedMemory stored = Filled(Math.Max(0, ((view.Outer - 1) * stride) + view.Inner), -7);
        var sums = new TileSums
        {
            InnerFactor = y0.Doubles,
            OuterSums = dots > 0 ? r0.Doubles : null,
            InnerFactor2 = y1.Doubles,
            OuterSums2 = dots > 1 ? r1.Doubles : null,
            OuterFactor = x0.Doubles,
            InnerSums = axpys > 0 ? c0.Doubles : null,
            OuterFactor2 = x1.Doubles,
            InnerSums2 = axpys > 1 ? c1.Doubles : null,
            TakesLargest = double.IsPositiveInfinity(p),
        };
        switch (source)
        {
            case Source.Stored:
                EnergyKernels.Compute(view, new(p), null, null, stored.Doubles, stride, (VectorWidth)width);
                SumKernels.Accumulate(
                    new EnergyTile((nint)stored.Doubles, view.Outer, view.Inner, stride), sums, (VectorWidth)width);
                break;
            case Source.OnTheFly:
                SumKernels.Accumulate(view, new(p), null, null, sums, (VectorWidth)width);
                break;
            default:
                SumKernels.Materialise(view, new(p), null, null, stored.Doubles, stride, sums, (VectorWidth)width);
                for (int at = 0; at < stored.AsDoubles.Length; at++)
                {
                    double expected = at % stride < view.Inner ? energies[at / stride, at % stride] : -7;
                    KernelCases.AssertClose(stored.AsDoubles[at], expected, 1e-13, "stored energy");
                }

                break;
        }

        foreach (GuardedMemory memory in new[] { r0, r1, c0, c1, stored })
        {
            memory.AssertBandsIntact();
        }

        return ([r0.AsDoubles.ToArray(), r1.AsDoubles.ToArray()], [c0.AsDoubles.ToArray(), c1.AsDoubles.ToArray()]);
    }

    private static GuardedMemory Filled(int count, double value)
    {
        var memory = new GuardedMemory(count * 8, 8);
        memory.AsDoubles.Fill(value);
        return memory;
    }
}
