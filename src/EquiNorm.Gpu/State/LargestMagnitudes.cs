using EquiNorm.Gpu.Layout;
using EquiNorm.Gpu.Tables;
using EquiNorm.Model;

namespace EquiNorm.Gpu.State;

/// <summary>The largest |w| of single weights, found on the device.</summary>
internal sealed class LargestMagnitudes(DeviceLayout layout, DeviceWeights weights, IDeviceQueue queue) : IDisposable
{
    private readonly Dictionary<int, double> _known = [];
    private DeviceBuffer<SumTile>? _tiles;
    private DeviceBuffer<double>? _results;

    /// <summary>Forgets what was found: the elements may have changed.</summary>
    public void Forget() => _known.Clear();

    /// <summary>The largest magnitude of a weight; NaN counts for nothing.</summary>
    public double Of(int weight)
    {
        if (!_known.TryGetValue(weight, out var largest))
        {
            largest = Find(weight);
        }

        return largest;
    }

    public void Dispose()
    {
        _tiles?.Dispose();
        _results?.Dispose();
    }

    // All weights of the type at once: whoever asks for one asks for all.
    private double Find(int weight)
    {
        var type = layout.Weights[weight].Matrix.ElementType;
        var table = layout.AllTiles.First(t => t.Type == type);
        var tiles = new SumTile[table.Tiles.Length];
        for (var n = 0; n < tiles.Length; n++)
        {
            tiles[n] = table.Tiles[n];
            tiles[n].Elements += (long)(weights.Address(tiles[n].Weight) / (ulong)type.ByteSize());
            _known[tiles[n].Weight] = 0;
        }

        if (tiles.Length == 0)
        {
            return 0;
        }

        _tiles?.Dispose();
        _results?.Dispose();
        _tiles = new DeviceBuffer<SumTile>(queue, tiles);
        _results = new DeviceBuffer<double>(queue, tiles.Length);
        queue.Launch(KernelCatalog.Largest(type), tiles.Length, KernelPolicy.GroupSize, new LargestParameters
        {
            Tiles = _tiles.View,
            Elements = DeviceView<byte>.Everywhere,
            Results = _results.View,
        });
        var results = new double[tiles.Length];
        _results.Download(results);
        for (var n = 0; n < tiles.Length; n++)
        {
            _known[tiles[n].Weight] = Math.Max(_known[tiles[n].Weight], results[n]);
        }

        return _known.GetValueOrDefault(weight);
    }
}
