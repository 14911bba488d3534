using EquiNorm.Plan;

namespace EquiNorm.Backends.Cpu;

/// <summary>
/// Decides what is read: sums that are asked for are read only if a group that they run over has changed since. Each sum carries the
/// version of its group; an update of the group raises the version.
/// </summary>
internal sealed unsafe class SumQueue(RescalingPlan plan, CpuWeight[] weights, ChannelFactors factors, SumEngine engine)
{
    private readonly RescalingPlan _plan = plan;
    private readonly CpuWeight[] _weights = weights;
    private readonly ChannelFactors _factors = factors;
    private readonly SumEngine _engine = engine;
    private readonly List<CpuWeight> _wanted = [];

    /// <summary>Whether a sum belongs to the factors as they are.</summary>
    public bool IsValid(CpuWeight weight, Axis axis, int segment) =>
        weight.Stamp(axis, segment) == _factors.Version(Summed(weight, axis, segment).Group);

    /// <summary>The segment that a sum runs over.</summary>
    public static AxisSegment Summed(CpuWeight weight, Axis axis, int segment) =>
        weight.Planned.Segments(axis == Axis.Output ? Axis.Input : Axis.Output)[segment];

    /// <summary>Asks for every sum on one side of a group.</summary>
    public void AddStaleSums(int group, Axis axis)
    {
        foreach (var incident in _plan.Groups[group].Incident(axis))
        {
            AddStale(_weights[incident.Weight], axis);
        }
    }

    /// <summary>Asks for all sums of a weight on an axis.</summary>
    public void AddStale(CpuWeight weight, Axis axis)
    {
        var segments = weight.Planned.Segments(axis == Axis.Output ? Axis.Input : Axis.Output).Length;
        for (var s = 0; s < segments; s++)
        {
            AddIfStale(weight, axis, s);
        }
    }

    /// <summary>
    /// Asks for a sum. Both sums of a weight in one run are one read, so sums of weights with a single segment are gathered first.
    /// </summary>
    public void AddIfStale(CpuWeight weight, Axis axis, int segment)
    {
        if (IsValid(weight, axis, segment))
        {
            return;
        }

        if (weight.IsSingleBlock)
        {
            if (weight.Wanted == WantedSums.None)
            {
                _wanted.Add(weight);
            }

            weight.Wanted |= axis == Axis.Output ? WantedSums.Rows : WantedSums.Columns;
            return;
        }

        Add(weight, axis, segment);
    }

    /// <summary>Reads what was asked for.</summary>
    public void Run()
    {
        foreach (var weight in _wanted)
        {
            if (weight.Wanted == (WantedSums.Rows | WantedSums.Columns))
            {
                AddBoth(weight, weight.HoldsEnergies ? EnergySource.Store : EnergySource.Weight);
            }
            else
            {
                Add(weight, weight.Wanted == WantedSums.Rows ? Axis.Output : Axis.Input, 0);
            }

            weight.Wanted = WantedSums.None;
        }

        _wanted.Clear();
        _engine.Run();
    }

    private void Add(CpuWeight weight, Axis axis, int segment)
    {
        _engine.Add(weight, axis, segment, Vectors(weight, axis, segment), default);
        weight.Stamp(axis, segment) = _factors.Version(Summed(weight, axis, segment).Group);
    }

    /// <summary>Reads both sums of a weight, whether they are stale or not.</summary>
    public void AddBoth(CpuWeight weight, EnergySource source)
    {
        _engine.AddBoth(weight, Vectors(weight, Axis.Output, 0), Vectors(weight, Axis.Input, 0), source, _factors.AreOne);
        weight.Stamp(Axis.Output, 0) = _factors.Version(Summed(weight, Axis.Output, 0).Group);
        weight.Stamp(Axis.Input, 0) = _factors.Version(Summed(weight, Axis.Input, 0).Group);
    }

    private SumVectors Vectors(CpuWeight weight, Axis axis, int segment) =>
        new((nint)Factors(weight, axis, segment), (nint)weight.Sums(axis, segment));

    /// <summary>Factors of the summed positions: a part of all channels' factors if they are consecutive, else gathered.</summary>
    public double* Factors(CpuWeight weight, Axis axis, int segment)
    {
        var summed = Summed(weight, axis, segment);
        return Gather(summed, _factors.Of(axis == Axis.Output ? Axis.Input : Axis.Output), weight.Gathered(axis, segment));
    }

    /// <summary>One number per covered position: in place if its channels are consecutive, else gathered into <paramref name="room"/>.</summary>
    public static double* Gather(AxisSegment segment, double* channels, double* room)
    {
        if (segment.FirstChannel >= 0)
        {
            return channels + segment.FirstChannel;
        }

        for (var i = 0; i < segment.Count; i++)
        {
            room[i] = segment.Channels[i] >= 0 ? channels[segment.Channels[i]] : 0;
        }

        return room;
    }
}
