// Steps: what they write, what they report, when they refuse.
using EquiNorm.Native.Abi;
using EquiNorm.Native.Failures;

namespace EquiNorm.Native.Tests;

[TestFixture]
internal sealed unsafe class StepTests
{
    [Test]
    public void Steps_lower_the_norm_keep_the_function_and_say_so()
    {
        using var small = new SmallNetwork();
        var before = small.Objective;
        var product = Product(small);
        int applied;
        Assert.That(C.Step(small.Session, 0, &applied), Is.EqualTo(Status.Ok), () => C.LastError);
        Assert.That(applied, Is.EqualTo(1));
        Assert.That(C.Report(small.Session, out var report), Is.EqualTo(Status.Ok));
        Assert.That(report.Applied, Is.EqualTo(1));
        Assert.That(report.ObjectiveBefore, Is.EqualTo(before).Within(1e-12).Percent);
        Assert.That(report.Residual, Is.GreaterThan(0));
        Assert.That(small.Objective, Is.LessThan(before));
        for (var n = 0; n < 50; n++)
        {
            Assert.That(C.Step(small.Session), Is.EqualTo(Status.Ok));
        }

        Assert.That(C.Report(small.Session, out report), Is.EqualTo(Status.Ok));
        Assert.That(report.Residual, Is.LessThan(1e-6));
        Assert.That(Product(small), Is.EqualTo(product).Within(1e-5));
    }

    [Test]
    public void Companions_of_every_kind_move_with_their_weight()
    {
        using var small = new SmallNetwork();
        var copy = new Buffer<double>(TypeNumbers.Float64, Ones<double>(15), [5, 3]);
        var moving = new Buffer<float>(TypeNumbers.Float32, Ones<float>(15), [5, 3], [1, 5]);
        var half = new Buffer<Half>(TypeNumbers.Float16, [.. Enumerable.Repeat((Half)1, 30)], [5, 3], [6, 2]);
        var moment = new Buffer<float>(TypeNumbers.Float32, Ones<float>(15), [5, 3]);
        var square = new Buffer<double>(TypeNumbers.Float64, Ones<double>(10), [2, 5]);
        var bias = new Buffer<float>(TypeNumbers.Float32, Ones<float>(5), [5]);
        Assert.That(
            (Status[])[
                copy.BindCompanion(small.Session, SmallNetwork.FirstName, CompanionNumbers.Copy),
                moving.BindCompanion(small.Session, SmallNetwork.FirstName, CompanionNumbers.Copy, 1),
                half.BindCompanion(small.Session, SmallNetwork.FirstName, CompanionNumbers.FirstMoment, 1),
                moment.BindCompanion(small.Session, SmallNetwork.FirstName, CompanionNumbers.FirstMoment),
                square.BindCompanion(small.Session, "second", CompanionNumbers.SecondMoment),
                bias.BindCompanion(small.Session, "bias", CompanionNumbers.FirstMoment)],
            Is.All.EqualTo(Status.Ok));
        Assert.That(C.Step(small.Session), Is.EqualTo(Status.Ok), () => C.LastError);
        var d = small.HiddenFactors.Select(Math.Exp).ToArray();
        Assert.That(d, Has.Some.Not.EqualTo(1.0).Within(0.1));
        for (var o = 0; o < 5; o++)
        {
            for (var i = 0; i < 3; i++)
            {
                Assert.That(copy.Elements[o * 3 + i], Is.EqualTo(d[o]).Within(1e-12));
                Assert.That(moving.Elements[o + i * 5], Is.EqualTo(d[o]).Within(1e-5));
                Assert.That((double)half.Elements[o * 6 + i * 2], Is.EqualTo(1 / d[o]).Within(0.1).Percent);
                Assert.That(half.Elements[o * 6 + i * 2 + 1], Is.EqualTo((Half)1), "between the elements");
                Assert.That(moment.Elements[o * 3 + i], Is.EqualTo(1 / d[o]).Within(1e-4).Percent);
            }

            Assert.That(bias.Elements[o], Is.EqualTo(1 / d[o]).Within(1e-4).Percent);
            for (var y = 0; y < 2; y++)
            {
                // The second weight is divided by d, its square average multiplied by d^2.
                Assert.That(square.Elements[y * 5 + o], Is.EqualTo(d[o] * d[o]).Within(1e-10).Percent);
            }
        }

        var input = new double[3];
        Assert.That(C.LogFactors(small.Session, SmallNetwork.FirstName, 1, input), Is.EqualTo(Status.Ok));
        Assert.That(input, Is.All.Zero, "the input is pinned");
    }

    [Test]
    public void Only_every_nth_call_does_something()
    {
        using var small = new SmallNetwork(o => o with { Every = 3 });
        var before = small.First.Elements.ToArray();
        var applied = -1;
        Assert.That(C.Report(small.Session, out var report), Is.EqualTo(Status.Ok));
        Assert.That((report.Applied, report.ObjectiveBefore), Is.EqualTo((0, double.NaN)), "before the first step");
        for (var n = 1; n <= 6; n++)
        {
            Assert.That(C.Step(small.Session, 0, &applied), Is.EqualTo(Status.Ok));
            Assert.That(applied, Is.EqualTo(n % 3 == 0 ? 1 : 0));
            Assert.That(C.Report(small.Session, out report), Is.EqualTo(Status.Ok));
            Assert.That(report.Applied, Is.EqualTo(applied));
            Assert.That(double.IsNaN(report.ObjectiveBefore), Is.EqualTo(applied == 0));
            Assert.That(small.First.Elements.SequenceEqual(before), Is.EqualTo(n < 3));
        }
    }

    [TestCase(float.NaN)]
    [TestCase(float.NegativeInfinity)]
    public void An_element_that_is_no_number_is_refused_and_nothing_is_written(float value)
    {
        using var small = new SmallNetwork();
        small.First.Elements[7] = value;
        var before = small.Second.Elements.ToArray();
        var applied = -1;
        Assert.That(C.Step(small.Session, 0, &applied), Is.EqualTo(Status.NonFinite));
        Assert.That(applied, Is.EqualTo(-1));
        Assert.That(C.LastError, Does.Contain(SmallNetwork.FirstName));
        Assert.That(small.Second.Elements, Is.EqualTo(before));
        Assert.That(C.Report(small.Session, out var report), Is.EqualTo(Status.NonFinite));
        Assert.That((report.Applied, report.ObjectiveBefore), Is.EqualTo((0, double.NaN)));
        Assert.That(C.Solve(small.Session, out _), Is.EqualTo(Status.NonFinite));
        Assert.That(C.LastError, Does.Contain(SmallNetwork.FirstName));
        Assert.That(C.Apply(small.Session, out _), Is.EqualTo(Status.InvalidArgument), "no factors were found");
        small.First.Elements[7] = 1;
        Assert.That(C.Step(small.Session), Is.EqualTo(Status.Ok));
    }

    [Test]
    public void A_stream_on_the_CPU_is_refused()
    {
        using var small = new SmallNetwork();
        var before = small.First.Elements.ToArray();
        var report = new StepReportStruct { Size = (uint)sizeof(StepReportStruct) };
        var result = new SolveResultStruct { Size = (uint)sizeof(SolveResultStruct) };
        Assert.That(C.Step(small.Session, 1, null), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.LastError, Does.Contain("stream"));
        Assert.That(C.Prepare(small.Session, 1), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.Solve(small.Session, 1, 1e-8, 10, 0, &result), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.Apply(small.Session, 1, 0, &report), Is.EqualTo(Status.InvalidArgument));
        Assert.That(small.First.Elements, Is.EqualTo(before));
    }

    [Test]
    public void A_workspace_may_be_given()
    {
        using var small = new SmallNetwork();
        using var other = new SmallNetwork();
        nuint bytes;
        Assert.That(C.WorkspaceBytes(small.Session, &bytes), Is.EqualTo(Status.Ok), () => C.LastError);
        var memory = System.Runtime.InteropServices.NativeMemory.AlignedAlloc(bytes + 256, 256);
        try
        {
            Assert.That(C.SetWorkspace(small.Session, (byte*)memory + 8, bytes), Is.EqualTo(Status.InvalidArgument));
            Assert.That(C.SetWorkspace(small.Session, null, 1), Is.EqualTo(Status.InvalidArgument));
            Assert.That(C.SetWorkspace(small.Session, memory, nuint.MaxValue), Is.EqualTo(Status.InvalidArgument));
            Assert.That(C.SetWorkspace(small.Session, memory, bytes), Is.EqualTo(Status.Ok), () => C.LastError);
            Assert.That(C.Prepare(small.Session, 0), Is.EqualTo(Status.Ok), () => C.LastError);
            Assert.That(C.Step(small.Session), Is.EqualTo(Status.Ok), () => C.LastError);
            Assert.That(C.SetWorkspace(small.Session, null, 0), Is.EqualTo(Status.Ok));
            Assert.That(C.Step(other.Session), Is.EqualTo(Status.Ok));
            Assert.That(small.First.Elements, Is.EqualTo(other.First.Elements));
            Assert.That(C.Step(small.Session), Is.EqualTo(Status.Ok));
        }
        finally
        {
            System.Runtime.InteropServices.NativeMemory.AlignedFree(memory);
        }
    }

    private static double[] Product(SmallNetwork small) => [.. Enumerable.Range(0, 6).Select(n => Enumerable.Range(0, 5)
        .Sum(h => small.Second.Elements[n / 3 * 5 + h] * small.First.Elements[h * 3 + n % 3]))];

    private static T[] Ones<T>(int count)
        where T : System.Numerics.INumber<T> => [.. Enumerable.Repeat(T.One, count)];
}
