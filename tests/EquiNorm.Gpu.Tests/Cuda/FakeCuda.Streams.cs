using System.Runtime.InteropServices;
using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Gpu.Tests.Cuda;

// Streams, events, captures, graphs. Work waits in its stream until somebody waits for the stream or for an event behind the work.
internal sealed unsafe partial class FakeCuda
{
    private readonly Dictionary<nint, FakeStream> _streams = [];
    private readonly Dictionary<nint, FakeEvent> _events = [];
    private readonly Dictionary<nint, FakeGraph> _graphs = [];
    private readonly Dictionary<nint, FakeGraph> _executables = [];

    /// <summary>A stream that a caller makes in the context that is current.</summary>
    public nint CreateStream()
    {
        var handle = NewHandle();
        _streams.Add(handle, new FakeStream(CurrentContext, isDefault: false));
        return handle;
    }

    /// <summary>Begins a capture as a caller does.</summary>
    public void BeginCapture(nint stream) => _streams[stream].Captured = [];

    /// <summary>Ends a capture as a caller does.</summary>
    /// <returns>Whether nothing has spoilt it.</returns>
    public bool EndCapture(nint stream)
    {
        var isWhole = !_streams[stream].IsSpoilt;
        _streams[stream].Captured = null;
        _streams[stream].IsSpoilt = false;
        return isWhole;
    }

    public bool HasStream(nint stream) => _streams.ContainsKey(stream);

    /// <summary>Ends a stream as a caller does.</summary>
    public void DestroyStream(nint stream) => _streams.Remove(stream);

    [UnmanagedCallersOnly]
    private static CudaResult StreamCreate(nint* stream, uint flags)
    {
        var error = Begin("cuStreamCreate");
        if (error == 0)
        {
            *stream = _active!.CreateStream();
        }

        return error != 0 ? error : flags == 1 ? CudaResult.Success : CudaResult.InvalidValue;
    }

    [UnmanagedCallersOnly]
    private static CudaResult StreamDestroy(nint stream)
    {
        var error = Begin("cuStreamDestroy_v2");
        return _active!._streams.Remove(stream) ? error : CudaResult.InvalidHandle;
    }

    [UnmanagedCallersOnly]
    private static CudaResult StreamSynchronize(nint stream)
    {
        var fake = _active!;
        var error = Begin("cuStreamSynchronize");
        return error != 0 || fake.IsUnsafeInCapture(out error) ? error : fake.Run(fake.Stream(stream), int.MaxValue);
    }

    [UnmanagedCallersOnly]
    private static CudaResult StreamGetCtx(nint stream, nint* context)
    {
        var error = Begin("cuStreamGetCtx");
        if (error != 0 || !_active!._streams.TryGetValue(stream, out var known))
        {
            return error != 0 ? error : CudaResult.InvalidHandle;
        }

        *context = known.Context;
        return CudaResult.Success;
    }

    [UnmanagedCallersOnly]
    private static CudaResult StreamIsCapturing(nint stream, CaptureStatus* status)
    {
        var fake = _active!;
        var error = Begin("cuStreamIsCapturing");
        if (error != 0)
        {
            return error;
        }

        var known = fake.Stream(stream);
        if (known.IsDefault && fake._streams.Values.Any(s => s.Captured is not null && s.Context == known.Context))
        {
            return CudaResult.StreamCaptureImplicit;
        }

        *status = known.Captured is null ? CaptureStatus.None : known.IsSpoilt ? CaptureStatus.Invalidated : CaptureStatus.Active;
        return CudaResult.Success;
    }

    [UnmanagedCallersOnly]
    private static CudaResult StreamBeginCapture(nint stream, CaptureMode mode)
    {
        var error = Begin("cuStreamBeginCapture_v2");
        if (error != 0 || _active!.Stream(stream).IsDefault)
        {
            return error != 0 ? error : CudaResult.StreamCaptureUnsupported;
        }

        _active.Stream(stream).Captured = [];
        return (int)mode == 1 ? CudaResult.Success : CudaResult.InvalidValue;
    }

    [UnmanagedCallersOnly]
    private static CudaResult StreamEndCapture(nint stream, nint* graph)
    {
        var fake = _active!;
        var error = Begin("cuStreamEndCapture");
        var work = fake.Stream(stream).Captured!;
        var isWhole = fake.EndCapture(stream);
        *graph = 0;
        if (error != 0 || !isWhole)
        {
            return error != 0 ? error : CudaResult.StreamCaptureInvalidated;
        }

        *graph = fake.NewHandle();
        fake._graphs.Add(*graph, new FakeGraph(fake.CurrentContext, work));
        return CudaResult.Success;
    }

    [UnmanagedCallersOnly]
    private static CudaResult GraphInstantiate(nint* executable, nint graph, ulong flags)
    {
        var fake = _active!;
        var error = Begin("cuGraphInstantiateWithFlags");
        if (error != 0 || flags != 0)
        {
            return error != 0 ? error : CudaResult.InvalidValue;
        }

        *executable = fake.NewHandle();
        fake._executables.Add(*executable, fake._graphs[graph]);
        return CudaResult.Success;
    }

    [UnmanagedCallersOnly]
    private static CudaResult GraphLaunch(nint executable, nint stream)
    {
        var fake = _active!;
        var error = Begin("cuGraphLaunch");
        if (error != 0 || !fake._executables.TryGetValue(executable, out var graph))
        {
            return error != 0 ? error : CudaResult.InvalidHandle;
        }

        foreach (var work in graph.Work)
        {
            fake.Put(stream, work);
        }

        return CudaResult.Success;
    }

    [UnmanagedCallersOnly]
    private static CudaResult GraphExecDestroy(nint executable)
    {
        var error = Begin("cuGraphExecDestroy");
        return _active!._executables.Remove(executable) ? error : CudaResult.InvalidValue;
    }

    [UnmanagedCallersOnly]
    private static CudaResult GraphDestroy(nint graph)
    {
        var error = Begin("cuGraphDestroy");
        return _active!._graphs.Remove(graph) ? error : CudaResult.InvalidValue;
    }

    [UnmanagedCallersOnly]
    private static CudaResult EventCreate(nint* handle, uint flags)
    {
        var fake = _active!;
        var error = Begin("cuEventCreate");
        if (error == 0)
        {
            *handle = fake.NewHandle();
            fake._events.Add(*handle, new FakeEvent(fake.CurrentContext, hasTime: flags == 0));
        }

        return error != 0 ? error : flags is 0 or 2 ? CudaResult.Success : CudaResult.InvalidValue;
    }

    [UnmanagedCallersOnly]
    private static CudaResult EventRecord(nint handle, nint stream)
    {
        var fake = _active!;
        var error = Begin("cuEventRecord");
        if (error != 0)
        {
            return error;
        }

        var mark = fake._events[handle];
        var context = fake.Context;
        mark.IsDone = false;
        mark.Stream = fake.Stream(stream);
        mark.Recorded++;
        var recorded = mark.Recorded;
        return fake.Put(stream, () =>
        {
            mark.IsDone = mark.Recorded == recorded;
            mark.Time = context.Time;
            return CudaResult.Success;
        });
    }

    [UnmanagedCallersOnly]
    private static CudaResult StreamWaitEvent(nint stream, nint handle, uint flags)
    {
        var fake = _active!;
        var error = Begin("cuStreamWaitEvent");
        if (error != 0 || flags != 0)
        {
            return error != 0 ? error : CudaResult.InvalidValue;
        }

        // What is put into the stream from now on runs behind the work before the event, as it is recorded now.
        var mark = fake._events[handle];
        var (behind, recorded) = (mark.Stream, mark.Recorded);
        return fake.Put(stream, () =>
        {
            while (!mark.IsDone && mark.Recorded == recorded && behind!.Work.Count > 0)
            {
                var result = fake.Run(behind, 1);
                if (result != 0)
                {
                    return result;
                }
            }

            return CudaResult.Success;
        });
    }

    [UnmanagedCallersOnly]
    private static CudaResult EventQuery(nint handle)
    {
        var error = Begin("cuEventQuery");
        return error != 0 ? error : _active!._events[handle].IsDone ? CudaResult.Success : CudaResult.NotReady;
    }

    [UnmanagedCallersOnly]
    private static CudaResult EventSynchronize(nint handle)
    {
        var fake = _active!;
        var error = Begin("cuEventSynchronize");
        if (error != 0)
        {
            return error;
        }

        // Runs no more than it must, so that work behind the event stays undone.
        var mark = fake._events[handle];
        while (!mark.IsDone && mark.Stream!.Work.Count > 0)
        {
            error = fake.Run(mark.Stream, 1);
            if (error != 0)
            {
                return error;
            }
        }

        return CudaResult.Success;
    }

    [UnmanagedCallersOnly]
    private static CudaResult EventElapsedTime(float* milliseconds, nint start, nint end)
    {
        var fake = _active!;
        var error = Begin("cuEventElapsedTime");
        var (first, last) = (fake._events[start], fake._events[end]);
        *milliseconds = last.Time - first.Time;
        return error != 0 ? error : !first.HasTime || !last.HasTime ? CudaResult.InvalidHandle
            : first.IsDone && last.IsDone ? CudaResult.Success : CudaResult.NotReady;
    }

    [UnmanagedCallersOnly]
    private static CudaResult EventDestroy(nint handle)
    {
        var error = Begin("cuEventDestroy_v2");
        return _active!._events.Remove(handle) ? error : CudaResult.InvalidHandle;
    }

    // The null stream and the special handles are streams of the context that is current.
    private FakeStream Stream(nint handle)
    {
        lock (_gate)
        {
            if (handle is not (0 or 1 or 2))
            {
                return _streams[handle];
            }

            var key = -CurrentContext - (handle == 2 ? 1 : 0);
            if (!_streams.TryGetValue(key, out var stream))
            {
                _streams.Add(key, stream = new FakeStream(CurrentContext, isDefault: true));
            }

            return stream;
        }
    }

    private CudaResult Put(nint handle, Func<CudaResult> work)
    {
        var stream = Stream(handle);
        if (stream.Context != CurrentContext)
        {
            return CudaResult.InvalidHandle;
        }

        if (stream.Captured is not null)
        {
            stream.Captured.Add(work);
        }
        else
        {
            stream.Work.Enqueue(work);
        }

        return CudaResult.Success;
    }

    private CudaResult Run(FakeStream stream, int atMost)
    {
        for (; atMost > 0 && stream.Work.TryDequeue(out var work); atMost--)
        {
            var context = _contexts[stream.Context];
            context.Time++;
            var result = work();
            if (result != 0)
            {
                return context.Sticky = result;
            }
        }

        return CudaResult.Success;
    }

    // What CUDA does not allow while this thread captures; it spoils the capture.
    private bool IsUnsafeInCapture(out CudaResult error)
    {
        error = CudaResult.Success;
        foreach (var stream in _streams.Values)
        {
            if (stream.Captured is not null && stream.Context == CurrentContext)
            {
                stream.IsSpoilt = true;
                error = CudaResult.StreamCaptureUnsupported;
            }
        }

        return error != 0;
    }

    private sealed class FakeStream(nint context, bool isDefault)
    {
        public nint Context { get; } = context;

        public bool IsDefault { get; } = isDefault;

        public Queue<Func<CudaResult>> Work { get; } = [];

        public List<Func<CudaResult>>? Captured { get; set; }

        public bool IsSpoilt { get; set; }
    }

    private sealed class FakeEvent(nint context, bool hasTime)
    {
        public nint Context { get; } = context;

        public bool HasTime { get; } = hasTime;

        // An event that was never recorded is done, as cuda.h says.
        public bool IsDone { get; set; } = true;

        public int Recorded { get; set; }

        public long Time { get; set; }

        public FakeStream? Stream { get; set; }
    }

    private sealed record FakeGraph(nint Context, List<Func<CudaResult>> Work);
}
