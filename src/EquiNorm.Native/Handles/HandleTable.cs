using EquiNorm.Native.Failures;

namespace EquiNorm.Native.Handles;

/// <summary>
/// What C holds instead of objects: numbers that are looked up, never addresses that are followed. A number that was freed, belongs to
/// another kind of object or was never given is refused.
/// </summary>
/// <remarks>
/// From the top: 16 bits that no address of a program has, 24 bits that count how often the place was used, 20 bits of place, 4 bits of kind.
/// </remarks>
/// <param name="kind">Tells tables apart, 1 to 15.</param>
/// <param name="name">What the objects are called in errors.</param>
internal sealed class HandleTable<T>(int kind, string name)
    where T : class
{
    private const ulong Mark = 0x4551UL << 48;
    private const int LastGeneration = (1 << 24) - 1;
    private const int Places = 1 << 20;

    private readonly Lock _gate = new();
    private readonly Stack<int> _free = [];
    private (T? Item, int Generation)[] _places = [];
    private int _used;
    private int _retired;

    /// <summary>Objects that are held.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _used - _free.Count - _retired;
            }
        }
    }

    /// <summary>Holds an object.</summary>
    public nint Add(T item)
    {
        lock (_gate)
        {
            if (!_free.TryPop(out var place))
            {
                place = TakePlace();
            }

            _places[place].Item = item;
            return Handle(place, _places[place].Generation);
        }
    }

    /// <summary>The object of a handle.</summary>
    public T Get(nint handle)
    {
        lock (_gate)
        {
            return Find(handle, out _);
        }
    }

    /// <summary>Forgets an object; its handle is never given again.</summary>
    public T Remove(nint handle)
    {
        lock (_gate)
        {
            var item = Find(handle, out var place);
            _places[place].Item = null;

            // A place that has been used as often as can be counted is not used again.
            if (_places[place].Generation++ < LastGeneration)
            {
                _free.Push(place);
            }
            else
            {
                _retired++;
            }

            return item;
        }
    }

    private int TakePlace()
    {
        if (_used == Places)
        {
            throw new NativeException(Status.OutOfMemory, $"There are {Places} {name}s already; free those that are not needed.");
        }

        if (_used == _places.Length)
        {
            Array.Resize(ref _places, Math.Max(16, 2 * _used));
        }

        return _used++;
    }

    private T Find(nint handle, out int place)
    {
        place = (int)((ulong)handle >> 4) & (Places - 1);
        var generation = (int)((ulong)handle >> 24) & LastGeneration;
        if (place < _used && (nint)Handle(place, generation) == handle && _places[place] is { Item: { } item } at && at.Generation == generation)
        {
            return item;
        }

        throw NativeException.Argument(handle == 0
            ? $"The {name} is null."
            : $"0x{handle:x} is no {name}: it was freed, or is something else.");
    }

    private nint Handle(int place, int generation) => (nint)(Mark | ((ulong)generation << 24) | ((ulong)place << 4) | (uint)kind);
}
