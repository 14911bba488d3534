namespace EquiNorm.Gpu.Cuda;

/// <summary>A place in a queue, with its time on the device.</summary>
public sealed class CudaEvent : IDisposable
{
    private readonly CudaQueue _queue;
    private bool _isDisposed;

    internal CudaEvent(CudaQueue queue, nint handle)
    {
        _queue = queue;
        Handle = handle;
    }

    internal nint Handle { get; }

    /// <summary>Gives the event back; its queue does so at the latest.</summary>
    public void Dispose()
    {
        if (!_isDisposed)
        {
            _isDisposed = true;
            _queue.Remove(this);
        }
    }

    internal void RequireOf(CudaQueue queue)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (_queue != queue)
        {
            throw new ArgumentException("The event was recorded on another queue.");
        }
    }
}
