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

    /// <summary>Multiplies every bound weight and bias by its factors, in place: one launch for each storage type.</summary>
    /// <exception cref="NetworkException">An address is not a multiple of the element's size.</exception>
    public ApplyReport Apply(Scalings scalings, NetworkTensors tensors)
    {
        var bound = scalings.Network.Weights.Where(w => w.Layout.Elements > 0 && tensors.IsBound(w.Index)).ToArray();
        if (_location == TensorLocation.Device)
        {
            foreach (var weight in bound)
            {
                _queue.RequireReachable((ulong)tensors[weight.Index].Address);
                DeviceWeights.CheckAlignment(weight.Name, weight.ElementType, tensors[weight.Index].Address);
            }

            return ScalePass.Run(scalings, bound.Select(w => At(w, (ulong)tensors[w.Index].Address)), _queue);
        }

        var copies = new List<DeviceBuffer<byte>>();
        try
        {
            foreach (var weight in bound)
            {
                copies.Add(new DeviceBuffer<byte>(_queue, weight.Layout.RequiredElements * weight.ElementType.ByteSize()));
                copies[^1].UploadFrom(tensors[weight.Index].Address);
            }

            var report = ScalePass.Run(scalings, bound.Select((w, n) => At(w, copies[n].View.Address)), _queue);
            for (var n = 0; n < bound.Length; n++)
            {
                copies[n].DownloadTo(tensors[bound[n].Index].Address);
            }

            return report;
        }
        finally
        {
            foreach (var copy in copies)
            {
                copy.Dispose();
            }
        }

        static ScaledTensor At(Weight weight, ulong address) => new(weight, address, address);
    }

    /// <summary>Releases the queue, if it is owned.</summary>
    public void Dispose()
    {
        if (_ownsQueue)
        {
            _queue.Dispose();
        }
    }
}
