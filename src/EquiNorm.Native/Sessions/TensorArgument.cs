using EquiNorm.Model;
using EquiNorm.Native.Abi;
using EquiNorm.Native.Failures;

namespace EquiNorm.Native.Sessions;

/// <summary>An en_tensor, checked as far as that goes without knowing its weight.</summary>
internal readonly unsafe ref struct TensorArgument
{
    private const int MostDimensions = 16;

    /// <summary>Reads it.</summary>
    public TensorArgument(void* tensor)
    {
        var from = VersionedStruct.Read<TensorStruct>(tensor, "en_tensor");
        if (from.Reserved != 0)
        {
            throw NativeException.Argument($"en_tensor.reserved is {from.Reserved}; it must be 0.");
        }

        if (from.Dimensions is < 0 or > MostDimensions)
        {
            throw NativeException.Argument($"en_tensor.dimensions is {from.Dimensions}; it must be from 0 to {MostDimensions}.");
        }

        if (from.Dimensions > 0)
        {
            Pointers.Require(from.Shape, "en_tensor.shape");
            Shape = new ReadOnlySpan<long>(from.Shape, from.Dimensions);
        }

        Type = TypeNumbers.Read(from.Type);
        Device = DeviceOf(from);
        Address = (nint)from.Data;
        if (from.Strides != null)
        {
            Pointers.Require(from.Strides, "en_tensor.strides");
            Strides = new ReadOnlySpan<long>(from.Strides, from.Dimensions);
            HasStrides = true;
            RequireReach();
        }
    }

    public nint Address { get; }

    public ElementType Type { get; }

    public TensorDevice Device { get; }

    public ReadOnlySpan<long> Shape { get; }

    public ReadOnlySpan<long> Strides { get; }

    public bool HasStrides { get; }

    private static TensorDevice DeviceOf(in TensorStruct tensor) => tensor.DeviceKind switch
    {
        DeviceKinds.Cpu => TensorDevice.Cpu,
        DeviceKinds.Cuda => TensorDevice.Cuda(tensor.DeviceIndex),
        _ => throw new NativeException(
            Status.WrongDevice, $"en_tensor.device_kind is {tensor.DeviceKind}; tensors of EN_CPU and EN_CUDA can be bound."),
    };

    // Whatever is computed from strides later must not wrap around and look harmless.
    private void RequireReach()
    {
        Int128 reach = 0;
        for (var n = 0; n < Strides.Length; n++)
        {
            reach += Shape[n] > 1 ? Int128.Abs((Int128)(Shape[n] - 1) * Strides[n]) : 0;
        }

        if (reach > Description.NetworkDescription.MaxElements)
        {
            throw new NativeException(
                Status.WrongShape, $"The strides [{string.Join(", ", Strides.ToArray())}] of the tensor reach over more than 2^59 elements.");
        }
    }
}
