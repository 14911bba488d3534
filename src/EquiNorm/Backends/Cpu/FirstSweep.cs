using System.Numerics;
using System.Runtime.CompilerServices;
using EquiNorm.Model;
using EquiNorm.Plan;
using EquiNorm.Problem;

namespace EquiNorm.Backends.Cpu;

/// <summary>
/// How far the first sweep, group by group in network order, believes what it sees of the channels' outgoing sides. A channel's incoming
/// sum a is taken at factors that the sweep has just set, its outgoing sum b at those that the sweep is still to set. Where they are far from
/// balance, few rows make up b, and it says little of what b will be: then the channel is scaled by a alone, as if all channels of the group
/// were to carry the same energy. A start that is balanced already is believed.
/// </summary>
/// <remarks>
/// <para>
/// b[i] = sum_o n[o, i]. Let n_o be the energy of row o now, and delta_o the change of p u_o that the closed form asks for at the start. If a
/// row's elements scatter about their mean with a relative variance v, so does b about the mean of its group, with v sum_o (n_o / n)^2, and
/// the covariance of b now with b when the rows are m_o = n_o exp(delta_o) is v sum_o (n_o / n) (m_o / m). The regression of what b will be
/// on what it is has the slope share = sum_o (n_o / n) (m_o / m) / sum_o (n_o / n)^2, and a channel is updated to
/// p u = -log a + share (log a + log b) / 2 plus a constant of the group, which is the closed form (log b - log a) / 2 for share = 1.
/// </para>
/// <para>
/// F does not rise: a group whose energy would gets the closed form. What it gains: docs/decisions/0017.
/// </para>
/// </remarks>
internal sealed unsafe class FirstSweep
{
    private readonly RescalingPlan _plan;
    private readonly CpuWeight[] _weights;
    private readonly ChannelFactors _factors;

    // exp(delta) by channel.
    private readonly double* _changes;

    // The part of the deviations of log a + log b from their mean that is believed, by group, in [0, 1].
    private readonly double[] _shares;
    private readonly SideSums _sides;
    private readonly double[] _incoming;
    private readonly double[] _outgoing;
    private readonly double* _before;

    /// <param name="plan">The plan.</param>
    /// <param name="weights">The weights, all of whose sums are valid.</param>
    /// <param name="factors">The factors.</param>
    /// <param name="sides">Adds up what the weights of a group come to.</param>
    /// <param name="room">Two vectors, as long as the widest group.</param>
    /// <param name="arena">For what else is needed.</param>
    public FirstSweep(
        RescalingPlan plan, CpuWeight[] weights, ChannelFactors factors, SideSums sides, (double[] Incoming, double[] Outgoing) room, Arena arena)
    {
        _plan = plan;
        _weights = weights;
        _factors = factors;
        _sides = sides;
        (_incoming, _outgoing) = room;
        _before = arena.AllocateUnset(_incoming.Length);
        _changes = arena.AllocateUnset(factors.Count);
        new Span<double>(_changes, factors.Count).Fill(1);
        foreach (var unit in plan.Units.Span)
        {
            if (!unit.IsPair)
            {
                var group = plan.Groups[unit.Group].Group;
                var changes = new Span<double>(_changes + group.FirstChannel, group.Count);
                if (!ReadChanges(unit.Group, changes))
                {
                    changes.Fill(1);
                }
            }
        }

        _shares = new double[plan.Groups.Count];
        Array.Fill(_shares, 1);
        foreach (var unit in plan.Units.Span)
        {
            // Within a group that feeds itself the channels' energies are not a sum of functions of one channel each.
            _shares[unit.Group] = unit.IsPair || plan.FeedsItself(unit) ? 1 : ShareOf(plan.Groups[unit.Group]);
        }
    }

    /// <summary>
    /// Updates a unit, p u = -log a + share (log a + log b) / 2 and the constant of the group that balances it, and takes what
    /// <see cref="RescalingState.Update"/> returns, times p, into account.
    /// </summary>
    /// <returns>False, with nothing changed, where the closed form is the better update.</returns>
    public bool TryUpdate(UpdateUnit unit, ref double largest)
    {
        var group = unit.Group;
        var share = _shares[group];
        if (share >= 1 || !TryAddUp(group, out var incoming, out var outgoing, out var offset))
        {
            return false;
        }

        var channels = _plan.Groups[group].Group;
        var logs = new Span<double>(_factors.Logs + channels.FirstChannel, channels.Count);
        var (from, to) = Energies(channels, incoming, outgoing);
        var reference = _factors.Reference(group);
        var old = new Span<double>(_before, channels.Count);
        logs.CopyTo(old);
        double met = 0;
        var isPlain = Partly(incoming, outgoing, offset, share, logs, ref met);
        if (isPlain)
        {
            _factors.Commit(group);
            var (newFrom, newTo) = Energies(channels, incoming, outgoing);
            if (newFrom * newTo <= from * to)
            {
                var moved = _factors.Reference(group) - reference;
                _factors.Shift(group, (Math.Log(newTo / newFrom) + offset) / 2 - moved);
                largest = Math.Max(largest, met);
                return true;
            }
        }

        old.CopyTo(logs);
        if (isPlain)
        {
            _factors.Shift(group, reference - _factors.Reference(group));
            _factors.Commit(group);
        }

        return false;
    }

    // 1 also for what the scatter of a row's elements says nothing about: weights with several groups of channels, frozen channels, self-edges.
    private double ShareOf(PlannedGroup group)
    {
        var highest = double.NegativeInfinity;
        foreach (var sink in group.Sinks)
        {
            var weight = _weights[sink.Weight];
            if (weight.Planned.Weight.Layout.Groups > 1 || weight.Planned.HasSelfEdges || weight.Fixed(Axis.Output) is not null)
            {
                return 1;
            }

            foreach (var rows in weight.Planned.Segments(Axis.Output))
            {
                highest = Math.Max(highest, weight.LogScale + _factors.Reference(rows.Group));
            }
        }

        var moments = default(Moments);
        foreach (var sink in group.Sinks)
        {
            var weight = _weights[sink.Weight];
            foreach (var rows in weight.Planned.Segments(Axis.Output))
            {
                if (rows.FirstChannel < 0)
                {
                    return 1;
                }

                var scale = Math.Exp(weight.LogScale + _factors.Reference(rows.Group) - highest);
                Add(ref moments, scale, weight.Sums(Axis.Output, sink.Segment) + rows.Start, rows.FirstChannel, rows.Count);
            }
        }

        // Not a number where a change is infinite or nothing flows.
        var share = moments.NowAndThen * moments.Now / (moments.Then * moments.NowTwice);
        return share < 1 ? share : 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Add(ref Moments moments, double scale, double* sums, int firstChannel, int count)
    {
        var (now, then) = (Vector<double>.Zero, Vector<double>.Zero);
        var (nowTwice, nowAndThen) = (Vector<double>.Zero, Vector<double>.Zero);
        var factors = _factors.X + firstChannel;
        var changes = _changes + firstChannel;
        var o = 0;
        for (; o <= count - Vector<double>.Count; o += Vector<double>.Count)
        {
            var energy = Vector.Load(sums + o) * Vector.Load(factors + o) * new Vector<double>(scale);
            var later = energy * Vector.Load(changes + o);
            now += energy;
            then += later;
            nowTwice += energy * energy;
            nowAndThen += energy * later;
        }

        moments = new Moments(
            moments.Now + Vector.Sum(now), moments.Then + Vector.Sum(then),
            moments.NowTwice + Vector.Sum(nowTwice), moments.NowAndThen + Vector.Sum(nowAndThen));
        for (; o < count; o++)
        {
            var energy = sums[o] * factors[o] * scale;
            var later = energy * changes[o];
            moments = new Moments(
                moments.Now + energy, moments.Then + later, moments.NowTwice + energy * energy, moments.NowAndThen + energy * later);
        }
    }

    // exp(delta) = exp((log b - log a) / 2 - v) of each channel of a group. False, with anything, where that is not simple.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool ReadChanges(int group, Span<double> changes)
    {
        if (!TryAddUp(group, out var incoming, out var outgoing, out var offset))
        {
            return false;
        }

        var inverse = _factors.InverseX + _plan.Groups[group].Group.FirstChannel;
        var scale = Math.Exp(offset / 2);
        var c = 0;
        for (; c <= changes.Length - Vector<double>.Count; c += Vector<double>.Count)
        {
            var ratio = new Vector<double>(outgoing[c..]) / new Vector<double>(incoming[c..]);
            (Vector.SquareRoot(ratio) * Vector.Load(inverse + c) * new Vector<double>(scale)).CopyTo(changes[c..]);
        }

        for (; c < changes.Length; c++)
        {
            changes[c] = Math.Sqrt(outgoing[c] / incoming[c]) * inverse[c] * scale;
        }

        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool Partly(
        ReadOnlySpan<double> incoming, ReadOnlySpan<double> outgoing, double offset, double share, Span<double> logs, ref double largest)
    {
        var half = new Vector<double>(share / 2);
        var magnitudes = Vector<double>.Zero;
        var c = 0;
        for (; c <= logs.Length - Vector<double>.Count; c += Vector<double>.Count)
        {
            var (a, b) = (new Vector<double>(incoming[c..]), new Vector<double>(outgoing[c..]));
            if (!VectorMath.AreNormal(a) || !VectorMath.AreNormal(b))
            {
                return false;
            }

            (a, b) = (VectorMath.Log(a), VectorMath.Log(b));
            var old = new Vector<double>(logs[c..]);
            magnitudes = Vector.MaxNative(magnitudes, Vector.Abs(b - a + new Vector<double>(offset) - (old + old)));
            (half * (a + b) - a).CopyTo(logs[c..]);
        }

        for (var lane = 0; lane < Vector<double>.Count; lane++)
        {
            largest = Math.Max(largest, magnitudes[lane]);
        }

        for (; c < logs.Length; c++)
        {
            var (a, b) = (Math.Log(incoming[c]), Math.Log(outgoing[c]));
            largest = Math.Max(largest, Math.Abs(b - a + offset - 2 * logs[c]));
            logs[c] = share / 2 * (a + b) - a;
        }

        return double.IsFinite(largest);
    }

    // What enters and what leaves a group at its factors, in units of the sums.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private (double From, double To) Energies(ChannelGroup channels, ReadOnlySpan<double> incoming, ReadOnlySpan<double> outgoing)
    {
        var x = _factors.X + channels.FirstChannel;
        var inverse = _factors.InverseX + channels.FirstChannel;
        var (enters, leaves) = (Vector<double>.Zero, Vector<double>.Zero);
        var c = 0;
        for (; c <= incoming.Length - Vector<double>.Count; c += Vector<double>.Count)
        {
            enters += new Vector<double>(incoming[c..]) * Vector.Load(x + c);
            leaves += new Vector<double>(outgoing[c..]) * Vector.Load(inverse + c);
        }

        var (from, to) = (Vector.Sum(enters), Vector.Sum(leaves));
        for (; c < incoming.Length; c++)
        {
            from += incoming[c] * x[c];
            to += outgoing[c] * inverse[c];
        }

        return (from, to);
    }

    // The sums of both sides, as far as they are plain sums of live channels that move freely; log b - log a is that of the sums plus the offset,
    // less twice v.
    private bool TryAddUp(int group, out ReadOnlySpan<double> incoming, out ReadOnlySpan<double> outgoing, out double offset)
    {
        var count = _plan.Groups[group].Group.Count;
        var into = _incoming.AsSpan(0, count);
        var from = _outgoing.AsSpan(0, count);
        var a = _sides.AddUp(group, Axis.Output, into);
        var b = _sides.AddUp(group, Axis.Input, from);
        incoming = into;
        outgoing = from;
        offset = b.Offset - a.Offset - 2 * _factors.Reference(group);
        return a.IsLinear && b.IsLinear && !_factors.Live(group).Contains(false);
    }

    // Sums over rows of n_o, m_o, n_o^2 and n_o m_o.
    private readonly record struct Moments(double Now, double Then, double NowTwice, double NowAndThen);
}
