namespace EquiNorm.Gpu.Cuda;

// Events that take the time, and launches captured into a graph.
public sealed unsafe partial class CudaQueue
{
    /// <summary>Marks this place in the queue, for <see cref="Elapsed"/>.</summary>
    /// <exception cref="CudaException">The stream is being captured.</exception>
    public CudaEvent Record()
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        using var scope = _context.Enter();
        RefuseInCapture("take the time");
        nint handle;
        _driver.Check(_driver.EventCreate(&handle, CudaConstants.EventDefault), "cuEventCreate");
        var result = _driver.EventRecord(handle, _stream);
        if (result != CudaResult.Success)
        {
            _driver.EventDestroy(handle);
            throw CudaErrors.Of(_driver, result, "cuEventRecord");
        }

        var mark = new CudaEvent(this, handle);
        _children.Add(mark);
        return mark;
    }

    /// <summary>The device's time between two marks, to about half a microsecond. Waits for the second.</summary>
    /// <exception cref="CudaException">Something before it went wrong, or the stream is being captured.</exception>
    public TimeSpan Elapsed(CudaEvent start, CudaEvent end)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        start.RequireOf(this);
        end.RequireOf(this);
        using var scope = _context.Enter();
        RefuseInCapture("wait");
        _synchronizations++;
        _driver.Check(_driver.EventSynchronize(start.Handle), "cuEventSynchronize");
        _driver.Check(_driver.EventSynchronize(end.Handle), "cuEventSynchronize");
        float milliseconds;
        _driver.Check(_driver.EventElapsedTime(&milliseconds, start.Handle, end.Handle), "cuEventElapsedTime");
        return TimeSpan.FromMilliseconds(milliseconds);
    }

    /// <summary>
    /// Captures what an action puts into this queue, launches and clears, without running it. What cannot be captured (waiting, copies from or to
    /// the host, allocation, loading kernels: see <see cref="Prepare"/>) is refused inside the action. The memory that the launches
    /// use must live as long as the graph is launched.
    /// </summary>
    /// <exception cref="CudaException">The stream cannot be captured, or the action asked for something that cannot.</exception>
    public CudaGraph Capture(Action work)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (_stream is 0 or CudaConstants.StreamLegacy)
        {
            throw new CudaException(
                CudaErrorKind.Capture, "CUDA does not capture the legacy default stream. Make the queue on a stream of its own to capture.");
        }

        using var scope = _context.Enter();
        RefuseInCapture("begin a capture");

        // Thread local: other threads may allocate while this one captures, and what this one asks CUDA for is checked.
        _driver.Check(_driver.StreamBeginCapture(_stream, CaptureMode.ThreadLocal), "cuStreamBeginCapture_v2");
        _isCapturing = true;
        var before = Counters;
        nint graph = 0;
        try
        {
            CudaResult ended;
            QueueCounters captured;
            try
            {
                work();
            }
            finally
            {
                ended = _driver.StreamEndCapture(_stream, &graph);
                _isCapturing = false;
                captured = Counters - before;

                // A captured launch is not one: each launch of the graph is.
                _launches = before.Launches;
                _copies = before.Copies;
            }

            _driver.Check(ended, "cuStreamEndCapture");
            nint executable;
            _driver.Check(_driver.GraphInstantiate(&executable, graph, 0), "cuGraphInstantiateWithFlags");
            var result = new CudaGraph(this, executable, captured);
            _children.Add(result);
            return result;
        }
        finally
        {
            if (graph != 0)
            {
                _driver.GraphDestroy(graph);
            }
        }
    }

    internal void Launch(CudaGraph graph)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        using var scope = _context.Enter();
        _driver.Check(_driver.GraphLaunch(graph.Handle, _stream), "cuGraphLaunch");
        _launches += graph.Captured.Launches;
        _copies += graph.Captured.Copies;
    }

    internal void Remove(CudaEvent mark)
    {
        // In Dispose of the queue a context that is gone has taken the event along.
        if (_children.Remove(mark) && _context.TryEnter(out var scope))
        {
            using (scope)
            {
                _driver.EventDestroy(mark.Handle);
            }
        }
    }

    internal void Remove(CudaGraph graph)
    {
        if (_children.Remove(graph) && _context.TryEnter(out var scope))
        {
            using (scope)
            {
                _driver.GraphExecDestroy(graph.Handle);
            }
        }
    }

    // The caller may be capturing the stream too; CUDA would spoil that capture and say so only at its end.
    private void RefuseInCapture(string what, string advice = "Do it before or after the capture.")
    {
        if (IsCaptured(out var result))
        {
            throw Uncapturable(what, advice);
        }

        _driver.Check(result, "cuStreamIsCapturing");
    }

    private bool IsCaptured(out CudaResult result)
    {
        CaptureStatus status;
        result = _driver.StreamIsCapturing(_stream, &status);

        // IMPLICIT: this is the legacy default stream, and another stream of the context is being captured.
        return _isCapturing || result == CudaResult.StreamCaptureImplicit || (result == CudaResult.Success && status != CaptureStatus.None);
    }

    private static CudaException Uncapturable(string what, string advice = "Do it before or after the capture.") => new(
        CudaErrorKind.Capture, $"The stream is being captured, and CUDA cannot {what} in a capture. {advice}");
}
