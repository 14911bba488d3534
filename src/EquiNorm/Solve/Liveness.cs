using System.Numerics;
using System.Runtime.CompilerServices;
using EquiNorm.Backends;
using EquiNorm.Plan;

namespace EquiNorm.Solve;

/// <summary>
/// Finds the channels of free groups that have no finite optimum: no non-zero weight writes them, or none reads them, or no directed walk
/// of non-zero weights leads to them from (or from them to) a channel that does not move. Energies are zero only where weights are.
/// </summary>
/// <remarks>Made once and asked again and again without allocating, which steps do.</remarks>
internal sealed class Liveness
{
    private readonly RescalingPlan _plan;
    private readonly FrozenReason?[] _reasons;
    private readonly bool[] _heard;
    private readonly bool[] _reached;
    private readonly bool[] _frozen;
    private readonly double[] _start;
    private readonly SumRef[] _probe = new SumRef[1];

    public Liveness(RescalingPlan plan)
    {
        var channels = plan.Problem.Network.ChannelCount;
        _plan = plan;
        _reasons = new FrozenReason?[channels];
        _heard = new bool[channels];
        _reached = new bool[plan.HasCycles ? channels : 0];
        _frozen = new bool[channels];
        _start = new double[plan.HasCycles ? channels : 0];
    }

    /// <summary>Freezes such channels in <paramref name="state"/>, whose sums must all be valid, and lists them.</summary>
    public static List<FrozenChannel> FreezeDeadChannels(RescalingState state)
    {
        var liveness = new Liveness(state.Plan);
        var frozen = new List<FrozenChannel>(liveness.Freeze(state));
        if (frozen.Capacity == 0)
        {
            return frozen;
        }

        foreach (var group in state.Plan.Groups.Where(g => !g.Group.IsPinned))
        {
            for (var c = 0; c < group.Group.Count; c++)
            {
                if (liveness._reasons[group.Group.FirstChannel + c] is { } reason)
                {
                    frozen.Add(new FrozenChannel(group.Group, c, reason));
                }
            }
        }

        return frozen;
    }

    /// <summary>Freezes such channels in <paramref name="state"/>, whose sums must all be valid.</summary>
    /// <returns>Their number.</returns>
    public int Freeze(RescalingState state)
    {
        Array.Clear(_reasons);
        var found = MarkSilent(state, Axis.Output, FrozenReason.NoIncoming);
        found |= MarkSilent(state, Axis.Input, FrozenReason.NoOutgoing);

        // Without cycles every channel that hears something hears it from an earlier group, and so on back to one that does not move.
        foreach (var axis in _plan.HasCycles ? (ReadOnlySpan<Axis>)[Axis.Output, Axis.Input] : [])
        {
            Reach(state, axis);
            found |= MarkDisconnected();
        }

        if (!found)
        {
            return 0;
        }

        var count = 0;
        for (var c = 0; c < _frozen.Length; c++)
        {
            _frozen[c] = _reasons[c] is not null;
            count += _frozen[c] ? 1 : 0;
        }

        state.Freeze(_frozen);
        return count;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool MarkDisconnected()
    {
        var found = false;
        for (var g = 0; g < _plan.Groups.Count; g++)
        {
            var group = _plan.Groups[g].Group;
            for (var c = group.FirstChannel; !group.IsPinned && c < group.FirstChannel + group.Count; c++)
            {
                if (!_reached[c])
                {
                    _reasons[c] ??= FrozenReason.Disconnected;
                    found = true;
                }
            }
        }

        return found;
    }

    // Channels all of whose sums on one side are zero. Self-edges are in no sum: they hold a channel at no value.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool MarkSilent(RescalingState state, Axis axis, FrozenReason reason)
    {
        var found = false;
        for (var g = 0; g < _plan.Groups.Count; g++)
        {
            var group = _plan.Groups[g].Group;
            if (group.IsPinned || AllHeard(state, _plan.Groups[g], axis))
            {
                continue;
            }

            for (var c = 0; c < group.Count; c++)
            {
                if (!_heard[c])
                {
                    _reasons[group.FirstChannel + c] ??= reason;
                    found = true;
                }
            }
        }

        return found;
    }

    // False: not all are, or only together; which ones is noted.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool AllHeard(RescalingState state, PlannedGroup planned, Axis axis)
    {
        var group = planned.Group;
        _heard.AsSpan(0, group.Count).Clear();
        foreach (var incident in planned.Incident(axis))
        {
            var weight = _plan.Weights[incident.Weight];
            var segment = weight.Segments(axis)[incident.Segment];
            for (var s = 0; s < weight.Segments(Other(axis)).Length; s++)
            {
                var sums = state.Sums(new SumRef(incident.Weight, axis, s)).Slice(segment.Start, segment.Count);
                if (segment.FirstChannel == group.FirstChannel && segment.Count == group.Count && ArePositive(sums))
                {
                    return true;
                }

                for (var i = 0; i < sums.Length; i++)
                {
                    if (segment.Channels[i] >= 0 && sums[i] > 0)
                    {
                        _heard[segment.Channels[i] - group.FirstChannel] = true;
                    }
                }
            }
        }

        return false;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool ArePositive(ReadOnlySpan<double> sums)
    {
        var i = 0;
        for (; i <= sums.Length - Vector<double>.Count; i += Vector<double>.Count)
        {
            if (!Vector.GreaterThanAll(new Vector<double>(sums[i..]), Vector<double>.Zero))
            {
                return false;
            }
        }

        for (; i < sums.Length; i++)
        {
            if (!(sums[i] > 0))
            {
                return false;
            }
        }

        return true;
    }

    // Channels to which (axis = output) or from which (axis = input) a walk of non-zero weights leads, starting at channels that do not
    // move. While a whole segment is reached its sums tell all; only partly reached segments need a read of their own.
    private void Reach(RescalingState state, Axis axis)
    {
        for (var g = 0; g < _plan.Groups.Count; g++)
        {
            var group = _plan.Groups[g].Group;
            for (var c = group.FirstChannel; c < group.FirstChannel + group.Count; c++)
            {
                _reached[c] = group.IsPinned || _reasons[c] is not null;
            }
        }

        // A round may find nothing for whole segments and still miss walks through partly reached ones: those are read last.
        while (Spread(state, axis, partly: false) || (_reached.Contains(false) && Spread(state, axis, partly: true)))
        {
        }
    }

    private bool Spread(RescalingState state, Axis axis, bool partly)
    {
        var grown = false;
        for (var n = 0; n < _plan.Weights.Count; n++)
        {
            var weight = _plan.Weights[axis == Axis.Output ? n : _plan.Weights.Count - 1 - n];
            var from = weight.Segments(Other(axis));
            for (var s = 0; s < from.Length; s++)
            {
                var (have, all) = Count(from[s]);
                if (have == 0 || have == all == partly || !Waits(weight, axis))
                {
                    continue;
                }

                var sum = new SumRef(weight.Index, axis, s);
                if (partly)
                {
                    for (var c = 0; c < _start.Length; c++)
                    {
                        _start[c] = _reached[c] ? 1 : 0;
                    }

                    _probe[0] = sum;
                    state.Probe(_probe, _start);
                }

                grown |= Mark(weight, axis, partly ? state.ProbeSums(sum) : state.Sums(sum));
            }
        }

        return grown;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private (int Reached, int All) Count(AxisSegment segment)
    {
        var (have, all) = (0, 0);
        foreach (var channel in segment.Channels)
        {
            all += channel >= 0 ? 1 : 0;
            have += channel >= 0 && _reached[channel] ? 1 : 0;
        }

        return (have, all);
    }

    private bool Waits(PlannedWeight weight, Axis axis)
    {
        foreach (var segment in weight.Segments(axis))
        {
            var (have, all) = Count(segment);
            if (have < all)
            {
                return true;
            }
        }

        return false;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool Mark(PlannedWeight weight, Axis axis, ReadOnlySpan<double> sums)
    {
        var grown = false;
        foreach (var segment in weight.Segments(axis))
        {
            for (var i = 0; i < segment.Count; i++)
            {
                var channel = segment.Channels[i];
                if (channel >= 0 && !_reached[channel] && sums[segment.Start + i] > 0)
                {
                    _reached[channel] = grown = true;
                }
            }
        }

        return grown;
    }

    private static Axis Other(Axis axis) => axis == Axis.Output ? Axis.Input : Axis.Output;
}
