using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Gpu.Tests.Cuda;

/// <summary>One queue, the caller's stream at each call.</summary>
internal sealed class CudaStreamTests : FakeCudaFixture
{
    [Test]
    public void Work_on_a_new_stream_runs_behind_the_work_on_the_old_one()
    {
        Fake.CreateContext();
        var (first, second) = (Fake.CreateStream(), Fake.CreateStream());
        using var queue = InCurrentContext(first);
        queue.Prepare([First, Second]);
        queue.Launch(First, 1, 32, 1);
        queue.UseStream(second);
        queue.Launch(Second, 1, 32, 2);
        Assert.That(queue.Stream, Is.EqualTo(second));
        Assert.That(Fake.Launched.Select(l => l.Stream), Is.EqualTo(new[] { first, second }));

        // Waiting for the new stream alone runs both, the old one first.
        queue.Synchronize();
        Assert.That(Fake.Executed.Select(l => l.Kernel), Is.EqualTo(new[] { "First", "Second" }));
    }

    [Test]
    public void The_same_stream_again_costs_nothing()
    {
        Fake.CreateContext();
        var stream = Fake.CreateStream();
        using var queue = InCurrentContext(stream);
        var calls = Fake.Calls;
        queue.UseStream(stream);
        Assert.That(Fake.Calls, Is.EqualTo(calls));
    }

    [Test]
    public void Copies_follow_the_stream()
    {
        Fake.CreateContext();
        var (first, second) = (Fake.CreateStream(), Fake.CreateStream());
        using var queue = InCurrentContext(first);
        var memory = queue.Allocate(4);
        queue.Upload([1, 2, 3, 4], memory.Address);
        queue.UseStream(second);
        var back = new byte[4];
        queue.Download(memory.Address, back);
        Assert.That(back, Is.EqualTo(new byte[] { 1, 2, 3, 4 }));
        queue.Upload([5, 6, 7, 8], memory.Address);
        queue.UseStream(first);
        queue.Download(memory.Address, back);
        Assert.That(back, Is.EqualTo(new byte[] { 5, 6, 7, 8 }));
    }

    [Test]
    public void A_stream_of_another_context_is_refused_and_the_old_one_stays()
    {
        Fake.CreateContext();
        var stranger = Fake.CreateStream();
        Fake.CreateContext();
        var stream = Fake.CreateStream();
        using var queue = InCurrentContext(stream);
        Refusal(() => queue.UseStream(stranger), CudaErrorKind.WrongContext);
        Refusal(() => queue.UseStream(0x77777), CudaErrorKind.WrongContext);
        Assert.That(queue.Stream, Is.EqualTo(stream));
        queue.Launch(First, 1, 32, 0);
        Assert.That(Fake.Launched.Single().Stream, Is.EqualTo(stream));
    }

    [Test]
    public void A_capture_is_not_spoilt_by_a_change_of_streams([Values] bool fromCaptured)
    {
        Fake.CreateContext();
        var (plain, captured) = (Fake.CreateStream(), Fake.CreateStream());
        using var queue = InCurrentContext(fromCaptured ? captured : plain);
        Fake.BeginCapture(captured);
        Refusal(() => queue.UseStream(fromCaptured ? plain : captured), CudaErrorKind.Capture);
        Assert.That(queue.Stream, Is.EqualTo(fromCaptured ? captured : plain));
        Assert.That(Fake.EndCapture(captured), Is.True);
    }

    [Test]
    public void Each_failing_call_leaves_the_old_stream([Values("cuEventCreate", "cuEventRecord", "cuStreamWaitEvent")] string call)
    {
        Fake.CreateContext();
        var (first, second) = (Fake.CreateStream(), Fake.CreateStream());
        var queue = InCurrentContext(first);
        Fake.FailIn(call, CudaResult.InvalidValue);
        Assert.Throws<CudaException>(() => queue.UseStream(second));
        Assert.That((queue.Stream, Fake.Failed), Is.EqualTo((first, call)));
        queue.UseStream(second);
        Assert.That(queue.Stream, Is.EqualTo(second));
        queue.Dispose();
        Assert.That(Fake.Leaks, Is.EqualTo("2 streams"), "the caller's");
    }

    [Test]
    public void A_stream_of_the_queues_own_is_given_back_whatever_is_used_last()
    {
        var queue = OnDevice();
        Fake.Push(Fake.RetainPrimary(0));
        var stream = Fake.CreateStream();
        queue.UseStream(stream);
        queue.Launch(First, 1, 32, 0);
        queue.Dispose();
        Assert.That(Fake.Leaks, Is.EqualTo("1 streams, 1 retained contexts"), "the caller's");
        Assert.That(Fake.HasStream(stream));
    }
}
