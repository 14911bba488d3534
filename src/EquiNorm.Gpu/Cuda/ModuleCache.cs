namespace EquiNorm.Gpu.Cuda;

/// <summary>
/// The loaded kernels of each context that has a queue. Loading means compiling PTX (the driver caches that on disk, but not in memory), so
/// queues of one context share their modules; the last one unloads them.
/// </summary>
internal sealed class ModuleCache
{
    private readonly Dictionary<object, ContextModules> _contexts = [];
    private readonly Lock _lock = new();

    /// <summary>Contexts that have kernels here.</summary>
    public int Contexts
    {
        get
        {
            lock (_lock)
            {
                return _contexts.Count;
            }
        }
    }

    /// <summary>The kernels of a context, for one more queue.</summary>
    public ContextModules Acquire(CudaDriver driver, CudaContext context)
    {
        // A handle alone could be that of a context which has ended while a queue was still alive. Drivers before CUDA 12 have no
        // number for contexts; there each queue loads its own modules.
        object key = context.Id is { } id ? (context.Handle, id) : new object();
        lock (_lock)
        {
            if (!_contexts.TryGetValue(key, out var modules))
            {
                _contexts[key] = modules = new ContextModules(driver, key);
            }

            modules.Users++;
            return modules;
        }
    }

    /// <summary>One queue fewer. True if it was the last: the caller unloads the modules if the context still lives.</summary>
    public bool Release(ContextModules modules)
    {
        lock (_lock)
        {
            return --modules.Users == 0 && _contexts.Remove(modules.Key);
        }
    }
}
