using EquiNorm.Model;
using EquiNorm.Plan;
using EquiNorm.Problem;

namespace EquiNorm.Backends.Cpu;

/// <summary>
/// The CPU: vectorised, multi-threaded, float64 arithmetic. Results have the same bits for every number of threads, because work is cut
/// by shape and never by thread. Serves one caller at a time.
/// </summary>
public sealed class CpuBackend : IBackend
{
    private readonly WorkerPool _pool;
    private readonly PageCache _pages = new();

    /// <param name="threads">Threads to use, the caller's included; 0 for one per processor.</param>
    public CpuBackend(int threads = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        _pool = new WorkerPool(threads == 0 ? Environment.ProcessorCount : threads);
    }

    /// <inheritdoc/>
    public string Name => "cpu";

    /// <inheritdoc/>
    public int Threads => _pool.Threads;

    /// <inheritdoc/>
    public SweepOrder PreferredOrder => SweepOrder.ForwardBackward;

    /// <inheritdoc/>
    public RescalingState CreateState(RescalingPlan plan, NetworkTensors tensors) => new CpuState(plan, tensors, _pool, _pages);

    /// <inheritdoc/>
    public WeightScaler CreateScaler(Scalings scalings, Weight weight) => new CpuScaler(scalings, weight, _pool);

    /// <summary>Ends the worker threads, and frees the memory that was kept for the next state.</summary>
    public void Dispose()
    {
        _pool.Dispose();
        _pages.Dispose();
    }
}
