using EquiNorm.Gpu.Cuda;
using EquiNorm.Model;
using EquiNorm.Plan;

namespace EquiNorm.Gpu.State;

/// <summary>Where the elements of a plan's weights are on the device: the caller's tensors, or copies of tensors of the host.</summary>
internal sealed class DeviceWeights : IDisposable
{
    private readonly RescalingPlan _plan;
    private readonly NetworkTensors _tensors;
    private readonly DeviceBuffer<byte>?[] _copies;

    public DeviceWeights(RescalingPlan plan, NetworkTensors tensors, TensorLocation location, IDeviceQueue queue)
    {
        _plan = plan;
        _tensors = tensors;

        // All tensors are looked up before memory is taken, so that a missing one costs nothing.
        foreach (var weight in plan.Weights)
        {
            if (location == TensorLocation.Device)
            {
                RequireReachable(queue, weight.Weight.Name, tensors[weight.Weight.Index], weight.Weight.Layout);
            }

            CheckAlignment(weight.Weight.Name, weight.Weight.ElementType, Reach(tensors[weight.Weight.Index], location));
        }

        _copies = new DeviceBuffer<byte>?[plan.Weights.Count];
        if (location == TensorLocation.Host)
        {
            try
            {
                foreach (var weight in plan.Weights)
                {
                    _copies[weight.Index] = new DeviceBuffer<byte>(queue, Bytes(weight.Weight));
                }
            }
            catch
            {
                Dispose();
                throw;
            }
        }
    }

    /// <summary>Address of a weight's tensor on the device.</summary>
    public ulong Address(int weight) =>
        _copies[weight]?.View.Address ?? (ulong)_tensors[_plan.Weights[weight].Weight.Index].Address;

    /// <summary>Copies what is on the host.</summary>
    public void Upload()
    {
        for (var t = 0; t < _copies.Length; t++)
        {
            if (_copies[t] is { } copy)
            {
                var weight = _plan.Weights[t].Weight;
                copy.UploadFrom(_tensors[weight.Index].Address, weight.Layout.Offset * weight.ElementType.ByteSize());
            }
        }
    }

    public void Dispose()
    {
        foreach (var copy in _copies)
        {
            copy?.Dispose();
        }
    }

    /// <summary>Kernels reach the first and the last element.</summary>
    /// <exception cref="TensorException">They do not; the message says why.</exception>
    public static void RequireReachable(IDeviceQueue queue, string name, TensorMemory memory, WeightLayout layout)
    {
        if (layout.Elements == 0)
        {
            return;
        }

        var size = memory.ElementType.ByteSize();
        try
        {
            queue.RequireReachable((ulong)(memory.Address + (nint)(layout.Offset * size)));
            queue.RequireReachable((ulong)(memory.Address + (nint)(layout.RequiredElements * size) - 1));
        }
        catch (CudaException e) when (e.Kind == CudaErrorKind.WrongContext)
        {
            throw new TensorException(TensorError.WrongDevice, $"Tensor '{name}': {e.Message}");
        }
    }

    /// <summary>Kernels read whole elements.</summary>
    public static void CheckAlignment(string weight, ElementType type, nint address)
    {
        if (address % type.ByteSize() != 0)
        {
            throw new TensorException(
                TensorError.WrongShape, $"Weight '{weight}': address 0x{address:x} is not a multiple of the {type.ByteSize()} bytes of {type}.");
        }
    }

    // Copies are aligned whatever the address of the original.
    private static nint Reach(TensorMemory memory, TensorLocation location) => location == TensorLocation.Device ? memory.Address : 0;

    private static long Bytes(Weight weight) => weight.Layout.RequiredElements * weight.ElementType.ByteSize();
}
