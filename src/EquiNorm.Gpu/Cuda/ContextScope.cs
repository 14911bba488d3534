namespace EquiNorm.Gpu.Cuda;

/// <summary>As long as it lives, a context is current on this thread; then what was current before is so again.</summary>
internal readonly unsafe ref struct ContextScope(CudaDriver? driver)
{
    private readonly CudaDriver? _pushedOn = driver;

    public void Dispose()
    {
        if (_pushedOn is not null)
        {
            // The result is not looked at: after a sticky error it is that error, which the call inside the scope has reported or the next one
            // will; an exception from here would hide the first.
            nint popped;
            _pushedOn.CtxPopCurrent(&popped);
        }
    }
}
