namespace EquiNorm.Plan;

/// <summary>Which groups are updated together: depthwise pairs, and colours.</summary>
internal static class UpdateSchedule
{
    /// <summary>
    /// The groups on both sides of a depthwise weight have a joint closed form if the weight is the only sink of the one and the only
    /// source of the other, channel by channel.
    /// </summary>
    public static UpdateUnit[] JoinDepthwisePairs(PlannedWeight[] weights, PlannedGroup[] groups)
    {
        var joined = new bool[groups.Length];
        var behind = new Dictionary<int, UpdateUnit>();
        foreach (var weight in weights)
        {
            if (!weight.Weight.Layout.IsDiagonal || weight.HasSelfEdges
                || WholeGroup(weight, Axis.Input, groups) is not { } front || WholeGroup(weight, Axis.Output, groups) is not { } back)
            {
                continue;
            }

            var valid = !front.Group.IsPinned && !back.Group.IsPinned && front != back
                && front.Sinks.Length == 1 && back.Sources.Length == 1
                && !joined[front.Group.Index] && !joined[back.Group.Index];
            if (valid)
            {
                joined[front.Group.Index] = joined[back.Group.Index] = true;
                behind.Add(front.Group.Index, new UpdateUnit(front.Group.Index, back.Group.Index, weight.Index));
            }
        }

        var units = new List<UpdateUnit>();
        foreach (var group in groups.Where(g => !g.Group.IsPinned && g.Group.Count > 0))
        {
            if (behind.TryGetValue(group.Group.Index, out var pair))
            {
                units.Add(pair);
            }
            else if (!joined[group.Group.Index])
            {
                units.Add(new UpdateUnit(group.Group.Index));
            }
        }

        return [.. units];
    }

    /// <summary>Greedy colouring of the units, in network order: units that meet in a weight get different colours.</summary>
    public static UpdateUnit[][] Color(IReadOnlyList<UpdateUnit> units, PlannedWeight[] weights, PlannedGroup[] groups)
    {
        var unitOf = new int[groups.Length];
        Array.Fill(unitOf, -1);
        for (var n = 0; n < units.Count; n++)
        {
            unitOf[units[n].Group] = n;
            if (units[n].IsPair)
            {
                unitOf[units[n].Behind] = n;
            }
        }

        var colors = new List<List<UpdateUnit>>();
        var colorOf = new int[units.Count];
        Array.Fill(colorOf, -1);
        for (var n = 0; n < units.Count; n++)
        {
            var taken = new HashSet<int>();
            Meet(units[n].Group);
            if (units[n].IsPair)
            {
                Meet(units[n].Behind);
            }

            var color = 0;
            while (taken.Contains(color))
            {
                color++;
            }

            colorOf[n] = color;
            if (color == colors.Count)
            {
                colors.Add([]);
            }

            colors[color].Add(units[n]);

            void Meet(int group)
            {
                foreach (var axis in (ReadOnlySpan<Axis>)[Axis.Output, Axis.Input])
                {
                    foreach (var incident in groups[group].Incident(axis))
                    {
                        Take(weights[incident.Weight].Segments(Axis.Output));
                        Take(weights[incident.Weight].Segments(Axis.Input));
                    }
                }
            }

            void Take(ReadOnlySpan<AxisSegment> segments)
            {
                foreach (var segment in segments)
                {
                    if (unitOf[segment.Group] >= 0 && colorOf[unitOf[segment.Group]] >= 0)
                    {
                        taken.Add(colorOf[unitOf[segment.Group]]);
                    }
                }
            }
        }

        return [.. colors.Select(c => c.ToArray())];
    }

    private static PlannedGroup? WholeGroup(PlannedWeight weight, Axis axis, PlannedGroup[] groups)
    {
        var segments = weight.Segments(axis);
        if (segments.Length != 1)
        {
            return null;
        }

        var group = groups[segments[0].Group];
        return segments[0].FirstChannel == group.Group.FirstChannel && segments[0].Count == group.Group.Count ? group : null;
    }
}
