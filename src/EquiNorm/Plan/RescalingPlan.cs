using EquiNorm.Problem;

namespace EquiNorm.Plan;

/// <summary>
/// A problem laid out for execution, for any backend: axes split by group, the units of the closed-form update in network order, their
/// colours, and the orders in which a certificate can be computed. Depends on shapes only, never on values.
/// </summary>
public sealed class RescalingPlan
{
    // Made when first asked for: most solves need neither colours nor more than one certificate. Two threads that ask at once may both
    // compute them, with the same result.
    private readonly Lazy<UpdateUnit[][]> _colors;
    private readonly Lazy<CertificateOrder?> _forward;
    private readonly Lazy<CertificateOrder?> _backward;

    private RescalingPlan(RescalingProblem problem, PlannedWeight[] weights, PlannedGroup[] groups)
    {
        Problem = problem;
        Weights = weights;
        Groups = groups;
        Singles = groups.Where(g => !g.Group.IsPinned && g.Group.Count > 0).Select(g => new UpdateUnit(g.Group.Index)).ToArray();
        var units = UpdateSchedule.JoinDepthwisePairs(weights, groups);
        Units = units;
        _colors = new(() => UpdateSchedule.Color(units, weights, groups), LazyThreadSafetyMode.PublicationOnly);
        var components = GroupComponents.Of(weights, groups);
        HasCycles = components.HasCycles;
        _forward = new(() => CertificateOrder.Create(weights, groups, components, Axis.Input), LazyThreadSafetyMode.PublicationOnly);
        _backward = new(() => CertificateOrder.Create(weights, groups, components, Axis.Output), LazyThreadSafetyMode.PublicationOnly);
        Edges = weights.Sum(w => w.Weight.Layout.Edges);
    }

    /// <summary>The problem.</summary>
    public RescalingProblem Problem { get; }

    /// <summary>The weights that count in the norm, in network order.</summary>
    public IReadOnlyList<PlannedWeight> Weights { get; }

    /// <summary>All channel groups, pinned ones too, by index.</summary>
    public IReadOnlyList<PlannedGroup> Groups { get; }

    /// <summary>The free groups in network order, each a unit of its own.</summary>
    public ReadOnlyMemory<UpdateUnit> Singles { get; }

    /// <summary>The free groups in network order, with the groups around a depthwise weight joined where that is valid.</summary>
    public ReadOnlyMemory<UpdateUnit> Units { get; }

    /// <summary>The units by colour: units of one colour share no weight and may be updated at once.</summary>
    public IReadOnlyList<UpdateUnit[]> Colors => _colors.Value;

    /// <summary>Whether some walk of weights leads from a free group back to it, as in a residual stream.</summary>
    public bool HasCycles { get; }

    /// <summary>How to push a flow from the inputs to the outputs, or null if the groups do not allow it.</summary>
    public CertificateOrder? ForwardCertificate => _forward.Value;

    /// <summary>How to push a flow from the outputs to the inputs, or null if the groups do not allow it.</summary>
    public CertificateOrder? BackwardCertificate => _backward.Value;

    /// <summary>Number of energies: (output, input) pairs of all weights. Reading each twice is one sweep.</summary>
    public long Edges { get; }

    /// <summary>Whether some weight but the depthwise one of a pair leads from the unit back to it, so that its channels move each other.</summary>
    public bool FeedsItself(UpdateUnit unit) => FeedsItself(unit.Group, unit) || (unit.IsPair && FeedsItself(unit.Behind, unit));

    private bool FeedsItself(int group, UpdateUnit unit)
    {
        foreach (var source in Groups[group].Sources)
        {
            foreach (var segment in Weights[source.Weight].Segments(Axis.Input))
            {
                if (source.Weight != unit.Depthwise && (segment.Group == unit.Group || segment.Group == unit.Behind))
                {
                    return true;
                }
            }
        }

        return false;
    }

    /// <summary>Lays out a problem.</summary>
    public static RescalingPlan Create(RescalingProblem problem)
    {
        var network = problem.Network;
        var penalties = problem.Penalty.LogPenalties(network, problem.Norm);
        var weights = network.Weights.Where(w => problem.IsInNorm(w) && w.Layout.Elements > 0)
            .Select((w, t) => new PlannedWeight(t, w, penalties[w.Index], network.Groups)).ToArray();
        var incident = new List<SegmentRef>[2, network.Groups.Count];
        foreach (var weight in weights)
        {
            foreach (var axis in (ReadOnlySpan<Axis>)[Axis.Output, Axis.Input])
            {
                var segments = weight.Segments(axis);
                for (var s = 0; s < segments.Length; s++)
                {
                    (incident[(int)axis, segments[s].Group] ??= []).Add(new SegmentRef(weight.Index, s));
                }
            }
        }

        var groups = network.Groups
            .Select(g => new PlannedGroup(g, [.. incident[0, g.Index] ?? []], [.. incident[1, g.Index] ?? []])).ToArray();
        return new RescalingPlan(problem, weights, groups);
    }
}
