namespace EquiNorm.Gpu.Cuda;

// Which stream the work goes to.
public sealed unsafe partial class CudaQueue
{
    /// <summary>
    /// Puts all further work on another stream of the same context, behind the work so far: the new stream waits for an event in the old one,
    /// which must still exist.
    /// </summary>
    /// <param name="stream">The caller's stream (CUstream); zero is the legacy default stream.</param>
    /// <exception cref="CudaException">The stream is another context's, or one of the two is being captured: change streams before the capture.</exception>
    public void UseStream(nint stream)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (stream == CudaConstants.StreamPerThread)
        {
            throw new CudaException(
                CudaErrorKind.WrongContext, "The per-thread default stream is another stream on each thread. Give a stream of your own, or 0.");
        }

        if (stream == _stream)
        {
            return;
        }

        using var scope = _context.Enter();
        RequireStreamOf(_driver, _context, stream);
        RefuseInCapture("change to another stream");
        var old = _stream;
        try
        {
            _stream = stream;
            RefuseInCapture("change streams", "Prepare on the stream before the capture.");
            if (_handover == 0)
            {
                nint created;
                _driver.Check(_driver.EventCreate(&created, CudaConstants.EventDisableTiming), "cuEventCreate");
                _handover = created;
            }

            _driver.Check(_driver.EventRecord(_handover, old), "cuEventRecord");
            _driver.Check(_driver.StreamWaitEvent(stream, _handover, 0), "cuStreamWaitEvent");
        }
        catch
        {
            _stream = old;
            throw;
        }

        _smallCopies.Stream = stream;
        _largeCopies.Stream = stream;
    }

    /// <inheritdoc/>
    public void RequireNoCapture()
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        using var scope = _context.Enter();
        RefuseInCapture("prepare steps on tensors that were bound anew", "Call Prepare before the capture.");
    }

    private static void RequireStreamOf(CudaDriver driver, CudaContext context, nint stream)
    {
        // The special handles mean the context that is current.
        if (stream is 0 or CudaConstants.StreamLegacy or CudaConstants.StreamPerThread || driver.StreamGetCtx == null)
        {
            return;
        }

        nint owner;
        var result = driver.StreamGetCtx(stream, &owner);
        if (result is CudaResult.InvalidHandle or CudaResult.InvalidValue or CudaResult.InvalidContext)
        {
            throw CudaErrors.Of(
                driver, result, "cuStreamGetCtx", CudaErrorKind.WrongContext, $"0x{stream:x} is not a stream, or was destroyed.");
        }

        driver.Check(result, "cuStreamGetCtx");
        if (owner != context.Handle)
        {
            throw new CudaException(
                CudaErrorKind.WrongContext,
                $"Stream 0x{stream:x} belongs to another context than the one to work in (device {context.Device.Index}). Name the stream's device "
                + "(CudaQueue.OnStream), or make the stream's context current first (CudaQueue.InCurrentContext).");
        }
    }
}
