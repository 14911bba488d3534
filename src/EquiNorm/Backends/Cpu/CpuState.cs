using System.Runtime.CompilerServices;
using EquiNorm.Model;
using EquiNorm.Plan;

namespace EquiNorm.Backends.Cpu;

/// <summary>The state of a solve on the CPU. See <see cref="RescalingState"/> for what its numbers mean.</summary>
internal sealed unsafe class CpuState : RescalingState
{
    private readonly Arena _arena;
    private readonly WorkerPool _pool;
    private readonly Traffic _traffic;
    private readonly CpuWeight[] _weights;
    private readonly ChannelFactors _factors;
    private readonly ChannelUpdate _update;
    private readonly SumEngine _engine;
    private readonly BlockNorms _norms;
    private readonly SumQueue _queue;
    private double* _frozenMask;
    private bool _disposed;

    public CpuState(RescalingPlan plan, NetworkTensors tensors, WorkerPool pool, PageCache pages, Traffic traffic)
    {
        Plan = plan;
        _arena = new Arena(pages);
        _pool = pool;
        _traffic = traffic;

        // All tensors are looked up before memory is taken, so that a missing one costs nothing.
        var memory = plan.Weights.Select(w => tensors[w.Weight.Index]).ToArray();
        _weights = new CpuWeight[memory.Length];
        var tiles = 0;
        for (var t = 0; t < memory.Length; t++)
        {
            _weights[t] = new CpuWeight(plan.Weights[t], memory[t], tiles, _arena);
            tiles += _weights[t].Whole.Tiles.Length;
        }

        _factors = new ChannelFactors(plan, _arena);
        _update = new ChannelUpdate(plan, _weights, _factors);
        _engine = new SumEngine(pool, traffic);
        _norms = new BlockNorms(plan, _weights, _factors);
        _queue = new SumQueue(plan, _weights, _factors, _engine);
    }

    public override RescalingPlan Plan { get; }

    public override long EdgesRead => _engine.EdgesRead;

    public override long WorkspaceBytes => _arena.Bytes;

    public override bool Rebind(NetworkTensors tensors)
    {
        foreach (var weight in _weights)
        {
            weight.Memory = tensors[weight.Planned.Weight.Index];
        }

        return true;
    }

    public override int Load(ReadOnlySpan<double> logFactors, EnergyUse use)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        _factors.Reset(logFactors);
        EnergyLoader.Prepare(_weights, Plan.Problem, use, _arena, _pool, _traffic);
        foreach (var weight in _weights)
        {
            weight.Forget();
            if (weight.IsSingleBlock && !weight.Planned.HasSelfEdges)
            {
                _queue.AddBoth(weight, weight.HoldsEnergies ? EnergySource.WeightAndStore : EnergySource.Weight);
            }
        }

        _engine.Run();
        EnergyLoader.StoreOthers(_weights, _pool, _traffic);
        foreach (var weight in _weights)
        {
            _queue.AddStale(weight, Axis.Output);
            _queue.AddStale(weight, Axis.Input);
        }

        _queue.Run();
        return FirstNonFinite();
    }

    public override void Freeze(ReadOnlySpan<bool> frozen)
    {
        var mask = _frozenMask is not null ? _frozenMask : _frozenMask = _arena.Allocate(_factors.Count);
        for (var c = 0; c < frozen.Length; c++)
        {
            mask[c] = frozen[c] ? 1 : 0;
        }

        _factors.Freeze(frozen);
        foreach (var weight in _weights)
        {
            foreach (var axis in (ReadOnlySpan<Axis>)[Axis.Output, Axis.Input])
            {
                AddFixed(weight, axis, mask);
            }
        }
    }

    public override void Refresh(ReadOnlySpan<UpdateUnit> units)
    {
        foreach (var unit in units)
        {
            _queue.AddStaleSums(unit.Group, Axis.Output);
            if (!unit.IsPair)
            {
                _queue.AddStaleSums(unit.Group, Axis.Input);
                continue;
            }

            // The depthwise weight between the two is in the closed form itself: no sum over it is needed.
            _queue.AddStaleSums(unit.Behind, Axis.Input);
        }

        _queue.Run();
    }

    public override void Refresh(ReadOnlySpan<SumRef> sums)
    {
        foreach (var sum in sums)
        {
            _queue.AddIfStale(_weights[sum.Weight], sum.Axis, sum.Segment);
        }

        _queue.Run();
    }

    public override UpdateRule Rule
    {
        get => _update.Rule;
        set => _update.Rule = value;
    }

    public override void BeginFirstSweep() => _update.BeginFirstSweep(_arena);

    public override void EndFirstSweep() => _update.EndFirstSweep();

    public override double Update(ReadOnlySpan<UpdateUnit> units) => _update.Run(units, ChannelUpdate.Mode.Update);

    public override double Residual(ReadOnlySpan<UpdateUnit> units) => _update.Run(units, ChannelUpdate.Mode.Measure);

    public override void ReadNorms(List<CoarseEdge> edges)
    {
        foreach (var block in _norms.Blocks)
        {
            if (!_queue.IsValid(block.Weight, Axis.Output, block.Input) && !_queue.IsValid(block.Weight, Axis.Input, block.Output))
            {
                _queue.AddIfStale(block.Weight, Axis.Output, block.Input);
            }
        }

        _queue.Run();
        edges.Clear();
        foreach (var block in _norms.Blocks)
        {
            _norms.Add(block, _queue.IsValid(block.Weight, Axis.Output, block.Input) ? Axis.Output : Axis.Input, edges);
        }

        _norms.AddFixed(edges);
    }

    public override void Shift(ReadOnlySpan<double> shifts) => _factors.Shift(shifts);

    public override void ReadLogFactors(Span<double> logFactors) => _factors.Read(logFactors);

    public override void WriteLogFactors(ReadOnlySpan<double> logFactors) => _factors.Write(logFactors);

    public override void Probe(ReadOnlySpan<SumRef> sums, ReadOnlySpan<double> weights)
    {
        foreach (var sum in sums)
        {
            var weight = _weights[sum.Weight];
            var segment = SumQueue.Summed(weight, sum.Axis, sum.Segment);
            var factors = _queue.Factors(weight, sum.Axis, sum.Segment);
            var weighted = weight.AllocateProbeFactors(sum.Axis, sum.Segment, _arena);
            Weigh(segment, factors, weights, weighted);
            var probe = new SumVectors((nint)weighted, (nint)weight.AllocateProbe(sum.Axis, sum.Segment, _arena));
            if (_queue.IsValid(weight, sum.Axis, sum.Segment))
            {
                _engine.Add(weight, sum.Axis, sum.Segment, probe, default);
            }
            else
            {
                var plain = new SumVectors((nint)factors, (nint)weight.Sums(sum.Axis, sum.Segment));
                _engine.Add(weight, sum.Axis, sum.Segment, plain, probe);
                weight.Stamp(sum.Axis, sum.Segment) = _factors.Version(segment.Group);
            }
        }

        _engine.Run();
    }

    public override ReadOnlySpan<double> Sums(SumRef sum) =>
        new(_weights[sum.Weight].Sums(sum.Axis, sum.Segment), Plan.Weights[sum.Weight].Length(sum.Axis));

    public override ReadOnlySpan<double> ProbeSums(SumRef sum) =>
        new(_weights[sum.Weight].Probe(sum.Axis, sum.Segment), Plan.Weights[sum.Weight].Length(sum.Axis));

    public override ReadOnlySpan<double> FixedSums(int weight, Axis axis) => _weights[weight].Fixed(axis) is null
        ? default
        : new(_weights[weight].Fixed(axis), Plan.Weights[weight].Length(axis));

    public override ReadOnlySpan<double> Factors(Axis axis) => new(_factors.Of(axis), _factors.Count);

    public override double Reference(int group) => _factors.Reference(group);

    public override double LogScale(int weight) => _weights[weight].LogScale;

    public override bool IsLive(int channel) => _factors.IsLive(channel);

    public override bool AreLive(int first, int count) => _factors.AreLive(first, count);

    public override (int Output, int Input, int Kernel, double Value)? FindNonFinite(int weight) =>
        EnergyLoader.FindNonFinite(_weights[weight]);

    protected override void Dispose(bool disposing)
    {
        if (!_disposed)
        {
            _disposed = true;
            _arena.Dispose();
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Weigh(AxisSegment segment, double* factors, ReadOnlySpan<double> weights, double* weighted)
    {
        if (segment.FirstChannel >= 0)
        {
            weights = weights.Slice(segment.FirstChannel, segment.Count);
            for (var i = 0; i < weights.Length; i++)
            {
                weighted[i] = factors[i] * weights[i];
            }

            return;
        }

        var channels = segment.Channels;
        for (var i = 0; i < channels.Length; i++)
        {
            weighted[i] = channels[i] >= 0 ? factors[i] * weights[channels[i]] : 0;
        }
    }

    // The share of frozen channels in a weight's sums, once and for all: their u is 0.
    private void AddFixed(CpuWeight weight, Axis axis, double* mask)
    {
        var segments = weight.Planned.Segments(axis == Axis.Output ? Axis.Input : Axis.Output);
        for (var s = 0; s < segments.Length; s++)
        {
            if (!AnyFrozen(segments[s], mask))
            {
                continue;
            }

            var length = weight.Planned.Length(axis);
            var total = weight.AllocateFixed(axis, _arena);
            var part = weight.AllocateProbe(axis, s, _arena);
            var factors = SumQueue.Gather(segments[s], mask, weight.Gathered(axis, s));
            _engine.Add(weight, axis, s, new SumVectors((nint)factors, (nint)part), default);
            _engine.Run();
            for (var i = 0; i < length; i++)
            {
                total[i] = Plan.Problem.TakesLargest ? Math.Max(total[i], part[i]) : total[i] + part[i];
            }
        }
    }

    private static bool AnyFrozen(AxisSegment segment, double* mask)
    {
        foreach (var channel in segment.Channels)
        {
            if (channel >= 0 && mask[channel] != 0)
            {
                return true;
            }
        }

        return false;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private int FirstNonFinite()
    {
        for (var t = 0; t < _weights.Length; t++)
        {
            if (!double.IsFinite(_weights[t].SelfEnergy))
            {
                return t;
            }

            for (var s = 0; s < Plan.Weights[t].Segments(Axis.Input).Length; s++)
            {
                foreach (var sum in Sums(new SumRef(t, Axis.Output, s)))
                {
                    if (!double.IsFinite(sum))
                    {
                        return t;
                    }
                }
            }
        }

        return -1;
    }
}
