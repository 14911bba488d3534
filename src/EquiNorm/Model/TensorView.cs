namespace EquiNorm.Model;

/// <summary>The kind of memory that elements lie in.</summary>
public enum DeviceKind
{
    /// <summary>Memory of the host.</summary>
    Cpu,

    /// <summary>Memory of an NVIDIA GPU, or managed memory that it can reach.</summary>
    Cuda,
}

/// <summary>A device that holds tensors.</summary>
/// <param name="Kind">Its kind.</param>
/// <param name="Index">Its number among devices of the kind; 0 for the host.</param>
public readonly record struct TensorDevice(DeviceKind Kind, int Index = 0)
{
    /// <summary>The host.</summary>
    public static TensorDevice Cpu => default;

    /// <summary>A GPU.</summary>
    public static TensorDevice Cuda(int index) => new(DeviceKind.Cuda, index);

    /// <inheritdoc/>
    public override string ToString() => Kind == DeviceKind.Cpu ? "cpu" : $"cuda:{Index}";
}

/// <summary>
/// A tensor of a framework: an address with a shape, outermost dimension first, as torch, NumPy and DLPack describe it. Owns nothing;
/// the elements must stay where they are as long as they are bound.
/// </summary>
/// <param name="Address">Address of the first element, on the device.</param>
/// <param name="ElementType">Storage type.</param>
/// <param name="Shape">Extents, outermost first.</param>
public sealed record TensorView(nint Address, ElementType ElementType, params IReadOnlyList<long> Shape)
{
    /// <summary>Distances in elements, one for each dimension; null if the tensor is contiguous.</summary>
    public IReadOnlyList<long>? Strides { get; init; }

    /// <summary>Where the elements are.</summary>
    public TensorDevice Device { get; init; }

    /// <summary>The strides, those of a contiguous tensor if none are given.</summary>
    /// <exception cref="TensorException">Their number differs from that of the extents.</exception>
    internal long[] StridesOf(string name)
    {
        if (Strides is not null)
        {
            return Strides.Count == Shape.Count ? [.. Strides] : throw new TensorException(
                TensorError.WrongShape, $"Tensor '{name}' has {Shape.Count} dimensions and {Strides.Count} strides.");
        }

        var strides = new long[Shape.Count];
        var stride = 1L;
        for (var n = Shape.Count - 1; n >= 0; n--)
        {
            strides[n] = stride;
            stride = Saturated(stride, Math.Max(1, Shape[n]));
        }

        return strides;
    }

    /// <inheritdoc/>
    public override string ToString() => $"{ElementType} [{string.Join(", ", Shape)}] on {Device}";

    private static long Saturated(long a, long b) => a > long.MaxValue / b ? long.MaxValue : a * b;
}
