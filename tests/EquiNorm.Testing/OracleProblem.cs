using EquiNorm.Model;

namespace EquiNorm.Testing;

/// <summary>One connection: x = exp(LogEnergy + p (u[Output] - u[Input])), penalty included.</summary>
public readonly record struct OracleEdge(int Output, int Input, double LogEnergy, int Weight);

/// <summary>Why a channel of a free group keeps its factor.</summary>
public enum OracleFreeze
{
    /// <summary>It does not.</summary>
    None,

    /// <summary>All weights in front of it or all weights behind it are 0.</summary>
    Dead,

    /// <summary>No walk of non-zero weights from, or none to, a pinned or dead channel.</summary>
    Unreachable,
}

/// <summary>
/// F(u) = C + sum over edges of exp(logE + p (u_out - u_in)), as a plain list of edges in float64, with its derivatives. Kernel
/// positions are summed once, self-edges are the constant C. Written from the text, apart from the product's solver; the oracle of its tests.
/// At p = infinity the largest takes the place of sums, and F is the sum of every weight's largest.
/// </summary>
public sealed class OracleProblem
{
    private readonly List<OracleEdge> _edges = [];
    private readonly Dictionary<int, double> _selfEdges = [];
    private double _logConstant = double.NegativeInfinity;

    /// <param name="tensors">Elements of every weight that counts.</param>
    /// <param name="norm">The exponent p.</param>
    /// <param name="logPenalties">log lambda of every weight; null for 0.</param>
    /// <param name="counts">Which weights are part of F; null for all but biases.</param>
    public OracleProblem(NetworkTensors tensors, double norm = 2, double[]? logPenalties = null, Func<Weight, bool>? counts = null)
    {
        Network = tensors.Network;
        Norm = norm;
        foreach (var weight in Network.Weights.Where(counts ?? (w => w.Role == WeightRole.Weight)))
        {
            AddEdges(weight, tensors[weight.Index], logPenalties?[weight.Index] ?? 0);
        }

        IsPinned = new bool[Network.ChannelCount];
        foreach (var group in Network.Groups.Where(g => g.IsPinned))
        {
            Array.Fill(IsPinned, true, group.FirstChannel, group.Count);
        }

        Frozen = FindFrozen();
        IsFree = [.. Frozen.Zip(IsPinned, (f, p) => f == OracleFreeze.None && !p)];
    }

    public Network Network { get; }

    public double Norm { get; }

    public bool TakesLargest => double.IsPositiveInfinity(Norm);

    /// <summary>The power of a factor in an energy.</summary>
    public double Exponent => TakesLargest ? 1 : Norm;

    public IReadOnlyList<OracleEdge> Edges => _edges;

    public bool[] IsPinned { get; }

    /// <summary>For each channel of a free group whether it is frozen, and why.</summary>
    public OracleFreeze[] Frozen { get; }

    /// <summary>The unknowns: neither pinned nor frozen.</summary>
    public bool[] IsFree { get; }

    /// <summary>log F(u).</summary>
    public double LogObjective(ReadOnlySpan<double> u)
    {
        var largest = _logConstant;
        foreach (var edge in _edges)
        {
            largest = Math.Max(largest, LogFlow(edge, u));
        }

        if (double.IsNegativeInfinity(largest))
        {
            return largest;
        }

        var sum = new CompensatedSum();
        sum.Add(Math.Exp(_logConstant - largest));
        foreach (var edge in _edges)
        {
            sum.Add(Math.Exp(LogFlow(edge, u) - largest));
        }

        return largest + Math.Log(sum.Value);
    }

    /// <summary>F(u).</summary>
    public double Objective(ReadOnlySpan<double> u)
    {
        if (TakesLargest)
        {
            var largest = new Dictionary<int, double>(_selfEdges);
            foreach (var edge in _edges)
            {
                largest[edge.Weight] = Math.Max(largest.GetValueOrDefault(edge.Weight, double.NegativeInfinity), LogFlow(edge, u));
            }

            return largest.Values.Sum(Math.Exp);
        }

        var sum = new CompensatedSum();
        sum.Add(Math.Exp(_logConstant));
        foreach (var edge in _edges)
        {
            sum.Add(Math.Exp(LogFlow(edge, u)));
        }

        return sum.Value;
    }

    public double LogFlow(OracleEdge edge, ReadOnlySpan<double> u) => edge.LogEnergy + Exponent * (u[edge.Output] - u[edge.Input]);

    /// <summary>
    /// max |log(a / b)| / p over the unknowns, a and b the incoming and outgoing sums; within |u| &lt;= <paramref name="limit"/> twice the way
    /// to the nearest allowed point from which no step to the own minimum leads on.
    /// </summary>
    public double Residual(ReadOnlySpan<double> u, double limit = double.PositiveInfinity)
    {
        var (incoming, outgoing) = LogSums(u);
        var residual = 0.0;
        for (var c = 0; c < u.Length; c++)
        {
            if (IsFree[c])
            {
                var wanted = u[c] + (outgoing[c] - incoming[c]) / (2 * Exponent);
                residual = Math.Max(residual, double.IsFinite(limit)
                    ? 2 * Math.Abs(Math.Clamp(wanted, -limit, limit) - u[c]) : Math.Abs(incoming[c] - outgoing[c]) / Exponent);
            }
        }

        return residual;
    }

    /// <summary>Logarithms of the incoming and outgoing sums of every channel.</summary>
    public (double[] Incoming, double[] Outgoing) LogSums(ReadOnlySpan<double> u)
    {
        var (incoming, outgoing) = (new double[u.Length], new double[u.Length]);
        var (topIn, topOut) = (new double[u.Length], new double[u.Length]);
        Array.Fill(topIn, double.NegativeInfinity);
        Array.Fill(topOut, double.NegativeInfinity);
        foreach (var edge in _edges)
        {
            var x = LogFlow(edge, u);
            topIn[edge.Output] = Math.Max(topIn[edge.Output], x);
            topOut[edge.Input] = Math.Max(topOut[edge.Input], x);
        }

        foreach (var edge in _edges)
        {
            var x = LogFlow(edge, u);
            incoming[edge.Output] += Math.Exp(x - topIn[edge.Output]);
            outgoing[edge.Input] += Math.Exp(x - topOut[edge.Input]);
        }

        for (var c = 0; c < u.Length; c++)
        {
            incoming[c] = topIn[c] + (TakesLargest ? 0 : Math.Log(incoming[c]));
            outgoing[c] = topOut[c] + (TakesLargest ? 0 : Math.Log(outgoing[c]));
        }

        return (incoming, outgoing);
    }

    private unsafe void AddEdges(Weight weight, TensorMemory memory, double logPenalty)
    {
        var outputs = weight.Outputs.ToChannels(Network.Groups);
        var inputs = weight.Inputs.ToChannels(Network.Groups);
        var elements = new Dictionary<(int, int), List<double>>();
        foreach (var (o, i, at) in TestNetwork.Elements(weight.Layout))
        {
            var value = Math.Abs(Read(memory, at));
            if (!weight.OutputScale.IsEmpty)
            {
                value *= Math.Abs(weight.OutputScale.Span[o]);
            }

            if (!elements.TryGetValue((o, i), out var list))
            {
                elements.Add((o, i), list = []);
            }

            list.Add(value);
        }

        foreach (var ((o, i), values) in elements)
        {
            var largest = values.Max();
            if (largest == 0)
            {
                continue;
            }

            var logEnergy = logPenalty + (TakesLargest ? Math.Log(largest) : Norm * Math.Log(largest) + Math.Log(values.Sum(v => Math.Pow(v / largest, Norm))));
            if (outputs[o] == inputs[i])
            {
                var top = Math.Max(_logConstant, logEnergy);
                _logConstant = top + Math.Log(Math.Exp(_logConstant - top) + Math.Exp(logEnergy - top));
                _selfEdges[weight.Index] = Math.Max(_selfEdges.GetValueOrDefault(weight.Index, double.NegativeInfinity), logEnergy);
            }
            else
            {
                _edges.Add(new OracleEdge(outputs[o], inputs[i], logEnergy, weight.Index));
            }
        }
    }

    private static unsafe double Read(TensorMemory memory, long index) => memory.ElementType switch
    {
        ElementType.Float32 => ((float*)memory.Address)[index],
        ElementType.Float64 => ((double*)memory.Address)[index],
        ElementType.Float16 => (double)((Half*)memory.Address)[index],
        _ => BitConverter.UInt32BitsToSingle((uint)((ushort*)memory.Address)[index] << 16),
    };

    private OracleFreeze[] FindFrozen()
    {
        var count = Network.ChannelCount;
        var (hasSource, hasSink) = (new bool[count], new bool[count]);
        foreach (var edge in _edges)
        {
            hasSource[edge.Output] = true;
            hasSink[edge.Input] = true;
        }

        var frozen = new OracleFreeze[count];
        for (var c = 0; c < count; c++)
        {
            frozen[c] = !IsPinned[c] && !(hasSource[c] && hasSink[c]) ? OracleFreeze.Dead : OracleFreeze.None;
        }

        var anchors = Enumerable.Range(0, count).Where(c => IsPinned[c] || frozen[c] == OracleFreeze.Dead).ToArray();
        var forward = Reach(anchors, _edges.ToLookup(e => e.Input, e => e.Output));
        var backward = Reach(anchors, _edges.ToLookup(e => e.Output, e => e.Input));
        for (var c = 0; c < count; c++)
        {
            if (!IsPinned[c] && frozen[c] == OracleFreeze.None && !(forward[c] && backward[c]))
            {
                frozen[c] = OracleFreeze.Unreachable;
            }
        }

        return frozen;
    }

    private bool[] Reach(int[] from, ILookup<int, int> next)
    {
        var seen = new bool[Network.ChannelCount];
        var queue = new Queue<int>(from);
        foreach (var c in from)
        {
            seen[c] = true;
        }

        while (queue.TryDequeue(out var c))
        {
            foreach (var n in next[c].Where(n => !seen[n]))
            {
                seen[n] = true;
                queue.Enqueue(n);
            }
        }

        return seen;
    }
}

/// <summary>Neumaier's sum.</summary>
public struct CompensatedSum
{
    private double _sum;
    private double _lost;

    public readonly double Value => double.IsFinite(_sum) ? _sum + _lost : _sum;

    public void Add(double term)
    {
        var total = _sum + term;
        _lost += Math.Abs(_sum) >= Math.Abs(term) ? _sum - total + term : term - total + _sum;
        _sum = total;
    }
}
