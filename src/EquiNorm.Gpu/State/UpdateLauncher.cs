using EquiNorm.Backends;
using EquiNorm.Gpu.Layout;
using EquiNorm.Gpu.Tables;
using EquiNorm.Plan;

namespace EquiNorm.Gpu.State;

/// <summary>Launches the closed-form update; keeps the tables of the sets of units that it has met.</summary>
internal sealed class UpdateLauncher : IDisposable
{
    private readonly DeviceLayout _layout;
    private readonly ChannelState _channels;
    private readonly EnergyPass _pass;
    private readonly IDeviceQueue _queue;
    private readonly Dictionary<UnitSet, Tables> _tables = [];
    private int _fixedSums;
    private Tables? _last;
    private ChunkReport[] _reports = [];

    public UpdateLauncher(DeviceLayout layout, ChannelState channels, EnergyPass pass, IDeviceQueue queue)
    {
        _layout = layout;
        _channels = channels;
        _pass = pass;
        _queue = queue;
    }

    /// <summary>How far channels go.</summary>
    public UpdateRule Rule { get; set; } = UpdateRule.Free;

    /// <summary>The range of v of each group of the last update.</summary>
    public ReadOnlySpan<(int Group, double Lowest, double Highest)> Ranges => _last is null ? default : _last.Ranges;

    /// <summary>Counts the sums over frozen channels, which are a set of sums of their own; 0 for none.</summary>
    public void UseFixedSums(int set)
    {
        var fixedSums = set * _layout.SumCount;
        if (fixedSums != _fixedSums)
        {
            _fixedSums = fixedSums;
            Clear();
        }
    }

    /// <summary>Updates the units, or measures them only; returns the largest residual.</summary>
    public double Run(ReadOnlySpan<UpdateUnit> units, bool updates)
    {
        var tables = _last = Find(units);
        if (tables.Chunks.Length == 0)
        {
            return 0;
        }

        var rule = RuleFor(units);
        var problem = _layout.Plan.Problem;
        _queue.Launch(KernelCatalog.UpdateChannels, (int)tables.Chunks.Length, KernelPolicy.ChunkChannels, new UpdateParameters
        {
            Chunks = tables.Chunks.View,
            Sums = new ChannelSumParameters
            {
                Terms = tables.Terms.View,
                Positions = tables.Positions.View,
                Sums = _pass.Sums,
                LogScales = _pass.LogScales,
                References = _channels.References(),
                TakesLargest = problem.TakesLargest ? 1 : 0,
            },
            Energies = _pass.Energies,
            Logs = _channels.Logs,
            OutputFactors = _channels.Outputs(),
            InputFactors = _channels.Inputs(),
            Live = _channels.Live,
            Reports = tables.Reports.View,
            Norm = problem.FactorExponent,
            Limit = problem.FactorExponent * rule.LogLimit,
            Damping = rule.Damping,
            Limited = rule.IsFree ? 0 : 1,
            Updates = updates ? 1 : 0,
        });
        if (updates)
        {
            _channels.Changed(units);
        }

        return tables.Read(ref _reports);
    }

    public void Dispose() => Clear();

    // One launch has one rule: that of the unit that goes the shortest way.
    private UpdateRule RuleFor(ReadOnlySpan<UpdateUnit> units)
    {
        var rule = Rule;
        foreach (var unit in units)
        {
            var own = Rule.For(_layout.Plan, unit);
            rule = own.Damping < rule.Damping ? own : rule;
        }

        return rule;
    }

    private Tables Find(ReadOnlySpan<UpdateUnit> units)
    {
        if (_last is not null && _last.Units.AsSpan().SequenceEqual(units))
        {
            return _last;
        }

        var key = new UnitSet(units.Length, units.IsEmpty ? default : units[0], units.IsEmpty ? default : units[^1]);
        if (_tables.TryGetValue(key, out var known) && known.Units.AsSpan().SequenceEqual(units))
        {
            return known;
        }

        if (known is not null)
        {
            _tables.Remove(key);
            known.Dispose();
        }

        return _tables[key] = new Tables(units.ToArray(), new UpdateTables(_layout, units, _fixedSums, _fixedSums), _queue);
    }

    private void Clear()
    {
        foreach (var tables in _tables.Values)
        {
            tables.Dispose();
        }

        _tables.Clear();
        _last = null;
    }

    private readonly record struct UnitSet(int Count, UpdateUnit First, UpdateUnit Last);

    private sealed class Tables : IDisposable
    {
        private readonly UpdateChunk[] _hostChunks;

        public Tables(UpdateUnit[] units, UpdateTables tables, IDeviceQueue queue)
        {
            Units = units;
            _hostChunks = tables.Chunks;
            Chunks = new DeviceBuffer<UpdateChunk>(queue, tables.Chunks);
            Terms = new DeviceBuffer<SumTerm>(queue, tables.Terms);
            Positions = new DeviceBuffer<int>(queue, tables.Positions);
            Reports = new DeviceBuffer<ChunkReport>(queue, tables.Chunks.Length);
            Ranges = new (int, double, double)[tables.Chunks.Length];
        }

        public UpdateUnit[] Units { get; }

        public DeviceBuffer<UpdateChunk> Chunks { get; }

        public DeviceBuffer<SumTerm> Terms { get; }

        public DeviceBuffer<int> Positions { get; }

        public DeviceBuffer<ChunkReport> Reports { get; }

        public (int Group, double Lowest, double Highest)[] Ranges { get; }

        public double Read(ref ChunkReport[] reports)
        {
            if (reports.Length < _hostChunks.Length)
            {
                reports = new ChunkReport[_hostChunks.Length];
            }

            Reports.Download(reports.AsSpan(0, _hostChunks.Length));
            double residual = 0;
            for (var n = 0; n < _hostChunks.Length; n++)
            {
                residual = Math.Max(residual, reports[n].Residual);
                Ranges[n] = (_hostChunks[n].Group, reports[n].Lowest, reports[n].Highest);
            }

            return residual;
        }

        public void Dispose()
        {
            Chunks.Dispose();
            Terms.Dispose();
            Positions.Dispose();
            Reports.Dispose();
        }
    }
}
