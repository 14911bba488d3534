using System.Numerics;
using System.Runtime.CompilerServices;
using EquiNorm.Backends;
using EquiNorm.Plan;

namespace EquiNorm.Solve;

/// <summary>
/// A lower bound on the optimum, from a conserved flow. With x_e = lambda_t |w_e|^p exp(p (u_out - u_in)) the current flow on edge e and
/// any y_e = rho_e x_e >= 0 that is conserved at every channel that may move, weak duality gives
/// F* >= S exp(-T / S), S = sum_e y_e, T = sum_e y_e log rho_e. The flow is made in one pass, group by group: see
/// <see cref="CertificateOrder"/>.
/// </summary>
/// <remarks>
/// Within a limit |u_c| &lt;= L a flow need not be conserved. With beta_c its inflow less its outflow, the same duality has the term
/// p sum_c u_c beta_c, which is at least -p L sum_c |beta_c| for any factors within the limit, hence F* >= S exp(-(T + P) / S),
/// P = p sum_c (L |beta_c| + u_c beta_c), u the current point. A channel at its limit that would move on beyond it has beta of the sign
/// that makes its share of P zero: it keeps rho = 1, like a pinned one. All others are balanced, and add nothing to P.
/// </remarks>
internal sealed class Certificate
{
    // Where four terms of the series of log(1 + x) are exact to rounding.
    private const double NearOne = 0.01;

    private readonly RescalingState _state;
    private readonly RescalingPlan _plan;
    private readonly GainLimit _limit;
    private readonly double[] _factors;
    private readonly double[] _rho;
    private readonly List<SumRef> _requests = [];
    private readonly double[] _inflow;
    private readonly double[] _kept;
    private readonly double[] _carried;

    // By weight and segment of the carriers' axis: whether the sum over that segment runs over carriers, and whether it was probed.
    private readonly bool[][] _isCarried;
    private readonly bool[][] _isProbed;

    public Certificate(RescalingState state, GainLimit limit)
    {
        _state = state;
        _plan = state.Plan;
        _limit = limit;
        _factors = new double[limit.Exists ? _plan.Problem.Network.ChannelCount : 0];
        _rho = new double[_plan.Problem.Network.ChannelCount];
        var widest = _plan.Groups.Select(g => g.Group.Count).DefaultIfEmpty().Max();
        _inflow = new double[widest];
        _kept = new double[widest];
        _carried = new double[widest];
        _isCarried = [.. _plan.Weights.Select(Flags)];
        _isProbed = [.. _plan.Weights.Select(Flags)];

        static bool[] Flags(PlannedWeight weight) =>
            new bool[Math.Max(weight.Segments(Axis.Output).Length, weight.Segments(Axis.Input).Length)];
    }

    /// <summary>
    /// log of the lower bound, or null if no bound can be had at this point. Most sums that the residual needs become valid on the way.
    /// </summary>
    /// <param name="order">The direction.</param>
    /// <param name="edges">The norms of all blocks at the current factors.</param>
    /// <param name="logObjective">log F at the current factors; flows are taken relative to F.</param>
    public double? LogLowerBound(CertificateOrder order, List<CoarseEdge> edges, double logObjective)
    {
        Prepare(order);
        if (_limit.Exists)
        {
            _state.ReadLogFactors(_factors);
        }

        RefreshNearSums(order);
        double s = 0;
        double t = 0;
        var bounded = true;
        foreach (var group in order.Groups)
        {
            ProbeInflow(order, group);
            bounded &= Balance(order, group, logObjective, ref s, ref t);
        }

        if (!bounded)
        {
            return null;
        }

        // Edges that start at channels which do not move keep their flow.
        var forward = order.CarrierAxis == Axis.Input;
        foreach (var edge in edges)
        {
            if ((forward ? edge.InputGroup : edge.OutputGroup) < 0)
            {
                s += Math.Exp(edge.LogNorm - logObjective);
            }
        }

        return s > 0 && double.IsFinite(t) ? logObjective + Math.Log(s) - t / s : null;
    }

    private void Prepare(CertificateOrder order)
    {
        Array.Fill(_rho, 1.0);
        for (var t = 0; t < _isCarried.Length; t++)
        {
            Array.Clear(_isCarried[t]);
            Array.Clear(_isProbed[t]);
        }

        foreach (var group in order.Groups)
        {
            var incident = _plan.Groups[group].Incident(order.CarrierAxis);
            var carriers = order.Carriers(group);
            for (var i = 0; i < incident.Length; i++)
            {
                _isCarried[incident[i].Weight][incident[i].Segment] |= carriers[i];
            }
        }
    }

    // Denominators of rho: the sums on the carriers' axis, at the current factors.
    private void RefreshNearSums(CertificateOrder order)
    {
        _requests.Clear();
        foreach (var group in order.Groups)
        {
            foreach (var incident in _plan.Groups[group].Incident(order.CarrierAxis))
            {
                for (var s = 0; s < _plan.Weights[incident.Weight].Segments(Far(order)).Length; s++)
                {
                    _requests.Add(new SumRef(incident.Weight, order.CarrierAxis, s));
                }
            }
        }

        _state.Refresh(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_requests));
    }

    // Inflow needs the sums over the carriers' channels weighted by rho; all others as they are.
    private void ProbeInflow(CertificateOrder order, int group)
    {
        var far = Far(order);
        _requests.Clear();
        foreach (var incident in _plan.Groups[group].Incident(far))
        {
            for (var s = 0; s < _plan.Weights[incident.Weight].Segments(order.CarrierAxis).Length; s++)
            {
                if (_isCarried[incident.Weight][s] && !_isProbed[incident.Weight][s])
                {
                    _isProbed[incident.Weight][s] = true;
                    _requests.Add(new SumRef(incident.Weight, far, s));
                }
            }
        }

        if (_requests.Count > 0)
        {
            _state.Probe(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_requests), _rho);
        }

        _requests.Clear();
        foreach (var incident in _plan.Groups[group].Incident(far))
        {
            for (var s = 0; s < _plan.Weights[incident.Weight].Segments(order.CarrierAxis).Length; s++)
            {
                if (!_isCarried[incident.Weight][s])
                {
                    _requests.Add(new SumRef(incident.Weight, far, s));
                }
            }
        }

        _state.Refresh(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_requests));
    }

    // Sets rho of the group's channels; false if some channel cannot be balanced.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool Balance(CertificateOrder order, int group, double logObjective, ref double s, ref double t)
    {
        var channels = _plan.Groups[group].Group;
        var inflow = Cleared(_inflow);
        var kept = Cleared(_kept);
        var carried = Cleared(_carried);
        foreach (var incident in _plan.Groups[group].Incident(Far(order)))
        {
            AddFlow(incident, Far(order), logObjective, probed: true, inflow);
        }

        var incidents = _plan.Groups[group].Incident(order.CarrierAxis);
        var carriers = order.Carriers(group);
        for (var i = 0; i < incidents.Length; i++)
        {
            AddFlow(incidents[i], order.CarrierAxis, logObjective, probed: false, carriers[i] ? carried : kept);
        }

        var c = !_limit.Exists && _state.AreLive(channels.FirstChannel, channels.Count)
            ? BalanceNearOne(inflow, kept, carried, _rho.AsSpan(channels.FirstChannel, channels.Count), ref s, ref t)
            : 0;
        for (; c < channels.Count; c++)
        {
            if (!_state.IsLive(channels.FirstChannel + c))
            {
                continue;
            }

            // What comes from the far side less what goes on; into the channel less out of it is that, or its opposite.
            var excess = inflow[c] - kept[c] - carried[c];
            var u = _limit.Exists ? _factors[channels.FirstChannel + c] : 0;
            var imbalance = order.CarrierAxis == Axis.Input ? excess : -excess;
            if (_limit.Exists && _limit.Side(u) * imbalance < 0)
            {
                s += kept[c] + carried[c];
                t += _plan.Problem.Norm * (_limit.Log * Math.Abs(imbalance) + u * imbalance);
                continue;
            }

            var rho = (inflow[c] - kept[c]) / carried[c];
            if (!(rho >= 0) || !double.IsFinite(rho))
            {
                return false;
            }

            _rho[channels.FirstChannel + c] = rho;
            s += kept[c] + rho * carried[c];
            if (rho > 0)
            {
                // Near 1 the logarithm is taken of the exact difference, so that it does not drown in rounding.
                var log = Math.Abs(rho - 1) < 0.5 ? LogOnePlus(excess / carried[c]) : Math.Log(rho);
                t += rho * carried[c] * log;
            }
        }

        return true;

        Span<double> Cleared(double[] room)
        {
            var flow = room.AsSpan(0, channels.Count);
            flow.Clear();
            return flow;
        }
    }

    // Whole vectors of live channels as long as all of them are within a hundredth of balance; returns the first channel that is left to do.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int BalanceNearOne(
        ReadOnlySpan<double> inflow, ReadOnlySpan<double> kept, ReadOnlySpan<double> carried, Span<double> rho, ref double s, ref double t)
    {
        var c = 0;
        var (flows, logs) = (Vector<double>.Zero, Vector<double>.Zero);
        for (; c <= rho.Length - Vector<double>.Count; c += Vector<double>.Count)
        {
            var (into, stays, goes) = (new Vector<double>(inflow[c..]), new Vector<double>(kept[c..]), new Vector<double>(carried[c..]));
            var x = (into - stays - goes) / goes;
            if (!Vector.LessThanAll(Vector.Abs(x), new Vector<double>(NearOne)))
            {
                break; // also where nothing is carried: not a number
            }

            var ratio = (into - stays) / goes;
            ratio.CopyTo(rho[c..]);
            var flow = ratio * goes;
            flows += stays + flow;
            var half = x / (new Vector<double>(2) + x);
            var square = half * half;
            var series = Vector.MultiplyAddEstimate(square, new Vector<double>(1.0 / 7), new Vector<double>(1.0 / 5));
            series = Vector.MultiplyAddEstimate(square, series, new Vector<double>(1.0 / 3));
            series = Vector.MultiplyAddEstimate(square, series, Vector<double>.One);
            logs += flow * (half + half) * series;
        }

        s += Vector.Sum(flows);
        t += Vector.Sum(logs);
        return c;
    }

    // Adds the flow through one weight at each live channel of a group, relative to F.
    private void AddFlow(SegmentRef incident, Axis axis, double logObjective, bool probed, Span<double> flow)
    {
        var other = axis == Axis.Output ? Axis.Input : Axis.Output;
        var weight = _plan.Weights[incident.Weight];
        var segment = weight.Segments(axis)[incident.Segment];
        var first = _plan.Groups[segment.Group].Group.FirstChannel;
        var reference = _state.LogScale(incident.Weight) - logObjective + Sign(axis) * _state.Reference(segment.Group);
        var far = weight.Segments(other);
        for (var s = 0; s < far.Length; s++)
        {
            var sum = new SumRef(incident.Weight, axis, s);
            var sums = probed && _isCarried[incident.Weight][s] ? _state.ProbeSums(sum) : _state.Sums(sum);
            Accumulate(segment, first, sums, _state.Factors(axis), Math.Exp(reference + Sign(other) * _state.Reference(far[s].Group)), flow);
        }

        var constant = _state.FixedSums(incident.Weight, axis);
        if (!constant.IsEmpty)
        {
            Accumulate(segment, first, constant, _state.Factors(axis), Math.Exp(reference), flow);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Accumulate(
        AxisSegment segment, int first, ReadOnlySpan<double> sums, ReadOnlySpan<double> factors, double scale, Span<double> flow)
    {
        sums = sums.Slice(segment.Start, segment.Count);
        if (segment.FirstChannel >= 0)
        {
            factors = factors.Slice(segment.FirstChannel, sums.Length);
            flow = flow.Slice(segment.FirstChannel - first, sums.Length);
            var i = 0;
            var scales = new Vector<double>(scale);
            for (; i <= sums.Length - Vector<double>.Count; i += Vector<double>.Count)
            {
                (new Vector<double>(flow[i..]) + scales * new Vector<double>(factors[i..]) * new Vector<double>(sums[i..])).CopyTo(flow[i..]);
            }

            for (; i < sums.Length; i++)
            {
                flow[i] += scale * factors[i] * sums[i];
            }

            return;
        }

        for (var n = 0; n < sums.Length; n++)
        {
            var channel = segment.Channels[n];
            if (channel >= 0)
            {
                flow[channel - first] += scale * factors[channel] * sums[n];
            }
        }
    }

    private static int Sign(Axis axis) => axis == Axis.Output ? 1 : -1;

    private static Axis Far(CertificateOrder order) => order.CarrierAxis == Axis.Input ? Axis.Output : Axis.Input;

    // log(1 + x), exact for small x: 2 artanh(x / (2 + x)), whose series needs four terms near the optimum; Kahan's formula elsewhere.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static double LogOnePlus(double x)
    {
        if (Math.Abs(x) < NearOne)
        {
            var half = x / (2 + x);
            var square = half * half;
            return 2 * half * (1 + square * (1.0 / 3 + square * (1.0 / 5 + square * (1.0 / 7))));
        }

        var sum = 1 + x;
        return sum == 1 ? x : Math.Log(sum) * x / (sum - 1);
    }
}
