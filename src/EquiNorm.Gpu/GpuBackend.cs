using EquiNorm.Backends;
using EquiNorm.Gpu.State;
using EquiNorm.Model;
using EquiNorm.Plan;
using EquiNorm.Problem;

namespace EquiNorm.Gpu;

/// <summary>
/// A GPU, behind any <see cref="IDeviceQueue"/>. Arithmetic is float64; results have the same bits on every run and every device of the
/// same rounding. Serves one caller at a time.
/// </summary>
public sealed class GpuBackend : IBackend
{
    private readonly IDeviceQueue _queue;
    private readonly TensorLocation _location;
    private readonly bool _ownsQueue;

    /// <param name="queue">The device.</param>
    /// <param name="location">Where the tensors are that will be bound.</param>
    /// <param name="ownsQueue">Whether disposing of the backend disposes of the queue.</param>
    public GpuBackend(IDeviceQueue queue, TensorLocation location = TensorLocation.Host, bool ownsQueue = false)
    {
        ArgumentNullException.ThrowIfNull(queue);
        _queue = queue;
        _location = location;
        _ownsQueue = ownsQueue;
    }

    /// <inheritdoc/>
    public string Name => _queue.Name;

    /// <inheritdoc/>
    public int Threads => 1;

    /// <inheritdoc/>
    public SweepOrder PreferredOrder => SweepOrder.Jacobi;

    /// <inheritdoc/>
    public RescalingState CreateState(RescalingPlan plan, NetworkTensors tensors) => new GpuState(plan, tensors, _location, _queue);

    /// <inheritdoc/>
    public WeightScaler CreateScaler(Scalings scalings, Weight weight) => new GpuScaler(scalings, weight, _location, _queue);

    /// <summary>Releases the queue, if it is owned.</summary>
    public void Dispose()
    {
        if (_ownsQueue)
        {
            _queue.Dispose();
        }
    }
}
