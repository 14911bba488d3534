using EquiNorm.Plan;

namespace EquiNorm.Gpu.State;

/// <summary>
/// The factors of all channels: p u_c = reference_g + v_c, x_c = exp(v_c). v, x and 1/x live on the device; references live on the host
/// and are copied before they are needed. Frozen channels of free groups have x = 1/x = 0.
/// </summary>
internal sealed class ChannelState : IDisposable
{
    private readonly RescalingPlan _plan;
    private readonly DeviceBuffer<double> _logs;
    private readonly DeviceBuffer<double> _outputs;
    private readonly DeviceBuffer<double> _inputs;
    private readonly DeviceBuffer<double> _deviceReferences;
    private readonly DeviceBuffer<int> _deviceLive;
    private readonly double[] _references;
    private readonly int[] _live;
    private readonly int[] _versions;
    private readonly double[] _hostLogs;
    private readonly double[] _hostOutputs;
    private readonly double[] _hostInputs;
    private bool _referencesChanged;
    private bool _logsKnown;
    private bool _outputsKnown;
    private bool _inputsKnown;

    /// <summary>Sets of factors: x and 1/x, those of the last probes on each axis, those of frozen channels.</summary>
    public const int Sets = 4;

    public ChannelState(RescalingPlan plan, IDeviceQueue queue)
    {
        _plan = plan;
        Count = plan.Problem.Network.ChannelCount;
        _references = new double[plan.Groups.Count];
        _versions = new int[plan.Groups.Count];
        _live = new int[Count];
        _hostLogs = new double[Count];
        _hostOutputs = new double[Count];
        _hostInputs = new double[Count];
        _logs = new DeviceBuffer<double>(queue, Count);
        _outputs = new DeviceBuffer<double>(queue, (long)Count * Sets);
        _inputs = new DeviceBuffer<double>(queue, (long)Count * Sets);
        _deviceReferences = new DeviceBuffer<double>(queue, plan.Groups.Count);
        _deviceLive = new DeviceBuffer<int>(queue, Count);
    }

    /// <summary>Number of channels.</summary>
    public int Count { get; }

    public DeviceView<double> Logs => _logs.View;

    public DeviceView<int> Live => _deviceLive.View;

    /// <summary>x of every channel, or another set of factors.</summary>
    public DeviceView<double> Outputs(int set = 0) => Count == 0 ? default : _outputs.View.Slice((long)set * Count, Count);

    /// <summary>1/x of every channel, or another set of factors.</summary>
    public DeviceView<double> Inputs(int set = 0) => Count == 0 ? default : _inputs.View.Slice((long)set * Count, Count);

    /// <summary>The references, as they are now.</summary>
    public DeviceView<double> References()
    {
        if (_referencesChanged)
        {
            _referencesChanged = false;
            _deviceReferences.Upload(_references);
        }

        return _deviceReferences.View;
    }

    public double Reference(int group) => _references[group];

    public int Version(int group) => _versions[group];

    public bool IsLive(int channel) => _live[channel] != 0;

    /// <summary>Host copy of x or 1/x.</summary>
    public ReadOnlySpan<double> Factors(Axis axis)
    {
        if (axis == Axis.Output)
        {
            if (!_outputsKnown)
            {
                _outputs.Download(_hostOutputs);
                _outputsKnown = true;
            }

            return _hostOutputs;
        }

        if (!_inputsKnown)
        {
            _inputs.Download(_hostInputs);
            _inputsKnown = true;
        }

        return _hostInputs;
    }

    /// <summary>Adds to u of the live channels of every group; all sums stay valid.</summary>
    public void Shift(ReadOnlySpan<double> shifts)
    {
        for (var g = 0; g < _references.Length; g++)
        {
            if (!_plan.Groups[g].Group.IsPinned)
            {
                _references[g] += _plan.Problem.FactorExponent * shifts[g];
            }
        }

        _referencesChanged = true;
    }

    /// <summary>Thaws every channel and sets u.</summary>
    public void Reset(ReadOnlySpan<double> logFactors)
    {
        foreach (var group in _plan.Groups)
        {
            _live.AsSpan(group.Group.FirstChannel, group.Group.Count).Fill(group.Group.IsPinned ? 0 : 1);
        }

        _deviceLive.Upload(_live);
        Write(logFactors);
    }

    public void Freeze(ReadOnlySpan<bool> frozen)
    {
        ReadLogs();
        foreach (var group in _plan.Groups.Where(g => !g.Group.IsPinned))
        {
            for (var c = group.Group.FirstChannel; c < group.Group.FirstChannel + group.Group.Count; c++)
            {
                _live[c] = frozen[c] ? 0 : _live[c];
            }
        }

        _deviceLive.Upload(_live);
        CommitAll();
    }

    public void Read(Span<double> logFactors)
    {
        ReadLogs();
        logFactors.Clear();
        foreach (var group in _plan.Groups.Where(g => !g.Group.IsPinned))
        {
            for (var c = group.Group.FirstChannel; c < group.Group.FirstChannel + group.Group.Count; c++)
            {
                logFactors[c] = _live[c] != 0 ? (_references[group.Group.Index] + _hostLogs[c]) / _plan.Problem.FactorExponent : 0;
            }
        }
    }

    public void Write(ReadOnlySpan<double> logFactors)
    {
        Array.Clear(_references);
        Array.Clear(_hostLogs);
        foreach (var group in _plan.Groups.Where(g => !g.Group.IsPinned))
        {
            for (var c = group.Group.FirstChannel; c < group.Group.FirstChannel + group.Group.Count; c++)
            {
                _hostLogs[c] = _live[c] != 0 ? _plan.Problem.FactorExponent * logFactors[c] : 0;
            }
        }

        CommitAll();
    }

    /// <summary>The device has changed v of some groups: host copies are void, and sums over those groups stale.</summary>
    public void Changed(ReadOnlySpan<UpdateUnit> units)
    {
        _logsKnown = _outputsKnown = _inputsKnown = false;
        foreach (var unit in units)
        {
            _versions[unit.Group]++;
            if (unit.IsPair)
            {
                _versions[unit.Behind]++;
            }
        }
    }

    /// <summary>Moves the middle of v into the reference of every group that has drifted far.</summary>
    /// <param name="ranges">Ranges of v by chunk; those of a pair are those of both its groups together.</param>
    public void Recentre(ReadOnlySpan<(int Group, double Lowest, double Highest)> ranges)
    {
        // A group far from its reference has some v that is far: groups with none need no look at all.
        var suspicious = false;
        foreach (var (_, lowest, highest) in ranges)
        {
            suspicious |= lowest <= highest && Math.Max(Math.Abs(lowest), Math.Abs(highest)) > KernelPolicy.RecentreBeyond;
        }

        if (!suspicious)
        {
            return;
        }

        ReadLogs();
        var moved = false;
        foreach (var group in _plan.Groups.Where(g => !g.Group.IsPinned))
        {
            var (low, high) = Range(group);
            if (low <= high && Math.Abs((low + high) / 2) > KernelPolicy.RecentreBeyond)
            {
                _ = Factors(Axis.Output);
                _ = Factors(Axis.Input);
                Commit(group);
                moved = true;
            }
        }

        if (moved)
        {
            Publish();
        }
    }

    /// <summary>Writes another set of factors.</summary>
    public void WriteSet(int set, ReadOnlySpan<double> outputs, ReadOnlySpan<double> inputs)
    {
        _outputs.Upload(outputs, (long)set * Count);
        _inputs.Upload(inputs, (long)set * Count);
    }

    public void Dispose()
    {
        _logs.Dispose();
        _outputs.Dispose();
        _inputs.Dispose();
        _deviceReferences.Dispose();
        _deviceLive.Dispose();
    }

    private void ReadLogs()
    {
        if (!_logsKnown)
        {
            _logs.Download(_hostLogs);
            _logsKnown = true;
        }
    }

    // From v on the host: centres it, recomputes x, copies all to the device. Every sum becomes stale.
    private void CommitAll()
    {
        Array.Fill(_hostOutputs, 1.0);
        Array.Fill(_hostInputs, 1.0);
        foreach (var group in _plan.Groups.Where(g => !g.Group.IsPinned))
        {
            Commit(group);
        }

        Publish();
    }

    private void Commit(PlannedGroup group)
    {
        var (low, high) = Range(group);
        var centre = low <= high ? (low + high) / 2 : 0;
        _versions[group.Group.Index]++;
        _references[group.Group.Index] += centre;
        for (var c = group.Group.FirstChannel; c < group.Group.FirstChannel + group.Group.Count; c++)
        {
            _hostLogs[c] = _live[c] != 0 ? _hostLogs[c] - centre : 0;
            _hostOutputs[c] = _live[c] != 0 ? Math.Exp(_hostLogs[c]) : 0;
            _hostInputs[c] = _live[c] != 0 ? 1 / _hostOutputs[c] : 0;
        }
    }

    private (double Low, double High) Range(PlannedGroup group)
    {
        var (low, high) = (double.PositiveInfinity, double.NegativeInfinity);
        for (var c = group.Group.FirstChannel; c < group.Group.FirstChannel + group.Group.Count; c++)
        {
            if (_live[c] != 0)
            {
                low = Math.Min(low, _hostLogs[c]);
                high = Math.Max(high, _hostLogs[c]);
            }
        }

        return (low, high);
    }

    private void Publish()
    {
        _logs.Upload(_hostLogs);
        _outputs.Upload(_hostOutputs);
        _inputs.Upload(_hostInputs);
        _referencesChanged = _logsKnown = _outputsKnown = _inputsKnown = true;
    }
}
