using EquiNorm.Embedding;
using EquiNorm.Gpu.Cuda;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Testing;

namespace EquiNorm.Gpu.Tests.Cuda;

/// <summary>A session in a framework's context, on its streams and in its captures, with the kernels that ship.</summary>
internal sealed class CudaSessionTests : FakeCudaFixture
{
    [Test]
    public void A_step_can_be_captured_by_the_caller_after_Prepare()
    {
        Fake.CreateContext();
        var stream = Fake.CreateStream();
        using var queue = CudaQueue.InCurrentContext(Fake.Driver, stream, KernelImages.Ptx);
        using var backend = new GpuBackend(queue, TensorLocation.Device);
        using var session = Bound(backend, queue);
        session.Prepare(stream);
        Fake.BeginCapture(stream);
        var (calls, launches) = (Fake.Log.Count, queue.Counters.Launches);
        session.Step(stream);
        Assert.That(Fake.Log.Skip(calls).Where(c => !c.StartsWith("cuCtx", StringComparison.Ordinal)).Distinct(), Is.EqualTo(new[] { "cuLaunchKernel" }), "a step is launches only");
        Assert.That(queue.Counters.Launches - launches, Is.EqualTo(6));
        Assert.That(Fake.EndCapture(stream), Is.True, "the capture is whole");
        session.Step(stream);
    }

    [Test]
    public void Without_Prepare_a_capture_is_refused_before_it_is_spoilt()
    {
        Fake.CreateContext();
        var (plain, captured) = (Fake.CreateStream(), Fake.CreateStream());
        using var queue = CudaQueue.InCurrentContext(Fake.Driver, plain, KernelImages.Ptx);
        using var backend = new GpuBackend(queue, TensorLocation.Device);
        using var session = Bound(backend, queue);
        session.Prepare(captured);

        // Prepared on the stream, but bound anew since.
        Bind(session, queue, "b");
        Fake.BeginCapture(captured);
        Refusal(() => session.Step(captured), CudaErrorKind.Capture);
        Assert.That(Fake.EndCapture(captured), Is.True);

        // Prepared, but on another stream.
        session.Prepare(plain);
        Fake.BeginCapture(captured);
        Refusal(() => session.Step(captured), CudaErrorKind.Capture);
        Assert.That(Fake.EndCapture(captured), Is.True);
        session.Prepare(captured);
        Fake.BeginCapture(captured);
        session.Step(captured);
        Assert.That(Fake.EndCapture(captured), Is.True);
    }

    [Test]
    public void Streams_of_another_context_and_tensors_elsewhere_are_refused()
    {
        Fake.CreateContext();
        var foreign = Fake.CreateStream();
        Fake.CreateContext();
        var stream = Fake.CreateStream();
        using var queue = CudaQueue.InCurrentContext(Fake.Driver, stream, KernelImages.Ptx);
        using var backend = new GpuBackend(queue, TensorLocation.Device);
        using var session = Bound(backend, queue);
        Refusal(() => session.Step(foreign), CudaErrorKind.WrongContext);
        Assert.That(Fake.Launched, Is.Empty);
        session.Step(stream);
        var launched = Fake.Launched.Count;
        using var host = new AlignedBytes(64);
        session.Bind("a", new TensorView(host.Address, ElementType.Float32, 4, 3) { Device = TensorDevice.Cuda(0) });
        Assert.That(() => session.Step(stream), Throws.TypeOf<TensorException>().With.Message.Contains("'a'"), "an address that kernels cannot reach");
        Assert.That(Fake.Launched, Has.Count.EqualTo(launched), "nothing ran");
        Bind(session, queue, "a");
        session.Step(stream);
    }

    [Test]
    public void Nothing_is_left_when_any_call_fails()
    {
        for (var call = 0; ; call++)
        {
            Restart();
            Fake.CreateContext();
            var stream = Fake.CreateStream();
            var queue = CudaQueue.InCurrentContext(Fake.Driver, stream, KernelImages.Ptx);
            var backend = new GpuBackend(queue, TensorLocation.Device);
            var session = Bound(backend, queue);
            Fake.FailAt(call, CudaResult.OutOfMemory);
            try
            {
                session.Step(stream);
            }
            catch (CudaException)
            {
            }

            // Once the step is through, nothing shall fail any more: disposal has tests of its own.
            var failed = Fake.Failed;
            Fake.FailAt(1 << 20, CudaResult.Success);
            if (failed is not null)
            {
                session.Step(stream);
            }

            session.Dispose();
            backend.Dispose();
            queue.Dispose();
            Assert.That(Fake.Leaks, Is.EqualTo("1 streams"), $"the caller's, after call {call}, {failed}, failed");
            if (failed is null)
            {
                Assert.That(call, Is.GreaterThan(20));
                return;
            }
        }
    }

    private static RescalingSession Bound(GpuBackend backend, CudaQueue queue)
    {
        var builder = new NetworkBuilder();
        var hidden = builder.Weight(new("a", ElementType.Float32, WeightLayout.Dense(4, 3)), builder.Input("x", 3));
        builder.Output(builder.Weight(new("b", ElementType.Float32, WeightLayout.Dense(2, 4)), hidden));
        var session = new RescalingSession(new RescalingProblem(builder.Build()), backend);
        Bind(session, queue, "a");
        Bind(session, queue, "b");
        return session;
    }

    private static void Bind(RescalingSession session, CudaQueue queue, string name)
    {
        long[] shape = name == "a" ? [4, 3] : [2, 4];
        session.Bind(name, new TensorView((nint)queue.Allocate(64).Address, ElementType.Float32, shape) { Device = TensorDevice.Cuda(0) });
    }
}
