using EquiNorm.Backends;
using EquiNorm.Gpu.Layout;
using EquiNorm.Model;
using EquiNorm.Plan;

namespace EquiNorm.Gpu.State;

/// <summary>
/// The state of a solve on a device. Sums and factors live there; the host keeps the references of the groups, and copies what the
/// solver asks to see, when it asks. See <see cref="RescalingState"/> for what the numbers mean.
/// </summary>
internal sealed class GpuState : RescalingState
{
    // The sets of sums: valid ones, the last probes on each axis, sums over frozen channels.
    private const int Probed = 1;
    private const int Frozen = 3;
    private const int Sets = ChannelState.Sets;

    private readonly IDeviceQueue _queue;
    private readonly DeviceLayout _layout;
    private readonly DeviceWeights _weights;
    private readonly EnergyPass _pass;
    private readonly ChannelState _channels;
    private readonly HostSums _host;
    private readonly UpdateLauncher _update;
    private readonly BlockStamps _stamps;
    private readonly List<IDisposable> _owned = [];
    private readonly double[] _weighted;
    private double[]?[][]? _fixed;
    private long _edgesRead;
    private bool _disposed;

    public GpuState(RescalingPlan plan, NetworkTensors tensors, TensorLocation location, IDeviceQueue queue)
    {
        Plan = plan;
        _queue = queue;
        _layout = new DeviceLayout(plan);
        try
        {
            _weights = Own(new DeviceWeights(plan, tensors, location, queue));
            _channels = Own(new ChannelState(plan, queue));
            _pass = Own(new EnergyPass(_layout, _weights, _channels, Sets, queue));
            _update = Own(new UpdateLauncher(_layout, _channels, _pass, queue));
        }
        catch
        {
            Dispose();
            throw;
        }

        _weighted = new double[plan.Problem.Network.ChannelCount];
        _host = new HostSums(_layout, _pass, Sets);
        _stamps = new BlockStamps(_layout, _channels);
    }

    public override RescalingPlan Plan { get; }

    public override long EdgesRead => _edgesRead;

    public override int Load(ReadOnlySpan<double> logFactors, EnergyUse use)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        _fixed = null;
        _weights.Upload();
        _channels.Reset(logFactors);
        _update.UseFixedSums(0);
        _pass.Load(use);
        _edgesRead += Plan.Weights.Where(w => !_pass.Holds(w.Index)).Sum(w => w.Weight.Layout.Edges);
        _host.Invalidate(0, 0, Plan.Weights.Count);
        _stamps.StampAll();
        return _host.FirstNonFinite();
    }

    public override void Freeze(ReadOnlySpan<bool> frozen)
    {
        _channels.Freeze(frozen);
        var mask = new double[frozen.Length];
        foreach (var group in Plan.Groups.Where(g => !g.Group.IsPinned))
        {
            for (var c = group.Group.FirstChannel; c < group.Group.FirstChannel + group.Group.Count; c++)
            {
                mask[c] = frozen[c] ? 1 : 0;
            }
        }

        _channels.WriteSet(Frozen, mask, mask);
        _pass.Run(0, _layout.Weights.Length, Frozen);
        _edgesRead += Plan.Edges;
        _host.Invalidate(Frozen, 0, Plan.Weights.Count);
        _fixed = FixedVectors(mask);
        _update.UseFixedSums(Frozen);
    }

    public override void Refresh(ReadOnlySpan<UpdateUnit> units)
    {
        foreach (var unit in units)
        {
            foreach (var incident in Plan.Groups[unit.Group].Sources)
            {
                Want(incident, Axis.Output);
            }

            // The depthwise weight between the two is in the closed form itself: no sum over it is needed.
            foreach (var incident in Plan.Groups[unit.IsPair ? unit.Behind : unit.Group].Sinks)
            {
                Want(incident, Axis.Input);
            }
        }

        RunWanted();
    }

    public override void Refresh(ReadOnlySpan<SumRef> sums)
    {
        foreach (var sum in sums)
        {
            _stamps.Want(sum);
        }

        RunWanted();
    }

    public override UpdateRule Rule
    {
        get => _update.Rule;
        set => _update.Rule = value;
    }

    public override double Update(ReadOnlySpan<UpdateUnit> units)
    {
        var residual = _update.Run(units, updates: true);
        _channels.Recentre(_update.Ranges);
        return residual;
    }

    public override double Residual(ReadOnlySpan<UpdateUnit> units) => _update.Run(units, updates: false);

    public override void ReadNorms(List<CoarseEdge> edges)
    {
        _stamps.WantNorms();
        RunWanted();
        edges.Clear();
        var norms = new BlockNorms(this, _layout, _stamps, _host, _channels);
        norms.Add(edges);
    }

    public override void Shift(ReadOnlySpan<double> shifts) => _channels.Shift(shifts);

    public override void ReadLogFactors(Span<double> logFactors) => _channels.Read(logFactors);

    public override void WriteLogFactors(ReadOnlySpan<double> logFactors) => _channels.Write(logFactors);

    public override void Probe(ReadOnlySpan<SumRef> sums, ReadOnlySpan<double> weights)
    {
        Refresh(sums);
        foreach (var axis in (ReadOnlySpan<Axis>)[Axis.Output, Axis.Input])
        {
            var any = false;
            foreach (var sum in sums)
            {
                any |= sum.Axis == axis;
            }

            if (!any)
            {
                continue;
            }

            // Sums on the output axis run over input channels.
            var far = axis == Axis.Output ? Axis.Input : Axis.Output;
            var set = Probed + (int)axis;
            var factors = Factors(far);
            for (var c = 0; c < factors.Length; c++)
            {
                _weighted[c] = factors[c] * weights[c];
            }

            _channels.WriteSet(set, _weighted, _weighted);

            // One pass over a weight gives all its sums.
            var last = -1;
            foreach (var sum in sums)
            {
                if (sum.Axis == axis && sum.Weight != last)
                {
                    last = sum.Weight;
                    _pass.Run(sum.Weight, sum.Weight + 1, set);
                    _edgesRead += Plan.Weights[sum.Weight].Weight.Layout.Edges;
                    _host.ForgetParts(set, sum.Weight);
                }

                if (sum.Axis == axis)
                {
                    _host.Fetch(set, sum);
                }
            }
        }
    }

    public override ReadOnlySpan<double> Sums(SumRef sum) => _host.Get(0, sum);

    public override ReadOnlySpan<double> ProbeSums(SumRef sum) => _host.Get(Probed + (int)sum.Axis, sum);

    public override ReadOnlySpan<double> FixedSums(int weight, Axis axis) => _fixed?[(int)axis][weight];

    public override ReadOnlySpan<double> Factors(Axis axis) => _channels.Factors(axis);

    public override double Reference(int group) => _channels.Reference(group);

    public override double LogScale(int weight) => _pass.LogScale(weight);

    public override bool IsLive(int channel) => _channels.IsLive(channel);

    public override (int Output, int Input, int Kernel, double Value)? FindNonFinite(int weight) =>
        NonFiniteSearch.Find(Plan.Weights[weight].Weight, _weights.Address(weight), _queue);

    /// <summary>Energies between a channel and itself, in units of the stored energies.</summary>
    internal double SelfEnergy(int weight) => _host.SelfEnergy(weight);

    protected override void Dispose(bool disposing)
    {
        if (!_disposed)
        {
            _disposed = true;
            for (var n = _owned.Count - 1; n >= 0; n--)
            {
                _owned[n].Dispose();
            }
        }
    }

    private void Want(SegmentRef incident, Axis axis)
    {
        var far = Plan.Weights[incident.Weight].Segments(axis == Axis.Output ? Axis.Input : Axis.Output);
        for (var s = 0; s < far.Length; s++)
        {
            _stamps.Want(incident.Weight, axis, s);
        }
    }

    // Runs of consecutive weights share a launch for each kernel.
    private void RunWanted()
    {
        foreach (var (first, end) in _stamps.TakeWanted())
        {
            _pass.Run(first, end, 0);
            for (var t = first; t < end; t++)
            {
                _edgesRead += Plan.Weights[t].Weight.Layout.Edges;
            }

            _host.Invalidate(0, first, end);
        }
    }

    private double[]?[][] FixedVectors(double[] mask)
    {
        var vectors = new double[]?[][] { new double[]?[Plan.Weights.Count], new double[]?[Plan.Weights.Count] };
        foreach (var weight in Plan.Weights)
        {
            foreach (var axis in (ReadOnlySpan<Axis>)[Axis.Output, Axis.Input])
            {
                var far = weight.Segments(axis == Axis.Output ? Axis.Input : Axis.Output);
                for (var s = 0; s < far.Length; s++)
                {
                    if (!far[s].Channels.Any(c => c >= 0 && mask[c] != 0))
                    {
                        continue;
                    }

                    var total = vectors[(int)axis][weight.Index] ??= new double[weight.Length(axis)];
                    var part = _host.Get(Frozen, new SumRef(weight.Index, axis, s));
                    for (var i = 0; i < total.Length; i++)
                    {
                        total[i] = Plan.Problem.TakesLargest ? Math.Max(total[i], part[i]) : total[i] + part[i];
                    }
                }
            }
        }

        return vectors;
    }

    private T Own<T>(T part)
        where T : IDisposable
    {
        _owned.Add(part);
        return part;
    }
}
