using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Gpu.Tests.Cuda;

internal sealed class CudaContextTests : FakeCudaFixture
{
    [Test]
    public void Each_call_restores_the_context_that_was_current_also_when_it_fails()
    {
        var mine = Fake.CreateContext();
        var memory = default(DeviceMemory);
        var back = new byte[100];
        CudaQueue queue = null!;
        CudaEvent mark = null!;
        (string Driver, Action Call)[] calls =
        [
            ("cuStreamCreate", () => queue = OnDevice()),
            ("cuModuleLoadDataEx", () => queue.Prepare([First])),
            ("cuMemAlloc_v2", () => memory = queue.Allocate(100)),
            ("cuMemcpyHtoDAsync_v2", () => queue.Upload(back, memory.Address)),
            ("cuMemsetD8Async", () => queue.Clear(memory.Address, 1)),
            ("cuLaunchKernel", () => queue.Launch(First, 1, 32, 0)),
            ("cuEventRecord", () => mark = queue.Record()),
            ("cuEventElapsedTime", () => queue.Elapsed(mark, mark)),
            ("cuMemcpyDtoHAsync_v2", () => queue.Download(memory.Address, back)),
            ("cuStreamSynchronize", () => queue.Synchronize()),
            ("cuPointerGetAttribute", () => queue.RequireReachable(memory.Address)),
            ("cuStreamEndCapture", () => queue.Capture(() => queue.Launch(First, 1, 32, 0)).Dispose()),
        ];
        foreach (var (driver, call) in calls)
        {
            Fake.FailIn(driver, CudaResult.InvalidValue);
            Assert.Throws<CudaException>(call, driver);
            Assert.That((Fake.CurrentContext, Fake.StackDepth), Is.EqualTo((mine, 1)), $"after {driver} failed");
            Assert.DoesNotThrow(call, driver);
            Assert.That((Fake.CurrentContext, Fake.StackDepth), Is.EqualTo((mine, 1)), $"after {driver}");
        }

        queue.Dispose();
        Assert.That((Fake.CurrentContext, Fake.StackDepth, Fake.Leaks), Is.EqualTo((mine, 1, "")));
    }

    [Test]
    public void A_context_that_is_current_is_not_pushed_again()
    {
        Fake.CreateContext();
        using var queue = InCurrentContext(0);
        queue.Launch(First, 1, 32, 0);
        queue.Synchronize();
        Assert.That(Fake.Log, Has.None.EqualTo("cuCtxPushCurrent_v2"));
    }

    [Test]
    public void The_callers_context_and_stream_stay_the_callers()
    {
        var context = Fake.CreateContext();
        var stream = Fake.CreateStream();
        var queue = InCurrentContext(stream);
        queue.Upload([1], queue.Allocate(1).Address);
        queue.Launch(First, 1, 32, 0);
        queue.Dispose();
        Assert.That(Fake.Exists(context) && Fake.HasStream(stream));
        Assert.That(Fake.Log, Has.None.EqualTo("cuStreamDestroy_v2").And.None.EqualTo("cuDevicePrimaryCtxRetain"));
        Assert.That(Fake.Leaks, Is.EqualTo("1 streams"), "the caller's");
    }

    [Test]
    public void A_queue_on_a_stream_of_the_primary_context_works_without_a_current_one()
    {
        // As PyTorch does: it retains the primary context and makes a stream in it.
        Fake.Push(Fake.RetainPrimary(0));
        var stream = Fake.CreateStream();
        Fake.Pop();
        var queue = OnStream(stream);
        queue.Launch(First, 1, 32, 0);
        Assert.That(Fake.Launched.Single().Stream, Is.EqualTo(stream));
        Assert.That(Fake.Launched.Single().Context, Is.EqualTo(Fake.RetainPrimary(0)));
        queue.Dispose();
        Assert.That(Fake.HasStream(stream));
        using (var onDefault = OnStream(0))
        {
            onDefault.Launch(First, 1, 32, 0);
        }

        Assert.That(Fake.Executed, Has.Count.EqualTo(2));
    }

    [Test]
    public void A_stream_of_another_context_is_refused()
    {
        Fake.CreateContext();
        var stream = Fake.CreateStream();
        Refusal(() => OnStream(stream), CudaErrorKind.WrongContext);
        Fake.CreateContext();
        Refusal(() => InCurrentContext(stream), CudaErrorKind.WrongContext);
        Assert.That(Refusal(() => InCurrentContext(0x77777), CudaErrorKind.WrongContext).Message, Does.Contain("0x77777 is not a stream"));
        Assert.That(Fake.Leaks, Is.EqualTo("1 streams"), "the caller's");
    }

    [Test]
    public void Without_a_current_context_there_is_no_queue_in_it() =>
        Assert.That(Refusal(() => InCurrentContext(0), CudaErrorKind.WrongContext).Message, Does.Contain("OnDevice"));

    [Test]
    public void A_context_that_ended_before_its_queue_is_left_alone()
    {
        var context = Fake.CreateContext();
        var stream = Fake.CreateStream();
        var queue = InCurrentContext(stream);
        queue.Upload([1], queue.Allocate(1).Address);
        queue.Launch(First, 1, 32, 0);
        var mark = queue.Record();
        Fake.DestroyContext(context);
        Refusal(queue.Synchronize, CudaErrorKind.LostContext);
        mark.Dispose();
        queue.Dispose();
        Assert.That(Fake.Leaks, Is.Empty);
        Assert.That(Fake.Driver.Modules.Contexts, Is.Zero);
    }

    [Test]
    public void A_lost_context_is_said_to_be_lost()
    {
        Fake.Kernel = _ => CudaResult.IllegalAddress;
        var queue = OnDevice();
        var memory = queue.Allocate(1);
        queue.Launch(First, 1, 32, 0);
        var refusal = Refusal(queue.Synchronize, CudaErrorKind.LostContext);
        Assert.That(refusal.Message, Does.Contain("cuStreamSynchronize").And.Contain("CUDA_ERROR_ILLEGAL_ADDRESS").And.Contain("unusable"));
        Refusal(() => queue.Upload([1], memory.Address), CudaErrorKind.LostContext);
        Refusal(() => queue.Launch(First, 1, 32, 0), CudaErrorKind.LostContext);
        queue.Dispose();
        Assert.That((Fake.StackDepth, Fake.Leaks), Is.EqualTo((0, "")));
    }
}
