using EquiNorm.Backends;
using EquiNorm.Gpu.Layout;
using EquiNorm.Plan;

namespace EquiNorm.Gpu.State;

/// <summary>The norm of every block of every weight (at p = infinity its largest energy), as edges of the coarse problem.</summary>
internal readonly struct BlockNorms(GpuState state, DeviceLayout layout, BlockStamps stamps, HostSums sums, ChannelState channels)
{
    /// <summary>Adds all edges. Each block must have a valid sum on one axis.</summary>
    public void Add(List<CoarseEdge> edges)
    {
        foreach (var weight in layout.Plan.Weights)
        {
            for (var o = 0; o < weight.Segments(Axis.Output).Length; o++)
            {
                for (var i = 0; i < weight.Segments(Axis.Input).Length; i++)
                {
                    AddBlock(weight, o, i, edges);
                }
            }
        }

        foreach (var weight in layout.Plan.Weights)
        {
            AddConstant(weight, state.SelfEnergy(weight.Index), edges);
            AddFixed(weight, Axis.Output, edges);
            AddFixed(weight, Axis.Input, edges);
            AddConstant(weight, BetweenFrozen(weight), edges);
        }
    }

    private void AddBlock(PlannedWeight weight, int outputSegment, int inputSegment, List<CoarseEdge> edges)
    {
        var output = weight.Segments(Axis.Output)[outputSegment];
        var input = weight.Segments(Axis.Input)[inputSegment];
        var norm = stamps.HasNorms(weight.Index, outputSegment, inputSegment) ? sums.Norm(weight.Index, outputSegment, inputSegment)
            : stamps.IsValid(weight.Index, Axis.Output, inputSegment) ? Dot(output, Axis.Output, sums.Get(0, new SumRef(weight.Index, Axis.Output, inputSegment)))
            : Dot(input, Axis.Input, sums.Get(0, new SumRef(weight.Index, Axis.Input, outputSegment)));
        if (norm > 0 || double.IsNaN(norm))
        {
            var log = Math.Log(norm) + state.LogScale(weight.Index) + channels.Reference(output.Group) - channels.Reference(input.Group);
            edges.Add(new CoarseEdge(Mover(output.Group), Mover(input.Group), log, weight.Index));
        }
    }

    private void AddFixed(PlannedWeight weight, Axis axis, List<CoarseEdge> edges)
    {
        var constant = state.FixedSums(weight.Index, axis);
        if (constant.IsEmpty)
        {
            return;
        }

        foreach (var segment in weight.Segments(axis))
        {
            var norm = Dot(segment, axis, constant);
            if (norm > 0)
            {
                var sign = axis == Axis.Output ? 1 : -1;
                var log = Math.Log(norm) + state.LogScale(weight.Index) + sign * channels.Reference(segment.Group);
                edges.Add(axis == Axis.Output
                    ? new CoarseEdge(Mover(segment.Group), -1, log, weight.Index)
                    : new CoarseEdge(-1, Mover(segment.Group), log, weight.Index));
            }
        }
    }

    private void AddConstant(PlannedWeight weight, double energy, List<CoarseEdge> edges)
    {
        if (energy > 0)
        {
            edges.Add(new CoarseEdge(-1, -1, Math.Log(energy) + state.LogScale(weight.Index), weight.Index));
        }
    }

    private double BetweenFrozen(PlannedWeight weight)
    {
        var constant = state.FixedSums(weight.Index, Axis.Output);
        double norm = 0;
        if (constant.IsEmpty)
        {
            return norm;
        }

        foreach (var segment in weight.Segments(Axis.Output))
        {
            for (var i = 0; i < segment.Count; i++)
            {
                var channel = segment.Channels[i];
                if (channel >= 0 && !layout.Plan.Groups[segment.Group].Group.IsPinned && !channels.IsLive(channel))
                {
                    norm = Both(norm, constant[segment.Start + i]);
                }
            }
        }

        return norm;
    }

    private double Both(double total, double energy) => layout.Plan.Problem.TakesLargest ? Math.Max(total, energy) : total + energy;

    private int Mover(int group) => layout.Plan.Groups[group].Group.IsPinned ? -1 : group;

    private double Dot(AxisSegment segment, Axis axis, ReadOnlySpan<double> vector)
    {
        var factors = channels.Factors(axis);
        double total = 0;
        for (var i = 0; i < segment.Count; i++)
        {
            total = segment.Channels[i] >= 0 ? Both(total, factors[segment.Channels[i]] * vector[segment.Start + i]) : total;
        }

        return total;
    }
}
