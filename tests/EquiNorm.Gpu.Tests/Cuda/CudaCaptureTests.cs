using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Gpu.Tests.Cuda;

internal sealed class CudaCaptureTests : FakeCudaFixture
{
    [Test]
    public void A_graph_repeats_what_was_captured()
    {
        using var queue = OnDevice();
        var memory = queue.Allocate(64);
        queue.Prepare([First, Second]);
        queue.Upload([7, 7, 7, 7], memory.Address);
        var start = queue.Counters;
        using var graph = queue.Capture(() =>
        {
            queue.Launch(First, 3, 32, 11);
            queue.Clear(memory.Address, 2);
            queue.Launch(Second, 5, 64, 22);
        });
        queue.Synchronize();
        Assert.That(Fake.Executed, Is.Empty, "capturing runs nothing");
        Assert.That(queue.Counters - start, Is.EqualTo(new QueueCounters(0, 0, 1, 0)));
        graph.Launch();
        queue.Upload([9], memory.Address);
        graph.Launch();
        var back = new byte[4];
        queue.Download(memory.Address, back);
        Assert.Multiple(() =>
        {
            Assert.That(back, Is.EqualTo(new byte[] { 0, 0, 7, 7 }));
            Assert.That(Fake.Executed.Select(l => (l.Kernel, l.Groups, BitConverter.ToInt32(l.Block))), Is.EqualTo(new[]
            {
                ("First", 3u, 11), ("Second", 5u, 22), ("First", 3u, 11), ("Second", 5u, 22),
            }));
            Assert.That(graph.Captured, Is.EqualTo(new QueueCounters(2, 1, 0, 0)));
            Assert.That(queue.Counters - start, Is.EqualTo(new QueueCounters(4, 4, 2, 0)));
        });
    }

    private static readonly string[] Uncapturable =
        ["allocate", "free", "upload", "download", "synchronize", "record", "elapsed", "load", "prepare", "capture", "dispose"];

    [TestCaseSource(nameof(Uncapturable))]
    public void What_cannot_be_captured_is_refused_and_spoils_nothing(string what)
    {
        using var queue = OnDevice();
        var memory = queue.Allocate(64);
        using var mark = queue.Record();
        queue.Prepare([First]);
        var counters = queue.Counters;
        Action call = what switch
        {
            "allocate" => () => queue.Allocate(1),
            "free" => () => queue.Free(memory),
            "upload" => () => queue.Upload(new byte[1], memory.Address),
            "download" => () => queue.Download(memory.Address, new byte[1]),
            "synchronize" => queue.Synchronize,
            "record" => () => queue.Record(),
            "elapsed" => () => queue.Elapsed(mark, mark),
            "load" => () => queue.Launch(Second, 1, 32, 0),
            "prepare" => () => queue.Prepare([Second]),
            "capture" => () => queue.Capture(() => { }),
            _ => queue.Dispose,
        };

        // Refused before CUDA is asked: the capture itself stays whole.
        using (var graph = queue.Capture(() =>
        {
            var refusal = Refusal(call, CudaErrorKind.Capture);
            Assert.That(refusal.Message, Does.Contain("capture").And.Contain(what is "load" or "prepare" ? "Call Prepare" : "the capture"));
            queue.Launch(First, 1, 32, 0);
        }))
        {
            graph.Launch();
        }

        Assert.That(queue.Counters - counters, Is.EqualTo(new QueueCounters(1, 0, 0, 0)));

        // Unless the action lets it through, and then there is no graph, and all goes on.
        Refusal(() => queue.Capture(call), CudaErrorKind.Capture);
        Assert.That(Fake.Leaks, Does.Not.Contain("graphs").And.Not.Contain("executables"));
        if (what != "dispose")
        {
            call();
        }
    }

    [Test]
    public void An_action_that_fails_ends_the_capture_and_keeps_its_own_error()
    {
        using var queue = OnDevice();
        queue.Prepare([First]);
        var exception = Assert.Throws<FormatException>(() => queue.Capture(() =>
        {
            queue.Launch(First, 1, 32, 0);
            throw new FormatException("mine");
        }));
        Assert.That(exception!.Message, Is.EqualTo("mine"));
        Assert.That(queue.Counters.Launches, Is.Zero);
        queue.Launch(First, 1, 32, 0);
        queue.Synchronize();
        Assert.That(Fake.Executed, Has.Count.EqualTo(1));
    }

    [Test]
    public void The_callers_own_capture_is_respected()
    {
        Fake.CreateContext();
        var stream = Fake.CreateStream();
        using var queue = InCurrentContext(stream);
        using var onDefault = InCurrentContext(0);
        var memory = queue.Allocate(64);
        queue.Prepare([First]);
        Fake.BeginCapture(stream);
        queue.Launch(First, 1, 32, 0);
        Refusal(() => queue.Allocate(1), CudaErrorKind.Capture);
        Refusal(queue.Synchronize, CudaErrorKind.Capture);
        Refusal(() => queue.Download(memory.Address, new byte[1]), CudaErrorKind.Capture);
        Refusal(() => queue.Launch(Second, 1, 32, 0), CudaErrorKind.Capture);
        Refusal(queue.Dispose, CudaErrorKind.Capture);
        Refusal(() => onDefault.Upload([1], memory.Address), CudaErrorKind.Capture);
        Assert.That(Fake.EndCapture(stream), "nothing has spoilt it");
        queue.Synchronize();
        queue.Launch(Second, 1, 32, 0);
    }

    [Test]
    public void The_legacy_default_stream_is_not_captured()
    {
        Fake.CreateContext();
        using var queue = InCurrentContext(0);
        Assert.That(Refusal(() => queue.Capture(() => { }), CudaErrorKind.Capture).Message, Does.Contain("legacy default stream"));
    }

    [Test]
    public void A_kernel_that_another_queue_has_loaded_needs_no_preparation()
    {
        using var other = OnDevice();
        other.Prepare([First]);
        using var queue = OnDevice();
        using var graph = queue.Capture(() => queue.Launch(First, 1, 32, 0));
        graph.Launch();
        queue.Synchronize();
        Assert.That(Fake.Executed, Has.Count.EqualTo(1));
    }

    [Test]
    public void Graphs_and_marks_may_end_before_their_queue_or_with_it()
    {
        var queue = OnDevice();
        var graph = queue.Capture(() => { });
        var mark = queue.Record();
        graph.Dispose();
        graph.Dispose();
        mark.Dispose();
        Assert.That(Fake.Leaks, Is.EqualTo("1 streams, 1 retained contexts"));
        Assert.Throws<ObjectDisposedException>(graph.Launch);
        queue.Dispose();
        Assert.That(Fake.Leaks, Is.Empty);
    }
}
