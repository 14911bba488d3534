// Tensors are bound and refused.
using System.Text;
using EquiNorm.Backends.Cpu;
using EquiNorm.Description;
using EquiNorm.Embedding;
using EquiNorm.Model;
using EquiNorm.Native.Abi;
using EquiNorm.Native.Failures;
using EquiNorm.Problem;

namespace EquiNorm.Native.Tests;

[TestFixture]
internal sealed unsafe class BindTests
{
    private static TestCaseData[] Refused =>
    [
        Case("type", Status.WrongType, t => t with { Type = TypeNumbers.Float64 }),
        Case("no type", Status.InvalidArgument, t => t with { Type = 4 }),
        Case("device", Status.WrongDevice, t => t with { DeviceKind = DeviceKinds.Cuda }),
        Case("no device", Status.WrongDevice, t => t with { DeviceKind = 10 }),
        Case("null", Status.NotBound, t => t with { Data = null }),
        Case("dimensions", Status.WrongShape, t => t with { Dimensions = 1 }),
        Case("no dimension", Status.WrongShape, t => t with { Dimensions = 0, Shape = null }),
        Case("negative dimensions", Status.InvalidArgument, t => t with { Dimensions = -1 }),
        Case("17 dimensions", Status.InvalidArgument, t => t with { Dimensions = 17 }),
        Case("no shape", Status.InvalidArgument, t => t with { Shape = null }),
        Case("shape in the first page", Status.InvalidArgument, t => t with { Shape = (long*)16 }),
        Case("strides in the first page", Status.InvalidArgument, t => t with { Strides = (long*)16 }),
        Case("reserved", Status.InvalidArgument, t => t with { Reserved = 1 }),
        Case("size 0", Status.InvalidArgument, t => t with { Size = 0 }),
        Case("size 40", Status.InvalidArgument, t => t with { Size = 40 }),
    ];

    [TestCaseSource(nameof(Refused))]
    public void A_tensor_that_does_not_fit_is_refused_and_the_old_one_stays(Status status, Func<TensorStruct, TensorStruct> change)
    {
        using var small = new SmallNetwork();
        Assert.That(Buffer<float>.Bind(small.Session, SmallNetwork.FirstName, change(small.First.Tensor)), Is.EqualTo(status));
        Assert.That(C.LastError, Is.Not.Empty);
        Assert.That(C.Step(small.Session), Is.EqualTo(Status.Ok));
    }

    [TestCase(new long[] { 5, 4 }, null)]
    [TestCase(new long[] { 3, 5 }, null)]
    [TestCase(new long[] { 5, 3 }, new long[] { 1, 5 })]
    [TestCase(new long[] { 5, 3 }, new long[] { 0, 1 })]
    [TestCase(new long[] { 5, 3 }, new long[] { -3, 1 })]
    [TestCase(new long[] { 5, 3 }, new long[] { long.MaxValue, 1 })]
    [TestCase(new long[] { 5, 3 }, new long[] { long.MinValue, 1 })]
    [TestCase(new long[] { -5, 3 }, null)]
    [TestCase(new long[] { long.MaxValue, long.MaxValue }, new long[] { long.MaxValue, long.MaxValue })]
    public void A_shape_that_differs_is_refused(long[] shape, long[]? strides)
    {
        using var small = new SmallNetwork();
        var buffer = new Buffer<float>(TypeNumbers.Float32, new float[64], shape, strides);
        Assert.That(buffer.Bind(small.Session, SmallNetwork.FirstName), Is.EqualTo(Status.WrongShape));
        Assert.That(C.LastError, Does.Contain("ensor").Or.Contains(SmallNetwork.FirstName));
    }

    [Test]
    public void A_companion_may_lie_otherwise_but_must_not_overlap()
    {
        using var small = new SmallNetwork();
        var transposed = new Buffer<float>(TypeNumbers.Float32, new float[64], [5, 3], [1, 5]);
        Assert.That(transposed.BindCompanion(small.Session, SmallNetwork.FirstName, CompanionNumbers.Copy), Is.EqualTo(Status.Ok), () => C.LastError);
        var overlapping = new Buffer<float>(TypeNumbers.Float32, new float[64], [5, 3], [1, 1]);
        Assert.That(overlapping.BindCompanion(small.Session, SmallNetwork.FirstName, CompanionNumbers.Copy), Is.EqualTo(Status.WrongShape));
        var endless = new Buffer<float>(TypeNumbers.Float32, new float[64], [5, 3], [1L << 61, 1]);
        Assert.That(endless.BindCompanion(small.Session, SmallNetwork.FirstName, CompanionNumbers.Copy), Is.EqualTo(Status.WrongShape));
        Assert.That(small.First.BindCompanion(small.Session, SmallNetwork.FirstName, 3), Is.EqualTo(Status.InvalidArgument));
        Assert.That(small.First.BindCompanion(small.Session, SmallNetwork.FirstName, 0, -1), Is.EqualTo(Status.InvalidArgument));
        Assert.That(small.First.BindCompanion(small.Session, "third", 0), Is.EqualTo(Status.UnknownTensor));
    }

    [Test]
    public void A_name_is_looked_up_as_UTF_8()
    {
        using var small = new SmallNetwork();
        Assert.That(small.First.Bind(small.Session, "premiere"), Is.EqualTo(Status.UnknownTensor));
        Assert.That(C.LastError, Does.Contain("premiere"));
        Assert.That(BindBytes([]), Is.EqualTo(Status.UnknownTensor), "the empty name");
        Assert.That(BindBytes([0xC3]), Is.EqualTo(Status.InvalidArgument), "half a letter");
        Assert.That(BindBytes([.. Enumerable.Repeat((byte)'x', 4096)]), Is.EqualTo(Status.UnknownTensor));
        Assert.That(BindBytes([.. Enumerable.Repeat((byte)'x', 4097)]), Is.EqualTo(Status.InvalidArgument));
        Assert.That(BindAt(null), Is.EqualTo(Status.InvalidArgument));
        Assert.That(BindAt((byte*)7), Is.EqualTo(Status.InvalidArgument));

        Status BindBytes(byte[] name)
        {
            fixed (byte* text = (byte[])[.. name, 0])
            {
                return BindAt(text);
            }
        }

        Status BindAt(byte* name)
        {
            var tensor = small.First.Tensor;
            return C.Bind(small.Session, name, &tensor);
        }
    }

    [Test]
    public void A_weight_that_is_not_bound_is_named()
    {
        using var small = new SmallNetwork(bind: false);
        Assert.That(small.First.Bind(small.Session, SmallNetwork.FirstName), Is.EqualTo(Status.Ok));
        Assert.That(C.Step(small.Session), Is.EqualTo(Status.NotBound));
        Assert.That(C.LastError, Does.Contain("second"));
        Assert.That(C.Solve(small.Session, out _), Is.EqualTo(Status.NotBound));
        Assert.That(C.Prepare(small.Session, 0), Is.EqualTo(Status.NotBound));
        nuint bytes;
        Assert.That(C.WorkspaceBytes(small.Session, &bytes), Is.EqualTo(Status.NotBound));
        Assert.That(small.Second.Bind(small.Session, "second"), Is.EqualTo(Status.Ok));
        Assert.That(C.Step(small.Session), Is.EqualTo(Status.Ok), "the bias need not be bound");
        fixed (byte* name = C.Name("second"))
        {
            Assert.That(C.Bind(small.Session, name, null), Is.EqualTo(Status.Ok));
        }

        Assert.That(C.Step(small.Session), Is.EqualTo(Status.NotBound));
    }

    [Test]
    public void Binding_anew_what_was_taken_back_binds_it()
    {
        using var small = new SmallNetwork();
        fixed (byte* name = C.Name("bias"))
        {
            Assert.That(C.Bind(small.Session, name, null), Is.EqualTo(Status.Ok));
            var before = small.Bias.Elements.ToArray();
            Assert.That(C.Step(small.Session), Is.EqualTo(Status.Ok));
            Assert.That(small.Bias.Elements, Is.EqualTo(before));
            Assert.That(small.Bias.Bind(small.Session, "bias"), Is.EqualTo(Status.Ok));
            small.First.Elements.AsSpan().Fill(100);
            Assert.That(C.Step(small.Session), Is.EqualTo(Status.Ok));
            Assert.That(small.Bias.Elements, Is.Not.EqualTo(before));

            var copy = new Buffer<float>(TypeNumbers.Float32, [1, 1, 1, 1, 1], [5]);
            Assert.That(copy.BindCompanion(small.Session, "bias", CompanionNumbers.Copy), Is.EqualTo(Status.Ok));
            Assert.That(C.BindCompanion(small.Session, name, CompanionNumbers.Copy, 0, null), Is.EqualTo(Status.Ok));
            Assert.That(C.BindCompanion(small.Session, name, CompanionNumbers.Copy, 1, null), Is.EqualTo(Status.Ok), "nothing was there");
            small.First.Elements.AsSpan().Fill(100);
            Assert.That(C.Step(small.Session), Is.EqualTo(Status.Ok));
            Assert.That(copy.Elements, Is.All.EqualTo(1f));
        }
    }

    [Test]
    public void Binding_the_same_again_allocates_nothing_and_a_step_what_the_session_does()
    {
        using var small = new SmallNetwork(o => o with { Threads = 1 });
        var momentum = new Buffer<float>(TypeNumbers.Float32, new float[15], [5, 3], [3, 1]);
        var (first, companion) = (small.First.Tensor, momentum.Tensor);
        var ok = true;
        var name = C.Name(SmallNetwork.FirstName);
        var binding = Allocated(() =>
        {
            var (t, c) = (first, companion);
            fixed (byte* text = name)
            {
                ok &= C.Bind(small.Session, text, &t) == Status.Ok;
                ok &= C.BindCompanion(small.Session, text, CompanionNumbers.FirstMoment, 0, &c) == Status.Ok;
            }
        });
        var stepping = Allocated(() => ok &= C.Step(small.Session) == Status.Ok);
        Assert.That(ok);
        Assert.That(binding, Is.Zero);

        using var session = new RescalingSession(
            new RescalingProblem(NetworkDescription.Parse(Encoding.UTF8.GetBytes(SmallNetwork.Json))), new CpuBackend(1), ownsBackend: true);
        session.Bind(SmallNetwork.FirstName, new TensorView((nint)first.Data, ElementType.Float32, 5, 3));
        session.Bind("bias", new TensorView((nint)small.Bias.Tensor.Data, ElementType.Float32, 5));
        session.Bind("second", new TensorView((nint)small.Second.Tensor.Data, ElementType.Float64, 2, 5));
        session.BindCompanion(SmallNetwork.FirstName, CompanionKind.FirstMoment, new TensorView((nint)companion.Data, ElementType.Float32, 5, 3));
        Assert.That(stepping, Is.LessThanOrEqualTo(Allocated(() => session.Step())));
    }

    private static long Allocated(Action work)
    {
        for (var n = 0; n < 100; n++)
        {
            work();
        }

        var start = GC.GetAllocatedBytesForCurrentThread();
        for (var n = 0; n < 100; n++)
        {
            work();
        }

        return GC.GetAllocatedBytesForCurrentThread() - start;
    }

    private static TestCaseData Case(string name, Status status, Func<TensorStruct, TensorStruct> change) =>
        new TestCaseData(status, change).SetArgDisplayNames(name, $"{status}");
}
