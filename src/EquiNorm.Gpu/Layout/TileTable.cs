using EquiNorm.Gpu.Tables;
using EquiNorm.Model;

namespace EquiNorm.Gpu.Layout;

/// <summary>Tiles of one kernel, in the order of the weights: those of consecutive weights are consecutive.</summary>
internal sealed class TileTable
{
    private readonly int[] _starts;

    public TileTable(ElementType type, WeightPlace[] weights, IReadOnlyList<SumTile> tiles, Func<WeightPlace, bool> takes)
    {
        Type = type;
        _starts = new int[weights.Length + 1];
        var taken = tiles.Where(t => takes(weights[t.Weight])).ToArray();
        foreach (var tile in taken)
        {
            _starts[tile.Weight + 1]++;
        }

        for (var t = 0; t < weights.Length; t++)
        {
            _starts[t + 1] += _starts[t];
        }

        Tiles = taken;
    }

    /// <summary>How the elements are stored.</summary>
    public ElementType Type { get; }

    /// <summary>The tiles; elements are counted from the start of the tensor.</summary>
    public SumTile[] Tiles { get; }

    /// <summary>The tiles of weights [first, end).</summary>
    public (int First, int Count) Range(int first, int end) => (_starts[first], _starts[end] - _starts[first]);
}
