using System.Numerics;
using System.Runtime.CompilerServices;
using EquiNorm.Plan;
using EquiNorm.Problem;

namespace EquiNorm.Backends.Cpu;

/// <summary>
/// The factors of all channels (p is 1 at p = infinity): p u_c = reference_g + v_c, x_c = exp(v_c), with v centred in its group whenever the group is updated, so
/// that x and 1/x stay in range however large u grows. Frozen channels of free groups have x = 1/x = 0 here: their u is 0, and their
/// share of every sum is kept apart.
/// </summary>
internal sealed unsafe class ChannelFactors
{
    private readonly RescalingPlan _plan;
    private readonly bool[] _live;
    private readonly int[] _versions;
    private readonly double[] _references;

    public ChannelFactors(RescalingPlan plan, Arena arena)
    {
        _plan = plan;
        var channels = plan.Problem.Network.ChannelCount;
        _live = new bool[channels];
        _versions = new int[plan.Groups.Count];
        _references = new double[plan.Groups.Count];
        Logs = arena.Allocate(channels);
        X = arena.Allocate(channels);
        InverseX = arena.Allocate(channels);
        new Span<double>(X, channels).Fill(1);
        new Span<double>(InverseX, channels).Fill(1);
    }

    /// <summary>v.</summary>
    public double* Logs { get; }

    /// <summary>exp(v): multiplies outputs.</summary>
    public double* X { get; }

    /// <summary>exp(-v): multiplies inputs.</summary>
    public double* InverseX { get; }

    public int Count => _live.Length;

    /// <summary>Whether x is 1 for every channel, and none is frozen.</summary>
    public bool AreOne { get; private set; }

    public double* Of(Axis axis) => axis == Axis.Output ? X : InverseX;

    public double Reference(int group) => _references[group];

    public int Version(int group) => _versions[group];

    public bool IsLive(int channel) => _live[channel];

    public bool AreLive(int first, int count) => !_live.AsSpan(first, count).Contains(false);

    public ReadOnlySpan<bool> Live(int group) =>
        _live.AsSpan(_plan.Groups[group].Group.FirstChannel, _plan.Groups[group].Group.Count);

    /// <summary>Adds to u of the live channels of every group; all sums stay valid.</summary>
    public void Shift(ReadOnlySpan<double> shifts)
    {
        for (var g = 0; g < _references.Length; g++)
        {
            if (!_plan.Groups[g].Group.IsPinned)
            {
                _references[g] += _plan.Problem.FactorExponent * shifts[g];
            }
        }
    }

    /// <summary>Adds to p u of the live channels of a group; all sums stay valid.</summary>
    public void Shift(int group, double shift) => _references[group] += shift;

    /// <summary>Thaws every channel and sets u.</summary>
    public void Reset(ReadOnlySpan<double> logFactors)
    {
        for (var g = 0; g < _plan.Groups.Count; g++)
        {
            var group = _plan.Groups[g].Group;
            _live.AsSpan(group.FirstChannel, group.Count).Fill(!group.IsPinned);
        }

        Write(logFactors);
        AreOne = !logFactors.ContainsAnyExcept(0.0);
    }

    public void Freeze(ReadOnlySpan<bool> frozen)
    {
        AreOne = false;
        for (var g = 0; g < _plan.Groups.Count; g++)
        {
            var group = _plan.Groups[g].Group;
            var changed = false;
            for (var c = group.FirstChannel; !group.IsPinned && c < group.FirstChannel + group.Count; c++)
            {
                if (frozen[c])
                {
                    changed = true;
                    _live[c] = false;
                    Logs[c] = X[c] = InverseX[c] = 0;
                }
            }

            if (changed)
            {
                Commit(group.Index);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Read(Span<double> logFactors)
    {
        logFactors.Clear();
        var norm = _plan.Problem.FactorExponent;
        for (var g = 0; g < _plan.Groups.Count; g++)
        {
            var group = _plan.Groups[g].Group;
            var live = Live(group.Index);
            var reference = _references[group.Index];
            var logs = Logs + group.FirstChannel;
            var read = logFactors.Slice(group.FirstChannel, group.Count);
            for (var c = 0; !group.IsPinned && c < read.Length; c++)
            {
                read[c] = live[c] ? (reference + logs[c]) / norm : 0;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Write(ReadOnlySpan<double> logFactors)
    {
        var norm = _plan.Problem.FactorExponent;
        for (var g = 0; g < _plan.Groups.Count; g++)
        {
            var group = _plan.Groups[g].Group;
            if (group.IsPinned)
            {
                continue;
            }

            var live = Live(group.Index);
            var logs = Logs + group.FirstChannel;
            var written = logFactors.Slice(group.FirstChannel, group.Count);
            for (var c = 0; c < written.Length; c++)
            {
                logs[c] = live[c] ? norm * written[c] : 0;
            }

            _references[group.Index] = 0;
            Commit(group.Index);
        }
    }

    /// <summary>Centres v, recomputes x, and makes every sum over the group stale.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Commit(int group)
    {
        AreOne = false;
        var first = _plan.Groups[group].Group.FirstChannel;
        var count = _plan.Groups[group].Group.Count;
        var live = Live(group);
        var allLive = !live.Contains(false);
        var (low, high) = allLive ? Range(Logs + first, count) : Range(Logs + first, live);
        _versions[group]++;
        if (low > high)
        {
            return; // nothing in this group moves
        }

        var centre = (low + high) / 2;
        _references[group] += centre;
        Exponentials(first, count, centre, high - centre);
        for (var c = 0; !allLive && c < count; c++)
        {
            if (!live[c])
            {
                Logs[first + c] = X[first + c] = InverseX[first + c] = 0;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static (double Low, double High) Range(double* logs, int count)
    {
        var (low, high) = (double.PositiveInfinity, double.NegativeInfinity);
        var c = 0;
        if (count >= Vector<double>.Count)
        {
            var (lows, highs) = (Vector.Load(logs), Vector.Load(logs));
            for (; c <= count - Vector<double>.Count; c += Vector<double>.Count)
            {
                lows = Vector.MinNative(lows, Vector.Load(logs + c));
                highs = Vector.MaxNative(highs, Vector.Load(logs + c));
            }

            for (var lane = 0; lane < Vector<double>.Count; lane++)
            {
                low = Math.Min(low, lows[lane]);
                high = Math.Max(high, highs[lane]);
            }
        }

        for (; c < count; c++)
        {
            low = Math.Min(low, logs[c]);
            high = Math.Max(high, logs[c]);
        }

        return (low, high);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static (double Low, double High) Range(double* logs, ReadOnlySpan<bool> live)
    {
        var (low, high) = (double.PositiveInfinity, double.NegativeInfinity);
        for (var c = 0; c < live.Length; c++)
        {
            if (live[c])
            {
                low = Math.Min(low, logs[c]);
                high = Math.Max(high, logs[c]);
            }
        }

        return (low, high);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Exponentials(int first, int count, double centre, double radius)
    {
        var c = first;
        if (radius <= VectorMath.LargestExponent)
        {
            // Frozen channels may lie outside the radius: what they get is replaced afterwards.
            for (; c <= first + count - Vector<double>.Count; c += Vector<double>.Count)
            {
                var logs = Vector.Load(Logs + c) - new Vector<double>(centre);
                var x = VectorMath.Exp(logs);
                logs.Store(Logs + c);
                x.Store(X + c);
                (Vector<double>.One / x).Store(InverseX + c);
            }
        }

        for (; c < first + count; c++)
        {
            Logs[c] -= centre;
            X[c] = Math.Exp(Logs[c]);
            InverseX[c] = 1 / X[c];
        }
    }
}
