using System.Numerics;
using System.Runtime.CompilerServices;
using EquiNorm.Plan;

namespace EquiNorm.Backends.Cpu;

/// <summary>
/// What all weights that write a channel, or all that read it, come to together: a sum, at p = infinity the largest. Weights whose
/// penalties and references are too far apart for float64 are combined by logarithms.
/// </summary>
internal sealed unsafe class SideSums
{
    // exp(-500) of the largest term is far below the last bit of a sum, yet far from underflow.
    private const double LargestSpread = 500;

    private readonly RescalingPlan _plan;
    private readonly CpuWeight[] _weights;
    private readonly ChannelFactors _factors;
    private readonly List<Term> _terms = [];
    private readonly double[] _largest;

    public SideSums(RescalingPlan plan, CpuWeight[] weights, ChannelFactors factors)
    {
        _plan = plan;
        _weights = weights;
        _factors = factors;
        _largest = new double[plan.Groups.Select(g => g.Group.Count).DefaultIfEmpty().Max()];
    }

    /// <summary>Writes each channel's sum on one side: penalties and references included, its own factor not.</summary>
    public Scale AddUp(int group, Axis axis, Span<double> sums)
    {
        var highest = CollectTerms(group, axis);
        var first = _plan.Groups[group].Group.FirstChannel;
        sums.Clear();
        var lowest = double.PositiveInfinity;
        foreach (var term in _terms)
        {
            lowest = Math.Min(lowest, term.LogScale);
        }

        if (_terms.Count == 0 || highest - lowest <= LargestSpread)
        {
            foreach (var term in _terms)
            {
                if (_plan.Problem.TakesLargest)
                {
                    TakeLargest(term, Math.Exp(term.LogScale - highest), first, sums);
                }
                else
                {
                    AddTerm(term, Math.Exp(term.LogScale - highest), first, sums);
                }
            }

            return new Scale(IsLinear: true, highest);
        }

        LogSumsOfFarApartTerms(first, sums);
        return new Scale(IsLinear: false, 0);
    }

    // Penalties that differ by more than float64 can hold: per channel, relative to the largest term.
    private void LogSumsOfFarApartTerms(int first, Span<double> logs)
    {
        var largest = _largest.AsSpan(0, logs.Length);
        largest.Fill(double.NegativeInfinity);
        foreach (var term in _terms)
        {
            for (var i = 0; i < term.Segment.Count; i++)
            {
                if (term.Segment.Channels[i] >= 0)
                {
                    ref var slot = ref largest[term.Segment.Channels[i] - first];
                    slot = Math.Max(slot, Math.Log(term.Sums[i]) + term.LogScale);
                }
            }
        }

        if (_plan.Problem.TakesLargest)
        {
            largest.CopyTo(logs);
            return;
        }

        foreach (var term in _terms)
        {
            for (var i = 0; i < term.Segment.Count; i++)
            {
                if (term.Segment.Channels[i] >= 0 && term.Sums[i] > 0)
                {
                    var c = term.Segment.Channels[i] - first;
                    logs[c] += Math.Exp(Math.Log(term.Sums[i]) + term.LogScale - largest[c]);
                }
            }
        }

        for (var c = 0; c < logs.Length; c++)
        {
            logs[c] = Math.Log(logs[c]) + largest[c];
        }
    }

    private double CollectTerms(int group, Axis axis)
    {
        _terms.Clear();
        var other = axis == Axis.Output ? Axis.Input : Axis.Output;
        var sign = other == Axis.Output ? 1 : -1;
        var highest = double.NegativeInfinity;
        foreach (var incident in _plan.Groups[group].Incident(axis))
        {
            var weight = _weights[incident.Weight];
            var segment = weight.Planned.Segments(axis)[incident.Segment];
            var far = weight.Planned.Segments(other);
            for (var s = 0; s < far.Length; s++)
            {
                var scale = weight.LogScale + sign * _factors.Reference(far[s].Group);
                _terms.Add(new Term(segment, (nint)(weight.Sums(axis, s) + segment.Start), scale));
                highest = Math.Max(highest, scale);
            }

            if (weight.Fixed(axis) is not null)
            {
                _terms.Add(new Term(segment, (nint)(weight.Fixed(axis) + segment.Start), weight.LogScale));
                highest = Math.Max(highest, weight.LogScale);
            }
        }

        return highest;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddTerm(in Term term, double scale, int first, Span<double> sums)
    {
        var segment = term.Segment;
        if (segment.FirstChannel < 0)
        {
            for (var i = 0; i < segment.Count; i++)
            {
                if (segment.Channels[i] >= 0)
                {
                    sums[segment.Channels[i] - first] += scale * term.Sums[i];
                }
            }

            return;
        }

        fixed (double* start = sums)
        {
            var target = start + (segment.FirstChannel - first);
            var n = 0;
            var scales = new Vector<double>(scale);
            for (; n <= segment.Count - Vector<double>.Count; n += Vector<double>.Count)
            {
                (Vector.Load(target + n) + scales * Vector.Load(term.Sums + n)).Store(target + n);
            }

            for (; n < segment.Count; n++)
            {
                target[n] += scale * term.Sums[n];
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TakeLargest(in Term term, double scale, int first, Span<double> sums)
    {
        var segment = term.Segment;
        for (var i = 0; i < segment.Count; i++)
        {
            if (segment.Channels[i] >= 0)
            {
                ref var sum = ref sums[segment.Channels[i] - first];
                sum = Math.Max(sum, scale * term.Sums[i]);
            }
        }
    }

    /// <summary>What numbers mean: exp(offset) times themselves, or logarithms.</summary>
    public readonly record struct Scale(bool IsLinear, double Offset)
    {
        public double Log(double number) => IsLinear ? Math.Log(number) + Offset : number;
    }

    /// <summary>One vector of sums that contributes to a group.</summary>
    private readonly record struct Term(AxisSegment Segment, nint Address, double LogScale)
    {
        // Not public: a record would print it, and the native compiler does not take ToString of a pointer.
        internal double* Sums => (double*)Address;
    }
}
