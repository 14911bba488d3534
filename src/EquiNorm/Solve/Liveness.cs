using System.Runtime.CompilerServices;
using EquiNorm.Backends;
using EquiNorm.Plan;

namespace EquiNorm.Solve;

/// <summary>
/// Finds the channels of free groups that have no finite optimum: no non-zero weight writes them, or none reads them, or no directed walk
/// of non-zero weights leads to them from (or from them to) a channel that does not move. Energies are zero only where weights are.
/// </summary>
internal static class Liveness
{
    /// <summary>Freezes such channels in <paramref name="state"/>, whose sums must all be valid, and lists them.</summary>
    public static List<FrozenChannel> FreezeDeadChannels(RescalingState state)
    {
        var plan = state.Plan;
        var channels = plan.Problem.Network.ChannelCount;
        var reasons = new FrozenReason?[channels];
        var found = MarkSilent(state, Axis.Output, FrozenReason.NoIncoming, reasons);
        found |= MarkSilent(state, Axis.Input, FrozenReason.NoOutgoing, reasons);

        // Without cycles every channel that hears something hears it from an earlier group, and so on back to one that does not move.
        foreach (var axis in plan.HasCycles ? (ReadOnlySpan<Axis>)[Axis.Output, Axis.Input] : [])
        {
            found |= MarkDisconnected(plan, Reach(state, axis, reasons), reasons);
        }

        if (!found)
        {
            return [];
        }

        var frozen = new List<FrozenChannel>();
        foreach (var group in plan.Groups.Where(g => !g.Group.IsPinned))
        {
            for (var c = 0; c < group.Group.Count; c++)
            {
                if (reasons[group.Group.FirstChannel + c] is { } reason)
                {
                    frozen.Add(new FrozenChannel(group.Group, c, reason));
                }
            }
        }

        state.Freeze([.. reasons.Select(r => r is not null)]);
        return frozen;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool MarkDisconnected(RescalingPlan plan, bool[] reached, FrozenReason?[] reasons)
    {
        var found = false;
        foreach (var group in plan.Groups.Where(g => !g.Group.IsPinned))
        {
            for (var c = group.Group.FirstChannel; c < group.Group.FirstChannel + group.Group.Count; c++)
            {
                if (!reached[c])
                {
                    reasons[c] ??= FrozenReason.Disconnected;
                    found = true;
                }
            }
        }

        return found;
    }

    // Channels all of whose sums on one side are zero. Self-edges are in no sum: they hold a channel at no value.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool MarkSilent(RescalingState state, Axis axis, FrozenReason reason, FrozenReason?[] reasons)
    {
        var plan = state.Plan;
        var found = false;
        foreach (var group in plan.Groups.Where(g => !g.Group.IsPinned))
        {
            var heard = new bool[group.Group.Count];
            foreach (var incident in group.Incident(axis))
            {
                var weight = plan.Weights[incident.Weight];
                var segment = weight.Segments(axis)[incident.Segment];
                for (var s = 0; s < weight.Segments(Other(axis)).Length; s++)
                {
                    var sums = state.Sums(new SumRef(incident.Weight, axis, s)).Slice(segment.Start, segment.Count);
                    for (var i = 0; i < sums.Length; i++)
                    {
                        if (segment.Channels[i] >= 0 && sums[i] > 0)
                        {
                            heard[segment.Channels[i] - group.Group.FirstChannel] = true;
                        }
                    }
                }
            }

            for (var c = 0; c < heard.Length; c++)
            {
                if (!heard[c])
                {
                    reasons[group.Group.FirstChannel + c] ??= reason;
                    found = true;
                }
            }
        }

        return found;
    }

    // Channels to which (axis = output) or from which (axis = input) a walk of non-zero weights leads, starting at channels that do not
    // move. While a whole segment is reached its sums tell all; only partly reached segments need a read of their own.
    private static bool[] Reach(RescalingState state, Axis axis, FrozenReason?[] reasons)
    {
        var plan = state.Plan;
        var reached = new bool[reasons.Length];
        foreach (var group in plan.Groups)
        {
            for (var c = group.Group.FirstChannel; c < group.Group.FirstChannel + group.Group.Count; c++)
            {
                reached[c] = group.Group.IsPinned || reasons[c] is not null;
            }
        }

        // A round may find nothing for whole segments and still miss walks through partly reached ones: those are read last.
        while (Spread(partly: false) || (!Complete() && Spread(partly: true)))
        {
        }

        return reached;

        bool Complete() => !reached.Contains(false);

        bool Spread(bool partly)
        {
            var grown = false;
            for (var n = 0; n < plan.Weights.Count; n++)
            {
                var weight = plan.Weights[axis == Axis.Output ? n : plan.Weights.Count - 1 - n];
                var from = weight.Segments(Other(axis));
                for (var s = 0; s < from.Length; s++)
                {
                    var (have, all) = Count(from[s]);
                    if (have == 0 || have == all == partly || !Waits(weight))
                    {
                        continue;
                    }

                    var sum = new SumRef(weight.Index, axis, s);
                    if (partly)
                    {
                        state.Probe([sum], [.. reached.Select(r => r ? 1.0 : 0.0)]);
                    }

                    grown |= Mark(weight, partly ? state.ProbeSums(sum) : state.Sums(sum));
                }
            }

            return grown;
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        (int Reached, int All) Count(AxisSegment segment)
        {
            var (have, all) = (0, 0);
            foreach (var channel in segment.Channels)
            {
                all += channel >= 0 ? 1 : 0;
                have += channel >= 0 && reached[channel] ? 1 : 0;
            }

            return (have, all);
        }

        bool Waits(PlannedWeight weight)
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
        bool Mark(PlannedWeight weight, ReadOnlySpan<double> sums)
        {
            var grown = false;
            foreach (var segment in weight.Segments(axis))
            {
                for (var i = 0; i < segment.Count; i++)
                {
                    var channel = segment.Channels[i];
                    if (channel >= 0 && !reached[channel] && sums[segment.Start + i] > 0)
                    {
                        reached[channel] = grown = true;
                    }
                }
            }

            return grown;
        }
    }

    private static Axis Other(Axis axis) => axis == Axis.Output ? Axis.Input : Axis.Output;
}
