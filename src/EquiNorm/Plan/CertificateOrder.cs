namespace EquiNorm.Plan;

/// <summary>
/// An order of the groups in which a conserved flow can be computed in one pass, and which weights carry the correction of each group.
/// </summary>
/// <remarks>
/// Forward: the flow out of a channel is the current one except on its carriers, where it is scaled so that outflow equals inflow. In a
/// group outside any cycle all sinks are carriers. A residual stream feeds its branches, which feed it: there only sinks that leave the
/// cycle are carriers, or the last sink in network order if none leaves. Backward: the same with sources and sinks exchanged.
/// </remarks>
public sealed class CertificateOrder
{
    private readonly bool[][] _carriers;

    private CertificateOrder(Axis axis, int[] groups, bool[][] carriers)
    {
        CarrierAxis = axis;
        Groups = groups;
        _carriers = carriers;
    }

    /// <summary>The axis on which carriers meet their group: input (sinks) for the forward order, output (sources) for the backward one.</summary>
    public Axis CarrierAxis { get; }

    /// <summary>The free groups, each behind all that it depends on.</summary>
    public IReadOnlyList<int> Groups { get; }

    /// <summary>For each weight incident to <paramref name="group"/> on <see cref="CarrierAxis"/>: whether it is a carrier.</summary>
    public ReadOnlySpan<bool> Carriers(int group) => _carriers[group];

    /// <summary>The order, or null if the carriers run in a circle.</summary>
    internal static CertificateOrder? Create(
        PlannedWeight[] weights, PlannedGroup[] groups, GroupComponents component, Axis carrierAxis)
    {
        var far = carrierAxis == Axis.Input ? Axis.Output : Axis.Input;
        var carriers = new bool[groups.Length][];
        for (var g = 0; g < groups.Length; g++)
        {
            carriers[g] = groups[g].Group.IsPinned ? [] : Choose(g);
        }

        var order = Sort(weights, groups, carrierAxis, carriers);
        return order is null ? null : new CertificateOrder(carrierAxis, order, carriers);

        bool[] Choose(int g)
        {
            var incident = groups[g].Incident(carrierAxis);
            var chosen = new bool[incident.Length];
            if (!component.IsCyclic(g))
            {
                Array.Fill(chosen, true);
                return chosen;
            }

            for (var i = 0; i < incident.Length; i++)
            {
                chosen[i] = Leaves(weights[incident[i].Weight], g);
            }

            if (incident.Length > 0 && !chosen.Contains(true))
            {
                // Weights stand in network order: the last sink, or the first source.
                chosen[carrierAxis == Axis.Input ? incident.Length - 1 : 0] = true;
            }

            return chosen;
        }

        bool Leaves(PlannedWeight weight, int g)
        {
            foreach (var segment in weight.Segments(far))
            {
                if (!groups[segment.Group].Group.IsPinned && component[segment.Group] == component[g])
                {
                    return false;
                }
            }

            return true;
        }
    }

    // Kahn's algorithm on "the carrier of g feeds h"; null if a cycle is left.
    private static int[]? Sort(PlannedWeight[] weights, PlannedGroup[] groups, Axis carrierAxis, bool[][] carriers)
    {
        var far = carrierAxis == Axis.Input ? Axis.Output : Axis.Input;
        var fed = new HashSet<int>[groups.Length];
        var waiting = new int[groups.Length];
        for (var g = 0; g < groups.Length; g++)
        {
            fed[g] = [];
            var incident = groups[g].Incident(carrierAxis);
            for (var i = 0; i < carriers[g].Length; i++)
            {
                if (!carriers[g][i])
                {
                    continue;
                }

                foreach (var segment in weights[incident[i].Weight].Segments(far))
                {
                    if (!groups[segment.Group].Group.IsPinned && fed[g].Add(segment.Group))
                    {
                        waiting[segment.Group]++;
                    }
                }
            }
        }

        var order = new List<int>();
        var ready = new Queue<int>(Enumerable.Range(0, groups.Length).Where(g => !groups[g].Group.IsPinned && waiting[g] == 0));
        while (ready.TryDequeue(out var g))
        {
            order.Add(g);
            foreach (var h in fed[g])
            {
                if (--waiting[h] == 0)
                {
                    ready.Enqueue(h);
                }
            }
        }

        return order.Count == groups.Count(g => !g.Group.IsPinned) ? [.. order] : null;
    }
}
