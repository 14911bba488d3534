namespace EquiNorm.Gpu.Cuda;

/// <summary>Launches that were captured, to be repeated with one call.</summary>
public sealed class CudaGraph : IDisposable
{
    private readonly CudaQueue _queue;
    private bool _isDisposed;

    internal CudaGraph(CudaQueue queue, nint handle, QueueCounters captured)
    {
        _queue = queue;
        Handle = handle;
        Captured = captured;
    }

    /// <summary>What one launch of the graph does.</summary>
    public QueueCounters Captured { get; }

    internal nint Handle { get; }

    /// <summary>Runs the captured launches once everything before them in the queue is done. Counts them as if they were launched one by one.</summary>
    /// <exception cref="CudaException">The graph cannot be launched.</exception>
    public void Launch()
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        _queue.Launch(this);
    }

    /// <summary>Gives the graph back; its queue does so at the latest. A launch under way is not disturbed.</summary>
    public void Dispose()
    {
        if (!_isDisposed)
        {
            _isDisposed = true;
            _queue.Remove(this);
        }
    }
}
