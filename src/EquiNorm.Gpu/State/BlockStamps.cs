using EquiNorm.Gpu.Layout;
using EquiNorm.Plan;

namespace EquiNorm.Gpu.State;

/// <summary>Which sums are valid. A pass makes the sums of a weight valid on both axes, so validity is kept by weight.</summary>
internal sealed class BlockStamps
{
    private readonly DeviceLayout _layout;
    private readonly ChannelState _channels;
    private readonly int[][][] _versions;
    private readonly bool[] _wanted;

    public BlockStamps(DeviceLayout layout, ChannelState channels)
    {
        _layout = layout;
        _channels = channels;
        _wanted = new bool[layout.Weights.Length];
        _versions = [.. layout.Plan.Weights.Select(w => new[]
        {
            new int[w.Segments(Axis.Output).Length],
            new int[w.Segments(Axis.Input).Length],
        })];
    }

    /// <summary>Whether the sums on an axis over a segment of the other axis belong to the current factors.</summary>
    public bool IsValid(int weight, Axis axis, int farSegment)
    {
        var far = axis == Axis.Output ? Axis.Input : Axis.Output;
        var group = _layout.Plan.Weights[weight].Segments(far)[farSegment].Group;
        return _versions[weight][(int)far][farSegment] == _channels.Version(group);
    }

    public void Want(SumRef sum) => _wanted[sum.Weight] |= !IsValid(sum.Weight, sum.Axis, sum.Segment);

    public void Want(int weight, Axis axis, int farSegment) => _wanted[weight] |= !IsValid(weight, axis, farSegment);

    /// <summary>Wants all weights that have a block with no valid sum on either axis.</summary>
    public void WantNorms()
    {
        foreach (var weight in _layout.Plan.Weights)
        {
            for (var o = 0; o < weight.Segments(Axis.Output).Length; o++)
            {
                for (var i = 0; i < weight.Segments(Axis.Input).Length; i++)
                {
                    _wanted[weight.Index] |= !IsValid(weight.Index, Axis.Output, i) && !IsValid(weight.Index, Axis.Input, o);
                }
            }
        }
    }

    /// <summary>Whether the norms of a weight's tiles belong to the current factors.</summary>
    public bool HasNorms(int weight, int outputSegment, int inputSegment) =>
        IsValid(weight, Axis.Output, inputSegment) && IsValid(weight, Axis.Input, outputSegment);

    /// <summary>Runs of weights that are wanted; they count as valid from now on.</summary>
    public List<(int First, int End)> TakeWanted()
    {
        var runs = new List<(int First, int End)>();
        for (var t = 0; t < _wanted.Length; t++)
        {
            if (!_wanted[t])
            {
                continue;
            }

            _wanted[t] = false;
            Stamp(t);
            if (runs.Count > 0 && runs[^1].End == t)
            {
                runs[^1] = (runs[^1].First, t + 1);
            }
            else
            {
                runs.Add((t, t + 1));
            }
        }

        return runs;
    }

    public void StampAll()
    {
        for (var t = 0; t < _versions.Length; t++)
        {
            Stamp(t);
        }
    }

    private void Stamp(int weight)
    {
        foreach (var axis in (ReadOnlySpan<Axis>)[Axis.Output, Axis.Input])
        {
            var segments = _layout.Plan.Weights[weight].Segments(axis);
            for (var s = 0; s < segments.Length; s++)
            {
                _versions[weight][(int)axis][s] = _channels.Version(segments[s].Group);
            }
        }
    }
}
