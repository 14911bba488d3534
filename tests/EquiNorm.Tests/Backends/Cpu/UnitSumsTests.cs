using EquiNorm.Backends.Cpu;
using EquiNorm.Model;

using NUnit.Framework;

namespace EquiNorm.Tests.Backends.Cpu;

/// <summary>Row and column sums without factors, against scalar loops.</summary>
public sealed unsafe class UnitSumsTests
{
    [Test]
    public void Sums_match_scalar_loops(
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Widths))] int width,
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Types))] ElementType type,
        [ValueSource(typeof(KernelCases), nameof(KernelCases.Layouts))] TestLayout layout)
    {
        var turn = 0;
        foreach (var (inner, kernel) in KernelCases.Shapes)
        {
            turn++;
            Check(width, type, layout, new[] { 0, 1, 7, 8, 9, 16, 19 }[turn % 7], inner, kernel, p: turn % 2 == 0 ? 2 : 1);
        }

        Check(width, type, layout, 9, 4099, 1, 2);
        Check(width, type, layout, 9, 700, 9, 2);
        Check(width, type, layout, 9, 3, 700, 2);
    }

    [TestCase(double.NaN)]
    [TestCase(double.PositiveInfinity)]
    public void What_is_not_finite_reaches_both_sums_of_its_place_and_no_other(double value)
    {
        foreach (var column in new[] { 0, 8, 36, 37 })
        {
            using var weights = KernelCases.Weights(ElementType.Float32, TestLayout.RowMajor, 11, 38, 1, out var view);
            Oracle.Write(view.At(5, column, 0), ElementType.Float32, value);
            using GuardedMemory outer = GuardedMemory.Of(new double[11]), inner = GuardedMemory.Of(new double[38]);

            UnitSums.Run(view, new PowerLaw(2), outer.Doubles, inner.Doubles, VectorWidths.Default);

            Assert.That(Places(outer), Is.EqualTo(new[] { 5 }));
            Assert.That(Places(inner), Is.EqualTo(new[] { column }));
        }

        static int[] Places(GuardedMemory sums) =>
            [.. sums.AsDoubles.ToArray().Select((s, n) => double.IsFinite(s) ? -1 : n).Where(n => n >= 0)];
    }

    private static void Check(int width, ElementType type, TestLayout layout, int outer, int inner, int kernel, double p)
    {
        using var weights = KernelCases.Weights(type, layout, outer, inner, kernel, out var view);
        var law = new PowerLaw(p);
        if (!UnitSums.CanRun(view, law))
        {
            Assert.That(
                type == ElementType.Float64 || view.Layout == MatrixLayout.Strided, Is.True, $"{type} {layout} [{outer}, {inner}, {kernel}]");
            return;
        }

        // Sums are added to.
        var energies = Oracle.Energies(view, p);
        var rows = new double[outer];
        var columns = new double[inner];
        Array.Fill(rows, 1);
        Array.Fill(columns, 2);
        using GuardedMemory outerSums = GuardedMemory.Of(rows), innerSums = GuardedMemory.Of(columns);
        for (var o = 0; o < outer; o++)
        {
            for (var i = 0; i < inner; i++)
            {
                rows[o] += energies[o, i];
                columns[i] += energies[o, i];
            }
        }

        UnitSums.Run(view, law, outerSums.Doubles, innerSums.Doubles, (VectorWidth)width);

        var what = $"{width} bits, {type} {layout} [{outer}, {inner}, {kernel}], p = {p}";
        for (var o = 0; o < outer; o++)
        {
            KernelCases.AssertClose(outerSums.Doubles[o], rows[o], 1e-13, what);
        }

        for (var i = 0; i < inner; i++)
        {
            KernelCases.AssertClose(innerSums.Doubles[i], columns[i], 1e-13, what);
        }

        outerSums.AssertBandsIntact();
        innerSums.AssertBandsIntact();
    }
}
