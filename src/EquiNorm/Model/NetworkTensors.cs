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
    private readonly List<Companion> _companions = [];

    // Pinned managed memory, by what it is bound to; weights and biases themselves have no kind.
    private readonly Dictionary<(int Weight, CompanionKind? Kind, int Slot), MemoryHandle> _pins = [];

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
        _bound[weight] ?? throw new TensorException(TensorError.NotBound, $"No elements are bound to weight '{Network.Weights[weight].Name}'.");

    /// <summary>Whether elements are bound to weight <paramref name="weight"/>.</summary>
    public bool IsBound(int weight) => _bound[weight] is not null;

    /// <summary>Tensors that move with the weights and biases, in the order of the weights, then of kind and slot.</summary>
    public IReadOnlyList<Companion> Companions => _companions;

    /// <summary>Where the tensors are that were bound as views; null if there are none, and nobody said.</summary>
    public TensorDevice? Device { get; private set; }

    /// <summary>Grows with every change of what is bound, so that users of the binding see that it changed.</summary>
    public int Version { get; private set; }

    /// <summary>Binds memory by address.</summary>
    /// <exception cref="NetworkException">The type differs from the declared one, or there are too few elements.</exception>
    public NetworkTensors Bind(string weight, TensorMemory memory)
    {
        var target = Target(weight);
        if (memory.ElementType != target.ElementType)
        {
            throw new TensorException(
                TensorError.WrongType, $"Weight '{weight}' is declared {target.ElementType}, its elements are {memory.ElementType}.");
        }

        if (memory.Length < target.Layout.RequiredElements)
        {
            throw new TensorException(
                TensorError.WrongShape, $"Weight '{weight}' needs {target.Layout.RequiredElements} elements, the memory has {memory.Length}.");
        }

        if (memory.Address == 0 && target.Layout.RequiredElements > 0)
        {
            throw new TensorException(TensorError.NotBound, $"Weight '{weight}': the address is null.");
        }

        Unpin((target.Index, null, 0));
        if (_bound[target.Index] != memory)
        {
            _bound[target.Index] = memory;
            Version++;
        }

        return this;
    }

    /// <summary>Binds a framework's tensor. Its strides must be the declared ones.</summary>
    /// <exception cref="TensorException">There is no such weight, or the tensor differs from what is declared; nothing was bound.</exception>
    public NetworkTensors Bind(string weight, TensorView tensor)
    {
        var target = Target(weight);
        var layout = Layout(target, weight, tensor, target.ElementType);
        if (!layout.HasSamePlaces(target.Layout with { Offset = 0 }))
        {
            throw new TensorException(
                TensorError.WrongShape,
                $"Tensor '{weight}' has strides [{string.Join(", ", tensor.StridesOf(weight))}], which differ from those it was declared with.");
        }

        RequireSameDevice(weight, tensor.Device);
        Device = tensor.Device;
        return Bind(weight, new TensorMemory(
            tensor.Address - (nint)(target.Layout.Offset * target.ElementType.ByteSize()), target.Layout.RequiredElements, tensor.ElementType));
    }

    /// <summary>Binds a tensor that moves with a weight or bias: its shape as the weight's, type and strides as they are.</summary>
    /// <param name="weight">Name of the weight or bias.</param>
    /// <param name="kind">What the tensor holds.</param>
    /// <param name="tensor">The tensor.</param>
    /// <param name="slot">Tells several of one kind apart; a tensor bound to the same slot before is replaced.</param>
    /// <exception cref="TensorException">There is no such weight, or the shape differs; nothing was bound.</exception>
    public NetworkTensors BindCompanion(string weight, CompanionKind kind, TensorView tensor, int slot = 0)
    {
        _ = Companion.PowerOf(kind);
        var target = Target(weight);
        var layout = Layout(target, $"{weight} ({kind}, slot {slot})", tensor, tensor.ElementType);
        RequireSameDevice(weight, tensor.Device);
        Device = tensor.Device;
        return Place(new Companion(
            target, kind, slot, new TensorMemory(tensor.Address, layout.RequiredElements, tensor.ElementType), layout));
    }

    /// <summary>Binds memory that moves with a weight or bias and is laid out as it is; its type may differ.</summary>
    /// <exception cref="TensorException">There is no such weight, or there are too few elements; nothing was bound.</exception>
    public NetworkTensors BindCompanion(string weight, CompanionKind kind, TensorMemory memory, int slot = 0)
    {
        _ = Companion.PowerOf(kind);
        var target = Target(weight);
        if (memory.Length < target.Layout.RequiredElements)
        {
            throw new TensorException(
                TensorError.WrongShape,
                $"Tensor '{weight} ({kind}, slot {slot})' needs {target.Layout.RequiredElements} elements, the memory has {memory.Length}.");
        }

        if (memory.Address == 0 && target.Layout.RequiredElements > 0)
        {
            throw new TensorException(TensorError.NotBound, $"Tensor '{weight} ({kind}, slot {slot})': the address is null.");
        }

        return Place(new Companion(target, kind, slot, memory, target.Layout));
    }

    /// <summary>Binds and pins float32 elements that move with a weight or bias.</summary>
    public NetworkTensors BindCompanion(string weight, CompanionKind kind, Memory<float> elements, int slot = 0) =>
        Pin(weight, (kind, slot), elements, ElementType.Float32, memory => BindCompanion(weight, kind, memory, slot));

    /// <summary>Binds and pins float64 elements that move with a weight or bias.</summary>
    public NetworkTensors BindCompanion(string weight, CompanionKind kind, Memory<double> elements, int slot = 0) =>
        Pin(weight, (kind, slot), elements, ElementType.Float64, memory => BindCompanion(weight, kind, memory, slot));

    private NetworkTensors Place(Companion companion)
    {
        Unpin((companion.Weight.Index, companion.Kind, companion.Slot));
        var place = Place(companion.Weight, companion.Kind, companion.Slot);
        if (place < 0)
        {
            _companions.Insert(~place, companion);
        }
        else if (_companions[place] == companion)
        {
            return this;
        }
        else
        {
            _companions[place] = companion;
        }

        Version++;
        return this;
    }

    /// <summary>Forgets the elements of a weight or bias.</summary>
    /// <exception cref="TensorException">There is no such weight.</exception>
    public void Unbind(string weight)
    {
        ref var bound = ref _bound[Target(weight).Index];
        Unpin((Target(weight).Index, null, 0));
        Version += bound is null ? 0 : 1;
        bound = null;
    }

    /// <summary>Forgets a companion.</summary>
    /// <exception cref="TensorException">There is no such weight.</exception>
    public void UnbindCompanion(string weight, CompanionKind kind, int slot = 0)
    {
        var place = Place(Target(weight), kind, slot);
        Unpin((Target(weight).Index, kind, slot));
        if (place >= 0)
        {
            _companions.RemoveAt(place);
            Version++;
        }
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
        foreach (var pin in _pins.Values)
        {
            pin.Dispose();
        }

        _pins.Clear();
        _companions.Clear();
        Array.Clear(_bound);
        Device = null;
        Version++;
    }

    /// <summary>Refuses tensors that are said to be on another device.</summary>
    /// <exception cref="TensorException">They are.</exception>
    public void RequireOn(TensorDevice device)
    {
        if (Device is { } there && there != device)
        {
            throw new TensorException(TensorError.WrongDevice, $"The tensors are on {there}, the work is done on {device}.");
        }
    }

    /// <summary>Refuses tensors that share elements, of which each would be rescaled by the other's factors, too. Interleaved views are allowed.</summary>
    /// <exception cref="TensorException">Two tensors that are bound share memory.</exception>
    public void RequireNoOverlap() => TensorOverlap.Refuse(this);

    private void RequireSameDevice(string name, TensorDevice device)
    {
        if (Device is { } others && others != device)
        {
            throw new TensorException(TensorError.WrongDevice, $"Tensor '{name}' is on {device}, others that are bound are on {others}.");
        }
    }

    private Weight Target(string weight) => Network.Find(weight)
        ?? throw new TensorException(TensorError.UnknownName, $"The network has no weight '{weight}'.");

    private static WeightLayout Layout(Weight target, string name, TensorView tensor, ElementType type)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        if (tensor.ElementType != type)
        {
            throw new TensorException(TensorError.WrongType, $"Tensor '{name}' is declared {type}, its elements are {tensor.ElementType}.");
        }

        var layout = target.Layout.WithTensor(name, tensor);
        if (tensor.Address == 0 && layout.Elements > 0)
        {
            throw new TensorException(TensorError.NotBound, $"Tensor '{name}': the address is null; was its memory freed?");
        }

        return layout;
    }

    // Index of a companion, or the complement of where it belongs.
    private int Place(Weight weight, CompanionKind kind, int slot)
    {
        var n = 0;
        for (; n < _companions.Count; n++)
        {
            var at = _companions[n];
            var order = (at.Weight.Index, at.Kind, at.Slot).CompareTo((weight.Index, kind, slot));
            if (order >= 0)
            {
                return order == 0 ? n : ~n;
            }
        }

        return ~n;
    }

    private NetworkTensors Pin<T>(string weight, Memory<T> elements, ElementType type) =>
        Pin(weight, (null, 0), elements, type, memory => Bind(weight, memory));

    private unsafe NetworkTensors Pin<T>(
        string weight, (CompanionKind? Kind, int Slot) place, Memory<T> elements, ElementType type, Action<TensorMemory> bind)
    {
        var pin = elements.Pin();
        try
        {
            bind(new TensorMemory((nint)pin.Pointer, elements.Length, type));
        }
        catch
        {
            pin.Dispose();
            throw;
        }

        _pins.Add((Network.Find(weight)!.Index, place.Kind, place.Slot), pin);
        return this;
    }

    private void Unpin((int Weight, CompanionKind? Kind, int Slot) place)
    {
        if (_pins.Remove(place, out var pin))
        {
            pin.Dispose();
        }
    }
}
