// Solve, apply, and back.
using EquiNorm.Native.Abi;
using EquiNorm.Native.Failures;

namespace EquiNorm.Native.Tests;

[TestFixture]
internal sealed unsafe class SolveTests
{
    [Test]
    public void A_solve_writes_nothing_and_an_apply_reaches_what_it_found()
    {
        using var small = new SmallNetwork();
        var (before, elements) = (small.Objective, small.First.Elements.ToArray());
        Assert.That(C.Solve(small.Session, out var result), Is.EqualTo(Status.Ok), () => C.LastError);
        Assert.That(result.State, Is.EqualTo(SolveState.Converged));
        Assert.That(result.ObjectiveBefore, Is.EqualTo(before).Within(1e-12).Percent);
        Assert.That(result.Objective, Is.LessThan(before));
        Assert.That(result.GapBound, Is.InRange(0, 1e-10));
        Assert.That(result.Sweeps, Is.GreaterThan(0));
        Assert.That(small.First.Elements, Is.EqualTo(elements));

        var factors = small.HiddenFactors;
        Assert.That(C.Apply(small.Session, out var report), Is.EqualTo(Status.Ok), () => C.LastError);
        Assert.That(report.Applied, Is.EqualTo(1));
        Assert.That(small.Objective, Is.EqualTo(result.Objective).Within(1e-4).Percent);
        Assert.That(small.First.Elements[0] / elements[0], Is.EqualTo(Math.Exp(factors[0])).Within(1e-5));

        Assert.That(C.Apply(small.Session, out _, inverse: 1), Is.EqualTo(Status.Ok));
        Assert.That(small.First.Elements, Is.EqualTo(elements).Within(1e-4).Percent);
    }

    [Test]
    public void A_warm_start_starts_where_the_last_solve_ended()
    {
        using var small = new SmallNetwork();
        Assert.That(C.Solve(small.Session, out var cold), Is.EqualTo(Status.Ok));
        Assert.That(C.Solve(small.Session, out var warm, warm: 1), Is.EqualTo(Status.Ok));
        Assert.That(warm.Sweeps, Is.LessThanOrEqualTo(cold.Sweeps));
        Assert.That(warm.ObjectiveBefore, Is.EqualTo(cold.Objective).Within(1e-9).Percent);
        Assert.That(C.Solve(small.Session, out var again, warm: 0), Is.EqualTo(Status.Ok));
        Assert.That(again.ObjectiveBefore, Is.EqualTo(cold.ObjectiveBefore));
    }

    [Test]
    public void Without_a_solve_there_is_nothing_to_apply()
    {
        using var small = new SmallNetwork();
        Assert.That(C.Apply(small.Session, out _), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.LastError, Does.Contain("solve"));
        Assert.That(small.HiddenFactors, Is.All.Zero);
    }

    [TestCase(0, 10)]
    [TestCase(-1, 10)]
    [TestCase(double.NaN, 10)]
    [TestCase(double.PositiveInfinity, 10)]
    [TestCase(1e-8, 0)]
    [TestCase(1e-8, int.MinValue)]
    public void Bounds_out_of_range_are_refused(double tolerance, int sweeps)
    {
        using var small = new SmallNetwork();
        Assert.That(C.Solve(small.Session, out _, tolerance, sweeps), Is.EqualTo(Status.InvalidArgument));
    }

    [Test]
    public void Structs_are_checked_before_anything_is_done()
    {
        using var small = new SmallNetwork();
        Assert.That(C.Solve(small.Session, 0, 1e-8, 100, 0, null), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.Apply(small.Session, 0, 0, null), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.Report(small.Session, null), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.Solve(small.Session, out _), Is.EqualTo(Status.Ok));
        var elements = small.First.Elements.ToArray();
        var report = default(StepReportStruct);
        Assert.That(C.Apply(small.Session, 0, 0, &report), Is.EqualTo(Status.InvalidArgument), "a size of 0");
        Assert.That(small.First.Elements, Is.EqualTo(elements));
    }

    [Test]
    public void Log_factors_need_room_for_their_axis()
    {
        using var small = new SmallNetwork();
        Assert.That(C.Solve(small.Session, out _), Is.EqualTo(Status.Ok));
        Assert.That(C.LogFactors(small.Session, "second", 1, new double[5]), Is.EqualTo(Status.Ok));
        Assert.That(C.LogFactors(small.Session, "second", 1, new double[4]), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.LastError, Does.Contain("5 inputs"));
        Assert.That(C.LogFactors(small.Session, "second", 2, new double[5]), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.LogFactors(small.Session, "third", 0, new double[5]), Is.EqualTo(Status.UnknownTensor));
        fixed (byte* name = C.Name("second"))
        {
            Assert.That(C.LogFactors(small.Session, name, 0, null, 2), Is.EqualTo(Status.InvalidArgument));
            double factor;
            Assert.That(C.LogFactors(small.Session, name, 0, &factor, nuint.MaxValue), Is.EqualTo(Status.InvalidArgument));
        }

        var (first, second) = (new double[5], new double[5]);
        Assert.That(C.LogFactors(small.Session, SmallNetwork.FirstName, 0, first), Is.EqualTo(Status.Ok));
        Assert.That(C.LogFactors(small.Session, "second", 1, second), Is.EqualTo(Status.Ok));
        Assert.That(first, Is.EqualTo(second).And.Some.Not.Zero);
    }
}
