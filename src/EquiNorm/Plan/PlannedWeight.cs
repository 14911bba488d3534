using EquiNorm.Model;

namespace EquiNorm.Plan;

/// <summary>A weight that counts in the norm, with its axes split by channel group.</summary>
public sealed class PlannedWeight
{
    private readonly AxisSegment[][] _segments;

    internal PlannedWeight(int index, Weight weight, double logPenalty, IReadOnlyList<ChannelGroup> groups)
    {
        Index = index;
        Weight = weight;
        LogPenalty = logPenalty;
        _segments = [AxisSegment.Of(weight.Outputs, groups), AxisSegment.Of(weight.Inputs, groups)];
        HasSelfEdges = FindsSelfEdge(groups);
    }

    /// <summary>Position in <see cref="RescalingPlan.Weights"/>.</summary>
    public int Index { get; }

    /// <summary>The weight.</summary>
    public Weight Weight { get; }

    /// <summary>log lambda_t.</summary>
    public double LogPenalty { get; }

    /// <summary>
    /// Whether some element lies between a channel and itself (x + conv(relu(x)) on one stream). Its term is a constant: it is left out of
    /// all sums.
    /// </summary>
    public bool HasSelfEdges { get; }

    /// <summary>The segments of an axis.</summary>
    public ReadOnlySpan<AxisSegment> Segments(Axis axis) => _segments[(int)axis];

    /// <summary>Number of positions of an axis.</summary>
    public int Length(Axis axis) => axis == Axis.Output ? Weight.Layout.Outputs : Weight.Layout.Inputs;

    private bool FindsSelfEdge(IReadOnlyList<ChannelGroup> groups)
    {
        if (!Array.Exists(_segments[0], o => !groups[o.Group].IsPinned && Array.Exists(_segments[1], i => i.Group == o.Group)))
        {
            return false;
        }

        var layout = Weight.Layout;
        var outputs = Weight.Outputs.ToChannels(groups);
        var inputs = Weight.Inputs.ToChannels(groups);
        for (var g = 0; g < layout.Groups; g++)
        {
            var written = outputs.AsSpan(g * layout.OutputsPerGroup, layout.OutputsPerGroup);
            foreach (var channel in inputs.AsSpan(g * layout.InputsPerGroup, layout.InputsPerGroup))
            {
                if (written.Contains(channel))
                {
                    return true;
                }
            }
        }

        return false;
    }
}

/// <summary>A segment of a weight's axis, named by the weight's and the segment's index.</summary>
/// <param name="Weight">Index in <see cref="RescalingPlan.Weights"/>.</param>
/// <param name="Segment">Index in the weight's segments of the axis in question.</param>
public readonly record struct SegmentRef(int Weight, int Segment);

/// <summary>
/// A vector of partial sums: one number per position of <paramref name="Axis"/>, summed over segment <paramref name="Segment"/> of the
/// other axis. Row sums live on the output axis, column sums on the input axis.
/// </summary>
/// <param name="Weight">Index in <see cref="RescalingPlan.Weights"/>.</param>
/// <param name="Axis">The axis whose positions carry the sums.</param>
/// <param name="Segment">The segment of the other axis that is summed over.</param>
public readonly record struct SumRef(int Weight, Axis Axis, int Segment);

/// <summary>A channel group with what writes it and what reads it.</summary>
public sealed class PlannedGroup
{
    private readonly SegmentRef[][] _incident;

    internal PlannedGroup(ChannelGroup group, SegmentRef[] sources, SegmentRef[] sinks)
    {
        Group = group;
        _incident = [sources, sinks];
    }

    /// <summary>The group.</summary>
    public ChannelGroup Group { get; }

    /// <summary>Output segments of the weights that write the group.</summary>
    public ReadOnlySpan<SegmentRef> Sources => _incident[0];

    /// <summary>Input segments of the weights that read the group.</summary>
    public ReadOnlySpan<SegmentRef> Sinks => _incident[1];

    /// <summary>Sources for <see cref="Axis.Output"/>, sinks for <see cref="Axis.Input"/>.</summary>
    public ReadOnlySpan<SegmentRef> Incident(Axis axis) => _incident[(int)axis];
}

/// <summary>
/// What one closed-form update changes: a group, or the two groups around a depthwise weight, which have a joint closed form.
/// </summary>
/// <param name="Group">Index of the group (of the group in front of the depthwise weight).</param>
/// <param name="Behind">Index of the group behind the depthwise weight, or -1.</param>
/// <param name="Depthwise">Index of the depthwise weight in <see cref="RescalingPlan.Weights"/>, or -1.</param>
public readonly record struct UpdateUnit(int Group, int Behind, int Depthwise)
{
    /// <summary>A single group.</summary>
    public UpdateUnit(int group)
        : this(group, -1, -1)
    {
    }

    /// <summary>Whether two groups are updated together.</summary>
    public bool IsPair => Behind >= 0;
}
