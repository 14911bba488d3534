using System.Buffers;

namespace EquiNorm.Model;

/// <summary>Elements somewhere in memory: an address, a count and a storage type. Owns nothing.</summary>
/// <param name="Address">Address of the first element; need not be aligned.</param>
/// <param name="Length">Number of elements.</param>
/// <param name="ElementType">Storage type.</param>
public readonly record struct TensorMemory(nint Address, long Length, ElementType ElementType);

/// <summary>
/// The elements of a network's weights: one <see cref="TensorMemory"/> per weight. Managed memory is pinned until disposal; memory given
/// by address stays the caller's and must outlive its use.
/// </summary>
public sealed class NetworkTensors : IDisposable
{
    private readonly TensorMemory?[] _bound;
    private readonly List<MemoryHandle> _pins = [];

    /// <summary>Creates an empty binding for <paramref name="network"/>.</summary>
    public NetworkTensors(Network network)
    {
        Network = network;
        _bound = new TensorMemory?[network.Weights.Count];
    }

    /// <summary>The network whose weights are bound.</summary>
    public Network Network { get; }

    /// <summary>The elements of weight <paramref name="weight"/>.</summary>
    /// <exception cref="NetworkException">Nothing is bound to it.</exception>
    public TensorMemory this[int weight] =>
        _bound[weight] ?? throw new NetworkException($"No elements are bound to weight '{Network.Weights[weight].Name}'.");

    /// <summary>Whether elements are bound to weight <paramref name="weight"/>.</summary>
    public bool IsBound(int weight) => _bound[weight] is not null;

    /// <summary>Binds memory by address.</summary>
    /// <exception cref="NetworkException">The type differs from the declared one, or there are too few elements.</exception>
    public NetworkTensors Bind(string weight, TensorMemory memory)
    {
        var target = Network.Weight(weight);
        if (memory.ElementType != target.ElementType)
        {
            throw new NetworkException($"Weight '{weight}' is declared {target.ElementType}, its elements are {memory.ElementType}.");
        }

        if (memory.Length < target.Layout.RequiredElements)
        {
            throw new NetworkException(
                $"Weight '{weight}' needs {target.Layout.RequiredElements} elements, the memory has {memory.Length}.");
        }

        if (memory.Address == 0 && target.Layout.RequiredElements > 0)
        {
            throw new NetworkException($"Weight '{weight}': the address is null.");
        }

        _bound[target.Index] = memory;
        return this;
    }

    /// <summary>Binds and pins float32 elements.</summary>
    public NetworkTensors Bind(string weight, Memory<float> elements) => Pin(weight, elements, ElementType.Float32);

    /// <summary>Binds and pins float64 elements.</summary>
    public NetworkTensors Bind(string weight, Memory<double> elements) => Pin(weight, elements, ElementType.Float64);

    /// <summary>Binds and pins float16 elements.</summary>
    public NetworkTensors Bind(string weight, Memory<Half> elements) => Pin(weight, elements, ElementType.Float16);

    /// <summary>Binds and pins bfloat16 elements, given by their bits.</summary>
    public NetworkTensors BindBFloat16(string weight, Memory<ushort> bits) => Pin(weight, bits, ElementType.BFloat16);

    /// <summary>Unpins managed memory.</summary>
    public void Dispose()
    {
        foreach (var pin in _pins)
        {
            pin.Dispose();
        }

        _pins.Clear();
        Array.Clear(_bound);
    }

    private unsafe NetworkTensors Pin<T>(string weight, Memory<T> elements, ElementType type)
    {
        var pin = elements.Pin();
        try
        {
            Bind(weight, new TensorMemory((nint)pin.Pointer, elements.Length, type));
        }
        catch
        {
            pin.Dispose();
            throw;
        }

        _pins.Add(pin);
        return this;
    }
}
