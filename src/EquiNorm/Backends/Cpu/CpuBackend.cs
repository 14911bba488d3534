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

    internal WorkerPool Pool => _pool;

    /// <summary>What the passes have read and written so far: work counts for tests.</summary>
    internal Traffic Traffic { get; } = new();

    /// <inheritdoc/>
    public SweepOrder PreferredOrder => SweepOrder.ForwardBackward;

    /// <inheritdoc/>
    public RescalingState CreateState(RescalingPlan plan, NetworkTensors tensors) => new CpuState(plan, tensors, _pool, _pages, Traffic);

    /// <inheritdoc/>
    public WeightScaler CreateScaler(Scalings scalings, Weight weight) => new CpuScaler(scalings, weight, _pool, Traffic);

    /// <inheritdoc/>
    public TensorScaler CreateScaler(NetworkTensors tensors) => new CpuTensorScaler(tensors.Network, tensors, _pool, Traffic);

    /// <inheritdoc/>
    public ApplyReport Apply(Scalings scalings, NetworkTensors tensors)
    {
        using var scaler = new CpuTensorScaler(scalings.Network, tensors, _pool, Traffic);
        return scaler.Apply(scalings.LogFactors);
    }

    /// <inheritdoc/>
    public long MeasureWorkspace(RescalingProblem problem, NetworkTensors tensors, StepOptions options)
    {
        using var pages = new PageCache();
        using var state = new CpuState(RescalingPlan.Create(problem), tensors, _pool, pages, new Traffic());
        state.Load(new double[problem.Network.ChannelCount], options.Sweeps > 1 ? EnergyUse.Keep : EnergyUse.Once);
        return state.WorkspaceBytes;
    }

    /// <inheritdoc/>
    public void UseWorkspace(nint address, long bytes) => _pages.UseRegion(address, bytes);

    /// <summary>Ends the worker threads, and frees the memory that was kept for the next state.</summary>
    public void Dispose()
    {
        _pool.Dispose();
        _pages.Dispose();
    }
}
