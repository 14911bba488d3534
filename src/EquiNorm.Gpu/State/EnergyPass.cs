using EquiNorm.Backends;
using EquiNorm.Gpu.Layout;
using EquiNorm.Gpu.Tables;
using EquiNorm.Model;

namespace EquiNorm.Gpu.State;

/// <summary>
/// Launches the fused pass: one launch for each storage type that weights have, and one for stored energies, however many layers there
/// are.
/// </summary>
internal sealed class EnergyPass : IDisposable
{
    private readonly DeviceLayout _layout;
    private readonly DeviceWeights _weights;
    private readonly ChannelState _channels;
    private readonly IDeviceQueue _queue;
    private readonly DeviceBuffer<int> _channelTable;
    private readonly DeviceBuffer<double> _scales;
    private readonly DeviceBuffer<double> _sums;
    private readonly DeviceBuffer<double> _norms;
    private readonly DeviceBuffer<double> _selfEnergies;
    private readonly List<(TileTable Table, DeviceBuffer<SumTile> Tiles)> _all = [];
    private readonly List<(TileTable Table, DeviceBuffer<SumTile> Tiles)> _direct = [];
    private readonly DeviceBuffer<SumTile> _energyTiles;
    private readonly PowerFormula _formula;
    private readonly Prescales _prescales;
    private bool _holdsEnergies;
    private DeviceBuffer<double>? _energies;

    public EnergyPass(DeviceLayout layout, DeviceWeights weights, ChannelState channels, int sets, IDeviceQueue queue)
    {
        _layout = layout;
        _weights = weights;
        _channels = channels;
        _queue = queue;
        _prescales = new Prescales(layout, weights, queue);
        _formula = layout.Plan.Problem.Norm switch
        {
            1 => PowerFormula.Absolute,
            2 => PowerFormula.Square,
            double.PositiveInfinity => PowerFormula.Largest,
            _ => PowerFormula.Power,
        };
        _channelTable = new DeviceBuffer<int>(queue, layout.Channels);
        _scales = new DeviceBuffer<double>(queue, layout.ScaleCount);
        _sums = new DeviceBuffer<double>(queue, (long)layout.SumCount * sets);
        _norms = new DeviceBuffer<double>(queue, (long)layout.NormCount * sets);
        _selfEnergies = new DeviceBuffer<double>(queue, HasSelfEdges ? layout.NormCount : 0);
        _selfEnergies.Clear();
        foreach (var table in layout.AllTiles)
        {
            _all.Add((table, new DeviceBuffer<SumTile>(queue, table.Tiles.Length)));
        }

        foreach (var table in layout.DirectTiles)
        {
            _direct.Add((table, new DeviceBuffer<SumTile>(queue, table.Tiles.Length)));
        }

        _energyTiles = new DeviceBuffer<SumTile>(queue, layout.EnergyTiles.Tiles.Length);
    }

    /// <summary>Whether some weight has energies that count in no sum.</summary>
    public bool HasSelfEdges => _layout.Plan.Weights.Any(w => w.HasSelfEdges);

    public DeviceView<double> Sums => _sums.View;

    public DeviceView<double> Energies => _energies?.View ?? default;

    /// <summary>Whether the energies of a weight are stored.</summary>
    public bool Holds(int weight) => _holdsEnergies && _layout.Weights[weight].StoresEnergies;

    /// <summary>log lambda of each weight, less the prescale of its energies.</summary>
    public double LogScale(int weight) => _prescales.LogScale(weight);

    public DeviceView<double> LogScales => _prescales.LogScales;

    /// <summary>Reads all weights at the current factors: stores energies if they will be needed, and computes all sums.</summary>
    public void Load(EnergyUse use)
    {
        _prescales.Choose();
        _scales.Upload(_prescales.OutputScales());
        _holdsEnergies = use == EnergyUse.Keep && _layout.EnergyCount > 0;
        if (_holdsEnergies)
        {
            _energies ??= new DeviceBuffer<double>(_queue, _layout.EnergyCount);
            _energyTiles.Upload(AtEnergies(_layout.EnergyTiles.Tiles));
        }

        foreach (var (table, tiles) in _all.Concat(_direct))
        {
            tiles.Upload(AtAddresses(table));
        }

        foreach (var (table, tiles) in _all)
        {
            Launch(KernelCatalog.Sum(FormulaFor(table.Type), table.Type), tiles.View, 0, _holdsEnergies ? Energies : default);
        }
    }

    /// <summary>Sums of weights [first, end) at a set of factors, into the set of sums of the same number.</summary>
    public void Run(int first, int end, int set)
    {
        if (_holdsEnergies)
        {
            Launch(KernelCatalog.Sum(StoredFormula, ElementType.Float64), Part(_layout.EnergyTiles, _energyTiles, first, end), set, default);
        }

        foreach (var (table, tiles) in _holdsEnergies ? _direct : _all)
        {
            Launch(KernelCatalog.Sum(FormulaFor(table.Type), table.Type), Part(table, tiles, first, end), set, default);
        }
    }

    public void DownloadSums(Span<double> target, int first, int set) => _sums.Download(target, (long)set * _layout.SumCount + first);

    public void DownloadNorms(Span<double> target) => _norms.Download(target);

    public void DownloadSelfEnergies(Span<double> target) => _selfEnergies.Download(target);

    public void Dispose()
    {
        _prescales.Dispose();
        _channelTable.Dispose();
        _scales.Dispose();
        _sums.Dispose();
        _norms.Dispose();
        _selfEnergies.Dispose();
        _energyTiles.Dispose();
        _energies?.Dispose();
        foreach (var (_, tiles) in _all.Concat(_direct))
        {
            tiles.Dispose();
        }
    }

    private PowerFormula FormulaFor(ElementType type) =>
        _formula == PowerFormula.Largest || type == ElementType.Float64 || !_prescales.Any(type) ? _formula : PowerFormula.Power;

    // Stored energies are taken as they are.
    private PowerFormula StoredFormula => _formula == PowerFormula.Largest ? _formula : PowerFormula.Absolute;

    private static DeviceView<SumTile> Part(TileTable table, DeviceBuffer<SumTile> tiles, int first, int end)
    {
        var (start, count) = table.Range(first, end);
        return tiles.View.Slice(start, count);
    }

    private SumTile[] AtAddresses(TileTable table)
    {
        var size = table.Type.ByteSize();
        var placed = new SumTile[table.Tiles.Length];
        for (var n = 0; n < placed.Length; n++)
        {
            var tile = table.Tiles[n];
            tile.Elements += (long)(_weights.Address(tile.Weight) / (ulong)size);
            tile.Prescale = _prescales.Factor(tile.Weight);
            placed[n] = TileShape.Shape(tile, size);
        }

        return placed;
    }

    private SumTile[] AtEnergies(SumTile[] tiles)
    {
        var first = (long)(Energies.Address / sizeof(double));
        var placed = (SumTile[])tiles.Clone();
        foreach (ref var tile in placed.AsSpan())
        {
            tile.Elements += first;
        }

        return placed;
    }

    private void Launch(KernelId kernel, DeviceView<SumTile> tiles, int set, DeviceView<double> energies)
    {
        if (tiles.Length == 0)
        {
            return;
        }

        var parameters = new SumParameters
        {
            Tiles = tiles,
            Elements = DeviceView<byte>.Everywhere,
            Quads = DeviceView<byte>.Everywhere,
            Channels = _channelTable.View,
            OutputFactors = _channels.Outputs(set),
            InputFactors = _channels.Inputs(set),
            Scales = _scales.View,
            Energies = energies,
            Sums = _sums.View.Slice((long)set * _layout.SumCount, _layout.SumCount),
            Norms = _norms.View.Slice((long)set * _layout.NormCount, _layout.NormCount),
            SelfEnergies = _selfEnergies.View,
            Exponent = _layout.Plan.Problem.FactorExponent,
            FactorStride = _channels.Count,
            SumStride = _layout.SumCount,
            NormStride = _layout.NormCount,
            TileCount = (int)tiles.Length,
        };
        _queue.Launch(kernel, (int)tiles.Length, KernelPolicy.GroupSize, parameters);
    }
}
