using EquiNorm.Backends;

namespace EquiNorm.Solve;

/// <summary>
/// The coarse correction within the limit on factors. Groups with a channel at its limit stay; where a group would be moved beyond, it
/// stays, too, and the others are corrected anew. F is convex along the correction, so that a part of it never raises F either.
/// </summary>
internal sealed class LimitedShifts
{
    // Each round holds at least one more group; after this many what is left is shortened instead.
    private const int Rounds = 4;

    private readonly RescalingState _state;
    private readonly CoarseSolver _coarse;
    private readonly GainLimit _limit;
    private readonly double[] _factors;
    private readonly double[] _lowest;
    private readonly double[] _highest;
    private readonly bool[] _stays;

    public LimitedShifts(RescalingState state, CoarseSolver coarse, GainLimit limit)
    {
        _state = state;
        _coarse = coarse;
        _limit = limit;
        _factors = new double[state.Plan.Problem.Network.ChannelCount];
        _lowest = new double[state.Plan.Groups.Count];
        _highest = new double[state.Plan.Groups.Count];
        _stays = new bool[state.Plan.Groups.Count];
    }

    /// <summary>Writes the shift of each group, 0 where nothing moves.</summary>
    public void Minimize(List<CoarseEdge> edges, Span<double> shifts)
    {
        FindRanges();
        for (var round = 0; round < Rounds; round++)
        {
            _coarse.Minimize(edges, shifts, _stays);
            if (!HoldThoseBeyond(shifts))
            {
                return;
            }
        }

        Shorten(shifts);
    }

    private void FindRanges()
    {
        _state.ReadLogFactors(_factors);
        foreach (var planned in _state.Plan.Groups)
        {
            var group = planned.Group;
            var (low, high) = (double.PositiveInfinity, double.NegativeInfinity);
            for (var c = group.FirstChannel; c < group.FirstChannel + group.Count; c++)
            {
                if (_state.IsLive(c))
                {
                    (low, high) = (Math.Min(low, _factors[c]), Math.Max(high, _factors[c]));
                }
            }

            (_lowest[group.Index], _highest[group.Index]) = (low, high);
            _stays[group.Index] = low <= high && (_limit.Side(low) != 0 || _limit.Side(high) != 0);
        }
    }

    private bool HoldThoseBeyond(ReadOnlySpan<double> shifts)
    {
        var any = false;
        for (var g = 0; g < shifts.Length; g++)
        {
            if (shifts[g] != 0 && (_highest[g] + shifts[g] > _limit.Log || _lowest[g] + shifts[g] < -_limit.Log))
            {
                _stays[g] = any = true;
            }
        }

        return any;
    }

    private void Shorten(Span<double> shifts)
    {
        double part = 1;
        for (var g = 0; g < shifts.Length; g++)
        {
            if (shifts[g] != 0)
            {
                var room = shifts[g] > 0 ? _limit.Log - _highest[g] : _limit.Log + _lowest[g];
                part = Math.Min(part, Math.Max(0, room) / Math.Abs(shifts[g]));
            }
        }

        for (var g = 0; g < shifts.Length; g++)
        {
            shifts[g] *= part;
        }
    }
}
