using EquiNorm.Gpu.Tables;
using EquiNorm.Plan;

namespace EquiNorm.Gpu.Layout;

/// <summary>The tables of the closed-form update for one set of units: chunks of channels, and the sums that meet each.</summary>
internal sealed class UpdateTables
{
    private readonly DeviceLayout _layout;
    private readonly int _fixedInputs;
    private readonly int _fixedOutputs;
    private readonly List<UpdateChunk> _chunks = [];
    private readonly List<SumTerm> _terms = [];
    private readonly List<int> _positions = [];

    /// <param name="layout">Where sums are.</param>
    /// <param name="units">What is updated.</param>
    /// <param name="fixedInputs">Where the sums over frozen inputs start relative to the sums, 0 if there are none.</param>
    /// <param name="fixedOutputs">Where the sums over frozen outputs start, 0 if there are none.</param>
    public UpdateTables(DeviceLayout layout, ReadOnlySpan<UpdateUnit> units, int fixedInputs, int fixedOutputs)
    {
        _layout = layout;
        _fixedInputs = fixedInputs;
        _fixedOutputs = fixedOutputs;
        foreach (var unit in units)
        {
            Add(unit);
        }

        Chunks = [.. _chunks];
        Terms = [.. _terms];
        Positions = [.. _positions];
    }

    public UpdateChunk[] Chunks { get; }

    public SumTerm[] Terms { get; }

    public int[] Positions { get; }

    private void Add(UpdateUnit unit)
    {
        var plan = _layout.Plan;
        var group = plan.Groups[unit.Group].Group;
        for (var start = 0; start < group.Count; start += KernelPolicy.ChunkChannels)
        {
            var chunk = new UpdateChunk
            {
                FirstChannel = group.FirstChannel + start,
                Count = Math.Min(KernelPolicy.ChunkChannels, group.Count - start),
                Group = group.Index,
                Behind = -1,
                Index = _chunks.Count,
                Sources = _terms.Count,
            };
            AddTerms(group.Index, Axis.Output, chunk.FirstChannel, chunk.Count);
            chunk.SourceCount = _terms.Count - chunk.Sources;
            chunk.Sinks = _terms.Count;
            if (unit.IsPair)
            {
                var behind = plan.Groups[unit.Behind].Group;
                chunk.Behind = behind.Index;
                chunk.BehindChannel = behind.FirstChannel + start;
                chunk.Depthwise = unit.Depthwise;
                chunk.Energies = checked((int)_layout.Weights[unit.Depthwise].Energies + start);
                AddTerms(behind.Index, Axis.Input, chunk.BehindChannel, chunk.Count);
            }
            else
            {
                AddTerms(group.Index, Axis.Input, chunk.FirstChannel, chunk.Count);
            }

            chunk.SinkCount = _terms.Count - chunk.Sinks;
            chunk.SourceGroup = OnlyGroup(chunk.Sources, chunk.SourceCount);
            chunk.SinkGroup = OnlyGroup(chunk.Sinks, chunk.SinkCount);
            _chunks.Add(chunk);
        }
    }

    // The group on the other side of some terms, -1 if there is none or several. Terms of frozen channels do not count.
    private int OnlyGroup(int first, int count)
    {
        var groups = _terms.Skip(first).Take(count).Select(t => t.FarGroup).Where(g => g >= 0).Distinct().Take(2).ToArray();
        return groups.Length == 1 ? groups[0] : -1;
    }

    // The sums that sources (sinks) of a group leave on the output (input) axis, as far as they meet the channels.
    private void AddTerms(int group, Axis axis, int firstChannel, int channels)
    {
        foreach (var incident in _layout.Plan.Groups[group].Incident(axis))
        {
            var weight = _layout.Plan.Weights[incident.Weight];
            var segment = weight.Segments(axis)[incident.Segment];
            var place = _layout.Weights[incident.Weight];
            for (var n = place.FirstPanel; n < place.FirstPanel + place.PanelCount; n++)
            {
                var panel = _layout.Panels[n];
                if ((axis == Axis.Output ? panel.OutputSegment : panel.InputSegment) == incident.Segment)
                {
                    var far = axis == Axis.Output
                        ? weight.Segments(Axis.Input)[panel.InputSegment].Group
                        : weight.Segments(Axis.Output)[panel.OutputSegment].Group;
                    AddTerm(panel, place.Matrix, axis, segment, far, firstChannel, channels);
                }
            }
        }
    }

    private void AddTerm(Panel panel, in WeightMatrix matrix, Axis axis, AxisSegment segment, int far, int firstChannel, int channels)
    {
        var rows = axis == matrix.RowAxis;
        var first = rows ? panel.FirstRow : panel.FirstColumn;
        var count = rows ? panel.Rows : panel.Columns;
        var covered = segment.Channels.AsSpan(first - segment.Start, count);
        var term = new SumTerm
        {
            Count = count,
            Positions = -1,
            Sums = rows ? panel.RowSums : panel.ColumnSums,
            PartStride = count,
            Parts = rows ? panel.RowParts : panel.ColumnParts,
            FarGroup = far,
            Weight = panel.Weight,
        };
        if (segment.FirstChannel >= 0)
        {
            term.FirstChannel = covered[0];
            if (term.FirstChannel < firstChannel + channels && term.FirstChannel + count > firstChannel)
            {
                Add(term, axis);
            }

            return;
        }

        foreach (var positions in FindPositions(covered, firstChannel, channels))
        {
            term.Positions = _positions.Count;
            _positions.AddRange(positions);
            Add(term, axis);
        }
    }

    // The position of each channel, -1 for none; a channel that is there several times needs as many maps.
    private static List<int[]> FindPositions(ReadOnlySpan<int> covered, int firstChannel, int channels)
    {
        var maps = new List<int[]>();
        for (var i = 0; i < covered.Length; i++)
        {
            var at = covered[i] - firstChannel;
            if (covered[i] < 0 || at < 0 || at >= channels)
            {
                continue;
            }

            var map = maps.Find(m => m[at] < 0);
            if (map is null)
            {
                map = new int[channels];
                Array.Fill(map, -1);
                maps.Add(map);
            }

            map[at] = i;
        }

        return maps;
    }

    private void Add(SumTerm term, Axis axis)
    {
        _terms.Add(term);
        var fixedSums = axis == Axis.Output ? _fixedInputs : _fixedOutputs;
        if (fixedSums > 0)
        {
            _terms.Add(term with { Sums = term.Sums + fixedSums, FarGroup = -1 });
        }
    }
}
