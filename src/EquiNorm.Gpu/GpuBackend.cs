using EquiNorm.Backends;
using EquiNorm.Gpu.State;
using EquiNorm.Gpu.Step;
using EquiNorm.Model;
using EquiNorm.Plan;
using EquiNorm.Problem;

namespace EquiNorm.Gpu;

/// <summary>
/// A GPU, behind any <see cref="IDeviceQueue"/>. Arithmetic is float64; results have the same bits on every run and every device of the
/// same rounding. Serves one caller at a time.
/// </summary>
public sealed class GpuBackend : IStepperSource
{
    private readonly WorkspaceQueue _queue;
    private readonly TensorLocation _location;
    private readonly bool _ownsQueue;

    /// <param name="queue">The device.</param>
    /// <param name="location">Where the tensors are that will be bound.</param>
    /// <param name="ownsQueue">Whether disposing of the backend disposes of the queue.</param>
    public GpuBackend(IDeviceQueue queue, TensorLocation location = TensorLocation.Host, bool ownsQueue = false)
    {
        ArgumentNullException.ThrowIfNull(queue);
        _queue = new WorkspaceQueue(queue);
        _location = location;
        _ownsQueue = ownsQueue;
    }

    /// <inheritdoc/>
    public string Name => _queue.Name;

    /// <inheritdoc/>
    public TensorDevice Device => _location == TensorLocation.Device ? _queue.TensorDevice : TensorDevice.Cpu;

    /// <inheritdoc/>
    public int Threads => 1;

    /// <inheritdoc/>
    public SweepOrder PreferredOrder => SweepOrder.Jacobi;

    /// <inheritdoc/>
    public RescalingState CreateState(RescalingPlan plan, NetworkTensors tensors) => new GpuState(plan, tensors, _location, _queue);

    /// <inheritdoc/>
    public WeightScaler CreateScaler(Scalings scalings, Weight weight) => new GpuScaler(scalings, weight, _location, _queue);

    /// <summary>Multiplies every bound weight, bias and companion by its factors, in place: one launch for each storage type.</summary>
    /// <exception cref="NetworkException">An address is not a multiple of the element's size.</exception>
    public ApplyReport Apply(Scalings scalings, NetworkTensors tensors)
    {
        var bound = Bound(scalings.Network, tensors);
        if (_location == TensorLocation.Device)
        {
            foreach (var (tensor, memory) in bound)
            {
                DeviceWeights.RequireReachable(_queue, tensor.Weight.Name, memory, tensor.Layout);
                DeviceWeights.CheckAlignment(tensor.Weight.Name, tensor.Type, memory.Address);
            }

            return ScalePass.Run(scalings, bound.Select(b => At(b.Tensor, (ulong)b.Memory.Address)), _queue);
        }

        using var copies = new HostCopies(_queue, bound.Select(b => (b.Memory, b.Tensor.Layout)));
        copies.Upload();
        var report = ScalePass.Run(scalings, bound.Select((b, n) => At(b.Tensor, copies.Address(n))), _queue);
        copies.Download();
        return report;

        static ScaledTensor At(ScaledTensor tensor, ulong address) => tensor with { Source = address, Target = address };
    }

    /// <inheritdoc/>
    /// <remarks>The stepper of the device, for tensors there and one sweep; for others the host drives the steps.</remarks>
    public IStepper? CreateStepper(RescalingProblem problem, NetworkTensors tensors, StepOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return _location == TensorLocation.Device && options.Sweeps == 1 ? new GpuStepper(problem, tensors, _queue, options) : null;
    }

    /// <inheritdoc/>
    public long MeasureWorkspace(RescalingProblem problem, NetworkTensors tensors, StepOptions options)
    {
        using var measure = new MeasuringQueue();
        if (_location == TensorLocation.Device && options.Sweeps == 1)
        {
            using var stepper = new GpuStepper(problem, tensors, measure, options);
            stepper.Prepare();
            return measure.Bytes;
        }

        using var state = new GpuState(RescalingPlan.Create(problem), tensors, _location, measure);
        state.Load(new double[problem.Network.ChannelCount], EnergyUse.Keep);
        return measure.Bytes;
    }

    /// <inheritdoc/>
    public void UseWorkspace(nint address, long bytes) => _queue.UseRegion((ulong)address, bytes);

    /// <inheritdoc/>
    public void UseStream(nint stream) => _queue.UseStream(stream);

    /// <summary>Releases the queue, if it is owned.</summary>
    public void Dispose()
    {
        if (_ownsQueue)
        {
            _queue.Dispose();
        }
    }

    private static List<(ScaledTensor Tensor, TensorMemory Memory)> Bound(Network network, NetworkTensors tensors)
    {
        var bound = new List<(ScaledTensor Tensor, TensorMemory Memory)>();
        foreach (var weight in network.Weights.Where(w => w.Layout.Elements > 0 && tensors.IsBound(w.Index)))
        {
            bound.Add((new ScaledTensor(weight, weight.Layout, weight.ElementType, 1, 0, 0), tensors[weight.Index]));
        }

        foreach (var companion in tensors.Companions.Where(c => c.Layout.Elements > 0))
        {
            var weight = network.Weights[companion.Weight.Index];
            bound.Add((
                new ScaledTensor(weight, companion.Layout, companion.Memory.ElementType, companion.Power, 0, 0), companion.Memory));
        }

        return bound;
    }
}
