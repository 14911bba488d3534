using System.Numerics;
using System.Runtime.CompilerServices;
using EquiNorm.Plan;

namespace EquiNorm.Backends.Cpu;

/// <summary>
/// The norm of every block (output segment x input segment) of every weight, from sums that are already there:
/// N = sum_o x_o R[o], or N = sum_i C[i] / x_i; at p = infinity the largest of these products.
/// </summary>
internal sealed unsafe class BlockNorms
{
    private readonly RescalingPlan _plan;
    private readonly CpuWeight[] _weights;
    private readonly ChannelFactors _factors;

    public BlockNorms(RescalingPlan plan, CpuWeight[] weights, ChannelFactors factors)
    {
        _plan = plan;
        _weights = weights;
        _factors = factors;
        var blocks = new List<Block>();
        foreach (var weight in weights)
        {
            for (var o = 0; o < weight.Planned.Segments(Axis.Output).Length; o++)
            {
                for (var i = 0; i < weight.Planned.Segments(Axis.Input).Length; i++)
                {
                    blocks.Add(new Block(weight, o, i));
                }
            }
        }

        Blocks = [.. blocks];
    }

    public Block[] Blocks { get; }

    /// <summary>Adds the edge of a block, from its sums on <paramref name="axis"/>.</summary>
    public void Add(in Block block, Axis axis, List<CoarseEdge> edges)
    {
        var output = block.Weight.Planned.Segments(Axis.Output)[block.Output];
        var input = block.Weight.Planned.Segments(Axis.Input)[block.Input];
        var norm = axis == Axis.Output
            ? Dot(output, Axis.Output, block.Weight.Sums(Axis.Output, block.Input))
            : Dot(input, Axis.Input, block.Weight.Sums(Axis.Input, block.Output));
        if (norm > 0 || double.IsNaN(norm))
        {
            var log = Math.Log(norm) + block.Weight.LogScale + _factors.Reference(output.Group) - _factors.Reference(input.Group);
            edges.Add(new CoarseEdge(Mover(output.Group), Mover(input.Group), log, block.Weight.Planned.Index));
        }
    }

    /// <summary>Adds the edges that frozen channels and self-edges make.</summary>
    public void AddFixed(List<CoarseEdge> edges)
    {
        foreach (var weight in _weights)
        {
            if (weight.SelfEnergy > 0)
            {
                edges.Add(new CoarseEdge(-1, -1, Math.Log(weight.SelfEnergy) + weight.LogScale, weight.Planned.Index));
            }

            AddFixed(weight, Axis.Output, edges);
            AddFixed(weight, Axis.Input, edges);
            AddConstant(weight, edges);
        }
    }

    private void AddFixed(CpuWeight weight, Axis axis, List<CoarseEdge> edges)
    {
        if (weight.Fixed(axis) is null)
        {
            return;
        }

        foreach (var segment in weight.Planned.Segments(axis))
        {
            var norm = Dot(segment, axis, weight.Fixed(axis));
            if (norm > 0)
            {
                var sign = axis == Axis.Output ? 1 : -1;
                var log = Math.Log(norm) + weight.LogScale + sign * _factors.Reference(segment.Group);
                edges.Add(axis == Axis.Output
                    ? new CoarseEdge(Mover(segment.Group), -1, log, weight.Planned.Index)
                    : new CoarseEdge(-1, Mover(segment.Group), log, weight.Planned.Index));
            }
        }
    }

    // Energies between two frozen channels.
    private void AddConstant(CpuWeight weight, List<CoarseEdge> edges)
    {
        if (weight.Fixed(Axis.Output) is null)
        {
            return;
        }

        double norm = 0;
        foreach (var segment in weight.Planned.Segments(Axis.Output))
        {
            for (var i = 0; i < segment.Count; i++)
            {
                var channel = segment.Channels[i];
                if (channel >= 0 && !_plan.Groups[segment.Group].Group.IsPinned && !_factors.IsLive(channel))
                {
                    var energy = weight.Fixed(Axis.Output)[segment.Start + i];
                    norm = _plan.Problem.TakesLargest ? Math.Max(norm, energy) : norm + energy;
                }
            }
        }

        if (norm > 0)
        {
            edges.Add(new CoarseEdge(-1, -1, Math.Log(norm) + weight.LogScale, weight.Planned.Index));
        }
    }

    private int Mover(int group) => _plan.Groups[group].Group.IsPinned ? -1 : group;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private double Dot(AxisSegment segment, Axis axis, double* sums)
    {
        var factors = _factors.Of(axis);
        sums += segment.Start;
        double total = 0;
        if (_plan.Problem.TakesLargest)
        {
            for (var i = 0; i < segment.Count; i++)
            {
                total = segment.Channels[i] >= 0 ? Math.Max(total, factors[segment.Channels[i]] * sums[i]) : total;
            }

            return total;
        }

        if (segment.FirstChannel < 0)
        {
            for (var i = 0; i < segment.Count; i++)
            {
                total += segment.Channels[i] >= 0 ? factors[segment.Channels[i]] * sums[i] : 0;
            }

            return total;
        }

        factors += segment.FirstChannel;
        var lanes = Vector<double>.Zero;
        var n = 0;
        for (; n <= segment.Count - Vector<double>.Count; n += Vector<double>.Count)
        {
            lanes += Vector.Load(factors + n) * Vector.Load(sums + n);
        }

        for (; n < segment.Count; n++)
        {
            total += factors[n] * sums[n];
        }

        return total + Vector.Sum(lanes);
    }

    /// <summary>Output segment <paramref name="Output"/> x input segment <paramref name="Input"/> of a weight.</summary>
    public readonly record struct Block(CpuWeight Weight, int Output, int Input);
}
