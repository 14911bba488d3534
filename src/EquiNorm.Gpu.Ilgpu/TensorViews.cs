using EquiNorm.Model;
using ILGPU;
using ILGPU.Runtime;
using Half = ILGPU.Half;

namespace EquiNorm.Gpu.Ilgpu;

/// <summary>Binds views of an accelerator's memory to weights. The memory stays the caller's: its buffer must outlive its use.</summary>
public static class TensorViews
{
    /// <summary>Binds float32 elements.</summary>
    public static NetworkTensors Bind(this NetworkTensors tensors, string weight, ArrayView<float> elements) =>
        tensors.Bind(weight, elements.AsTensor(ElementType.Float32));

    /// <summary>Binds float64 elements.</summary>
    public static NetworkTensors Bind(this NetworkTensors tensors, string weight, ArrayView<double> elements) =>
        tensors.Bind(weight, elements.AsTensor(ElementType.Float64));

    /// <summary>Binds float16 elements.</summary>
    public static NetworkTensors Bind(this NetworkTensors tensors, string weight, ArrayView<Half> elements) =>
        tensors.Bind(weight, elements.AsTensor(ElementType.Float16));

    /// <summary>Binds bfloat16 elements, given by their bits.</summary>
    public static NetworkTensors BindBFloat16(this NetworkTensors tensors, string weight, ArrayView<ushort> bits) =>
        tensors.Bind(weight, bits.AsTensor(ElementType.BFloat16));

    /// <summary>A view's address and length, for companions of weights and whatever else takes tensors by address.</summary>
    /// <param name="elements">The elements.</param>
    /// <param name="type">How they are stored.</param>
    /// <exception cref="ArgumentException">The elements of the view do not have the size of that type's.</exception>
    public static unsafe TensorMemory AsTensor<T>(this ArrayView<T> elements, ElementType type)
        where T : unmanaged
    {
        if (sizeof(T) != type.ByteSize())
        {
            throw new ArgumentException($"Elements of {sizeof(T)} bytes are not {type}.", nameof(type));
        }

        return elements.IsValid ? new TensorMemory(elements.LoadEffectiveAddressAsPtr(), elements.Length, type) : new TensorMemory(0, 0, type);
    }
}
