using EquiNorm.Backends;

namespace EquiNorm.Solve;

/// <summary>
/// Anderson acceleration with a safety net: a sweep that starts from an extrapolated point must end with an objective no larger than the
/// last plain point had; otherwise the plain point is restored and the history cleared. F never rises from one accepted point to the next.
/// </summary>
internal sealed class Extrapolation
{
    // Five differences: more did not pay on clustered networks, fewer cost sweeps.
    private const int Depth = 5;

    // Differences of log F below this, relative to log F, are rounding and not a rise.
    private const double Rounding = 2e-15;

    private readonly RescalingState _state;
    private readonly GainLimit _limit;
    private readonly Anderson _anderson = new(Depth);

    // Made when the first point is kept: most solves end before.
    private int[] _channels = [];
    private double[] _all = [];
    private double[] _plain = [];
    private double[] _start = [];
    private double[] _end = [];
    private double _plainObjective;
    private bool _hasStart;

    public Extrapolation(RescalingState state, GainLimit limit)
    {
        _state = state;
        _limit = limit;
    }

    /// <summary>Whether the running sweep started from an extrapolated point that is not accepted yet.</summary>
    public bool IsPending { get; private set; }

    /// <summary>Whether points are being kept.</summary>
    public bool HasPoints => _hasStart;

    /// <summary>At the end of a sweep: accepts the extrapolated start, or restores the plain point and says so.</summary>
    public bool TakeBack(ref double logObjective)
    {
        if (!IsPending)
        {
            return false;
        }

        IsPending = false;
        if (logObjective <= _plainObjective + Rounding * Math.Max(5, Math.Abs(_plainObjective)))
        {
            return false;
        }

        _state.WriteLogFactors(_plain);
        logObjective = _plainObjective;
        _anderson.Clear();
        _hasStart = false;
        return true;
    }

    /// <summary>At the end of an accepted sweep: records it, and extrapolates if convergence is slow.</summary>
    public void Advance(double logObjective, bool extrapolate)
    {
        if (_all.Length == 0)
        {
            MakeRoom();
        }

        _state.ReadLogFactors(_all);
        Gather(_all, _end);
        if (_hasStart)
        {
            _anderson.Add(_start, _end);
        }

        _end.CopyTo(_start, 0);
        _hasStart = true;
        if (!extrapolate || !_anderson.TryExtrapolate(_start))
        {
            return;
        }

        _limit.Clamp(_start);
        _all.CopyTo(_plain, 0);
        _plainObjective = logObjective;
        for (var i = 0; i < _channels.Length; i++)
        {
            _all[_channels[i]] = _start[i];
        }

        _state.WriteLogFactors(_all);
        IsPending = true;
    }

    private void MakeRoom()
    {
        var channels = new List<int>();
        foreach (var group in _state.Plan.Groups.Where(g => !g.Group.IsPinned))
        {
            channels.AddRange(Enumerable.Range(group.Group.FirstChannel, group.Group.Count).Where(_state.IsLive));
        }

        _channels = [.. channels];
        _all = new double[_state.Plan.Problem.Network.ChannelCount];
        _plain = new double[_all.Length];
        _start = new double[_channels.Length];
        _end = new double[_channels.Length];
    }

    private void Gather(double[] all, double[] live)
    {
        for (var i = 0; i < live.Length; i++)
        {
            live[i] = all[_channels[i]];
        }
    }
}
