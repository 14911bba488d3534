using System.Numerics;
using System.Runtime.CompilerServices;
using EquiNorm.Plan;
using EquiNorm.Problem;

namespace EquiNorm.Backends.Cpu;

/// <summary>
/// The closed form: with a the sum of a channel's incoming and b of its outgoing energies at the current u,
/// p u += (log b - log a) / 2. For the groups around a depthwise weight with energies e, incoming r and outgoing g, both without their own
/// factors: r x_A = e x_B / x_A = g / x_B = (r e g)^(1/3).
/// </summary>
/// <remarks>
/// A solve is over before the runtime would recompile a loop that it met for the first time: loops over channels ask for optimised code
/// at once (median half sweep of 15x500: 2.6 ms as first compiled, 1.3 ms with everything optimised from the start).
/// </remarks>
internal sealed unsafe class ChannelUpdate
{
    // exp(-500) of the largest term is far below the last bit of a sum, yet far from underflow.
    private const double LargestSpread = 500;

    private readonly RescalingPlan _plan;
    private readonly CpuWeight[] _weights;
    private readonly ChannelFactors _factors;
    private readonly List<Term> _terms = [];
    private readonly double[] _incoming;
    private readonly double[] _outgoing;
    private readonly double[] _largest;

    public ChannelUpdate(RescalingPlan plan, CpuWeight[] weights, ChannelFactors factors)
    {
        _plan = plan;
        _weights = weights;
        _factors = factors;
        var widest = plan.Groups.Select(g => g.Group.Count).DefaultIfEmpty().Max();
        _incoming = new double[widest];
        _outgoing = new double[widest];
        _largest = new double[widest];
    }

    /// <summary>Whether factors change or are only looked at.</summary>
    public enum Mode
    {
        /// <summary>Set every channel to its closed form.</summary>
        Update,

        /// <summary>Only measure.</summary>
        Measure,
    }

    /// <summary>Updates (or measures) all units from the sums as they are; returns the largest |log(a/b)| / p met.</summary>
    public double Run(ReadOnlySpan<UpdateUnit> units, Mode mode)
    {
        double largest = 0;
        foreach (var unit in units)
        {
            largest = Math.Max(largest, unit.IsPair ? Pair(unit, mode) : Single(unit.Group, mode));
        }

        // Only now: the units' sums are all of one moment (Jacobi), whatever their order.
        if (mode == Mode.Update)
        {
            foreach (var unit in units)
            {
                _factors.Commit(unit.Group);
                if (unit.IsPair)
                {
                    _factors.Commit(unit.Behind);
                }
            }
        }

        return largest / _plan.Problem.Norm;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private double Single(int group, Mode mode)
    {
        var count = _plan.Groups[group].Group.Count;
        var logs = _factors.Logs + _plan.Groups[group].Group.FirstChannel;
        var live = _factors.Live(group);
        var incoming = _incoming.AsSpan(0, count);
        var outgoing = _outgoing.AsSpan(0, count);
        var a = AddUp(group, Axis.Output, incoming);
        var b = AddUp(group, Axis.Input, outgoing);
        var reference = _factors.Reference(group);
        double largest = 0;
        var c = a.IsLinear && b.IsLinear && !live.Contains(false)
            ? Vectors(incoming, outgoing, b.Offset - a.Offset - 2 * reference, logs, mode, ref largest)
            : 0;
        for (; c < count; c++)
        {
            if (!live[c])
            {
                continue;
            }

            // log b - log a, with the channel's own factor put back in. One logarithm of the ratio where it is in range.
            var ratio = a.IsLinear && b.IsLinear ? outgoing[c] / incoming[c] : 0;
            var difference = (ratio > 0 && double.IsFinite(ratio) ? Math.Log(ratio) + b.Offset - a.Offset : b.Log(outgoing[c]) - a.Log(incoming[c]))
                - 2 * (reference + logs[c]);
            if (!double.IsFinite(difference))
            {
                continue; // a side whose energies all vanish in float64 says nothing
            }

            largest = Math.Max(largest, Math.Abs(difference));
            if (mode == Mode.Update)
            {
                logs[c] += difference / 2;
            }
        }

        return largest;
    }

    // The same for whole vectors of channels; returns the first channel that is left to do. Stops early where a ratio is out of range.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int Vectors(
        ReadOnlySpan<double> incoming, ReadOnlySpan<double> outgoing, double offset, double* logs, Mode mode, ref double largest)
    {
        var c = 0;
        var magnitudes = Vector<double>.Zero;
        var (low, high) = (new Vector<double>(VectorMath.SmallestNormal), new Vector<double>(double.MaxValue));
        for (; c <= incoming.Length - Vector<double>.Count; c += Vector<double>.Count)
        {
            var ratio = new Vector<double>(outgoing[c..]) / new Vector<double>(incoming[c..]);
            if (!Vector.GreaterThanOrEqualAll(ratio, low) || !Vector.LessThanOrEqualAll(ratio, high))
            {
                break;
            }

            var old = Vector.Load(logs + c);
            var difference = VectorMath.Log(ratio) + new Vector<double>(offset) - (old + old);
            magnitudes = Vector.Max(magnitudes, Vector.Abs(difference));
            if (mode == Mode.Update)
            {
                (old + difference * new Vector<double>(0.5)).Store(logs + c);
            }
        }

        for (var lane = 0; lane < Vector<double>.Count; lane++)
        {
            largest = Math.Max(largest, magnitudes[lane]);
        }

        return c;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private double Pair(UpdateUnit unit, Mode mode)
    {
        var front = _plan.Groups[unit.Group].Group;
        var behind = _plan.Groups[unit.Behind].Group;
        var frontLogs = _factors.Logs + front.FirstChannel;
        var behindLogs = _factors.Logs + behind.FirstChannel;
        var frontLive = _factors.Live(unit.Group);
        var behindLive = _factors.Live(unit.Behind);
        var (frontReference, behindReference) = (_factors.Reference(unit.Group), _factors.Reference(unit.Behind));
        var energies = _weights[unit.Depthwise].Energies;
        var scale = _weights[unit.Depthwise].LogScale;
        var incoming = _incoming.AsSpan(0, front.Count);
        var outgoing = _outgoing.AsSpan(0, front.Count);
        var into = AddUp(unit.Group, Axis.Output, incoming);
        var from = AddUp(unit.Behind, Axis.Input, outgoing);
        double largest = 0;
        for (var c = 0; c < front.Count; c++)
        {
            var e = Math.Log(energies[c]) + scale;
            var (r, g) = (into.Log(incoming[c]), from.Log(outgoing[c]));
            var a = frontLive[c] ? frontReference + frontLogs[c] : 0;
            var b = behindLive[c] ? behindReference + behindLogs[c] : 0;
            if (frontLive[c] && double.IsFinite(r + e))
            {
                largest = Math.Max(largest, Math.Abs(r + a - (e + b - a)));
            }

            if (behindLive[c] && double.IsFinite(g + e))
            {
                largest = Math.Max(largest, Math.Abs(e + b - a - (g - b)));
            }

            if (mode == Mode.Measure)
            {
                continue;
            }

            // With one side frozen the other has the ordinary closed form.
            var (newA, newB) = (frontLive[c], behindLive[c]) switch
            {
                (true, true) => ((e + g - 2 * r) / 3, (2 * g - r - e) / 3),
                (true, false) => ((e + b - r) / 2, b),
                (false, true) => (a, (g - e + a) / 2),
                _ => (a, b),
            };
            if (frontLive[c] && double.IsFinite(newA))
            {
                frontLogs[c] = newA - frontReference;
            }

            if (behindLive[c] && double.IsFinite(newB))
            {
                behindLogs[c] = newB - behindReference;
            }
        }

        return largest;
    }

    // Each channel's sum on one side, penalties and references included, its own factor not.
    private Scale AddUp(int group, Axis axis, Span<double> sums)
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
                AddTerm(term, Math.Exp(term.LogScale - highest), first, sums);
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

    /// <summary>What numbers mean: exp(offset) times themselves, or logarithms.</summary>
    private readonly record struct Scale(bool IsLinear, double Offset)
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
