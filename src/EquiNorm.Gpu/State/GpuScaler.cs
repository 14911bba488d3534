using EquiNorm.Backends;
using EquiNorm.Model;
using EquiNorm.Problem;

namespace EquiNorm.Gpu.State;

/// <summary>Multiplies the elements of one weight by their factors on the device.</summary>
internal sealed class GpuScaler : WeightScaler
{
    private readonly IDeviceQueue _queue;
    private readonly TensorLocation _location;
    private readonly Scalings _scalings;

    public GpuScaler(Scalings scalings, Weight weight, TensorLocation location, IDeviceQueue queue)
    {
        if (!ReferenceEquals(scalings.Network.Weights[weight.Index], weight)
            && scalings.Network.Weights[weight.Index].Name != weight.Name)
        {
            throw new ArgumentException($"The factors belong to another network than weight '{weight.Name}'.", nameof(weight));
        }

        Weight = weight;
        _location = location;
        _queue = queue;
        _scalings = scalings;
    }

    public override Weight Weight { get; }

    public override ApplyReport Apply(TensorMemory source, TensorMemory destination)
    {
        Require(source);
        Require(destination);
        if (Weight.Layout.Elements == 0)
        {
            return default;
        }

        if (_location == TensorLocation.Device)
        {
            return Run((ulong)source.Address, (ulong)destination.Address);
        }

        // Elements between those of a strided view keep what the destination has there.
        var bytes = Weight.Layout.RequiredElements * Weight.ElementType.ByteSize();
        var first = Weight.Layout.Offset * Weight.ElementType.ByteSize();
        using var copy = new DeviceBuffer<byte>(_queue, bytes);
        copy.UploadFrom(source.Address, first);
        if (source.Address == destination.Address)
        {
            var inPlace = Run(copy.View.Address, copy.View.Address);
            copy.DownloadTo(destination.Address, first);
            return inPlace;
        }

        using var target = new DeviceBuffer<byte>(_queue, bytes);
        target.UploadFrom(destination.Address, first);
        var report = Run(copy.View.Address, target.View.Address);
        target.DownloadTo(destination.Address, first);
        return report;
    }

    private ApplyReport Run(ulong source, ulong destination) => ScalePass.Run(_scalings, [new(Weight, Weight.Layout, Weight.ElementType, 1, source, destination)], _queue);

    private void Require(TensorMemory memory)
    {
        if (memory.ElementType != Weight.ElementType || memory.Length < Weight.Layout.RequiredElements)
        {
            throw new NetworkException(
                $"Weight '{Weight.Name}' needs {Weight.Layout.RequiredElements} elements of {Weight.ElementType}, the memory has {memory.Length} of {memory.ElementType}.");
        }

        DeviceWeights.CheckAlignment(Weight.Name, Weight.ElementType, _location == TensorLocation.Device ? memory.Address : 0);
    }
}
