using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Gpu.Tests.Cuda;

/// <summary>Every call of a life of a queue fails once, with every kind of error: a typed exception, nothing left behind.</summary>
internal sealed class CudaFailureTests : FakeCudaFixture
{
    private static readonly (CudaResult Result, CudaErrorKind Kind)[] Failures =
    [
        (CudaResult.InvalidValue, CudaErrorKind.Other),
        (CudaResult.OutOfMemory, CudaErrorKind.OutOfMemory),
        (CudaResult.IllegalAddress, CudaErrorKind.LostContext),
        (CudaResult.ContextIsDestroyed, CudaErrorKind.LostContext),
        (CudaResult.InvalidHandle, CudaErrorKind.WrongContext),
        (CudaResult.StreamCaptureUnsupported, CudaErrorKind.Capture),
        (CudaResult.Unknown, CudaErrorKind.Other),
    ];

    // More than one large staging buffer takes.
    private static readonly byte[] Large = new byte[(4 << 20) + 1];

    /// <summary>How a queue comes to its context and stream.</summary>
    public enum Way
    {
        Device,
        Stream,
        CurrentContext,
    }

    [Test]
    public void Whichever_call_fails_nothing_is_left_behind(
        [Values] Way way, [ValueSource(nameof(Failures))] (CudaResult Result, CudaErrorKind Kind) failure)
    {
        Live(way);
        var calls = Fake.Calls;
        Assert.That(calls, Is.GreaterThan(100));
        var (thrown, swallowed) = (0, new HashSet<string>());
        for (var call = 0; call < calls; call++)
        {
            Restart();
            Fake.FailAt(call, failure.Result);
            var isSwallowed = true;
            var (callers, depth) = ("", 0);
            try
            {
                (callers, depth) = Live(way);
                swallowed.Add(Fake.Failed!);
            }
            catch (CudaException exception)
            {
                isSwallowed = false;
                thrown++;
                (callers, depth) = Callers(way);
                Assert.That(exception.Call, Is.EqualTo(Fake.Failed));
                Assert.That(exception.Message, Does.Contain(Fake.Failed!).And.Contain("CUDA_ERROR_"));

                // What these two find invalid is a stream or an address of somebody else's.
                var isForeign = Fake.Failed is "cuStreamGetCtx" or "cuPointerGetAttribute" && exception.Kind == CudaErrorKind.WrongContext;
                Assert.That(exception.Kind, Is.EqualTo(isForeign ? CudaErrorKind.WrongContext : failure.Kind), Fake.Failed);
            }

            // A context that cannot be entered to clean up is taken to be gone, with all that is in it.
            var isGone = isSwallowed && Fake.Failed is "cuCtxGetId" or "cuCtxGetCurrent" or "cuCtxPushCurrent_v2";
            Assert.That(isGone || Fake.Leaks == callers, $"call {call}, {Fake.Failed}: {Fake.Leaks}");
            Assert.That(Fake.StackDepth, Is.EqualTo(depth), $"call {call}, {Fake.Failed}");
        }

        TestContext.Out.WriteLine($"{calls} calls, {thrown} exceptions, swallowed: {string.Join(", ", swallowed.Order())}");
        Assert.That(thrown, Is.GreaterThan(60));
        Assert.That(swallowed, Is.SubsetOf(new[]
        {
            // What Dispose does, what leaves a context, and the question for the context of an address, which may have none.
            "cuCtxGetCurrent", "cuCtxGetId", "cuCtxPopCurrent_v2", "cuCtxPushCurrent_v2", "cuDevicePrimaryCtxRelease_v2", "cuEventDestroy_v2",
            "cuGraphDestroy", "cuGraphExecDestroy", "cuMemFreeHost", "cuMemFree_v2", "cuModuleUnload", "cuPointerGetAttribute",
            "cuStreamDestroy_v2", "cuStreamIsCapturing", "cuStreamSynchronize",
        }));
    }

    // What is the caller's, and has to stay.
    private static (string Leaks, int Depth) Callers(Way way) => way switch
    {
        Way.Device => ("", 0),
        Way.Stream => ("1 streams, 1 retained contexts", 0),
        _ => ("1 streams", 1),
    };

    private (string Leaks, int Depth) Live(Way way)
    {
        nint stream = 0;
        if (way != Way.Device)
        {
            if (way == Way.Stream)
            {
                Fake.Push(Fake.RetainPrimary(0));
            }
            else
            {
                Fake.CreateContext();
            }

            stream = Fake.CreateStream();
            if (way == Way.Stream)
            {
                Fake.Pop();
            }
        }

        using (var queue = way == Way.Device ? OnDevice() : way == Way.Stream ? OnStream(stream) : InCurrentContext(stream))
        {
            Use(queue);
        }

        return Callers(way);
    }

    private static void Use(CudaQueue queue)
    {
        var memory = queue.Allocate(Large.Length);
        var dropped = queue.Allocate(100);
        queue.Prepare([First]);
        queue.Upload(new byte[100], memory.Address);
        queue.Upload(Large, memory.Address);
        using (var start = queue.Record())
        {
            queue.Launch(First, 1, 32, 0);
            queue.Launch(Second, 1, 32, 0);
            queue.Clear(memory.Address, 100);
            using var end = queue.Record();
            queue.Elapsed(start, end);
        }

        using (var graph = queue.Capture(() => queue.Launch(First, 1, 32, 0)))
        {
            graph.Launch();
        }

        queue.RequireReachable(memory.Address);
        queue.Free(dropped);
        queue.Download(memory.Address, Large);
        queue.Synchronize();
    }
}
