namespace EquiNorm.Testing;

/// <summary>
/// One step by the text, apart from the product's, and how well it is determined. The shifts z_g = p s_g of whole groups minimise
/// Phi(z) = sum N exp(z_out - z_in), then all channels move at once, u_c = s_g + log(b_c / a_c) / (2 p).
/// <para>
/// A correction ends where Phi no longer falls, within a share <see cref="CoarseGap"/> of its minimum: z is then off by some dz with
/// dz^T H dz &lt;= 2 <see cref="CoarseGap"/>, H the Hessian relative to Phi. The update of channels makes p du_c = P_c dz of it,
/// P_c dz = (sum_in x_e dz_in / a_c + sum_out x_e dz_out / b_c) / 2, so p |du_c| &lt;= sqrt(2 <see cref="CoarseGap"/> P_c H^-1 P_c^T):
/// channels next to groups of little flow are hardly determined, all others to seven digits or more.
/// </para>
/// </summary>
public sealed class StepLaw
{
    /// <summary>
    /// What a correction leaves of its objective, at most: it ends at a Newton decrement of 1e-16, or where a decrease drowns in the rounding
    /// of a sum of some ten terms.
    /// </summary>
    public const double CoarseGap = 1e-14;

    // Sums, logarithms and exponentials, relative to log factors of some tens.
    private const double Rounding = 1e-12;

    // Where more than this is allowed, the first order of it all says nothing.
    private const double Determined = 1e-2;

    private readonly OracleProblem _problem;
    private readonly int[] _groupOf;
    private readonly int _groups;
    private readonly Term[] _terms;
    private readonly SkylineCholesky _cholesky;

    /// <param name="problem">The problem at the weights before the step; p is finite.</param>
    public StepLaw(OracleProblem problem)
    {
        _problem = problem;
        _groupOf = new int[problem.Network.ChannelCount];
        Array.Fill(_groupOf, -1);
        foreach (var group in problem.Network.Groups)
        {
            var free = Enumerable.Range(group.FirstChannel, group.Count).Where(c => problem.IsFree[c]).ToArray();
            foreach (var c in free)
            {
                _groupOf[c] = _groups;
            }

            _groups += free.Length > 0 ? 1 : 0;
        }

        _terms = [.. problem.Edges
            .GroupBy(e => (Output: _groupOf[e.Output], Input: _groupOf[e.Input]), e => e.LogEnergy)
            .Where(g => g.Key.Output != g.Key.Input)
            .Select(g => new Term(g.Key.Output, g.Key.Input, LogSum(g)))];
        _cholesky = new SkylineCholesky(_groups, _terms.Where(t => t.Output >= 0 && t.Input >= 0).Select(t => (t.Output, t.Input)));
        (LogFactors, Tolerances, LeastResidual, LargestResidual) = Update(Minimize());
    }

    /// <summary>u after the step.</summary>
    public double[] LogFactors { get; }

    /// <summary>By how much a step's may differ from that; infinite where they are not determined.</summary>
    public double[] Tolerances { get; }

    /// <summary>The smallest residual that a step may report: it belongs to the moment between the correction and the update.</summary>
    public double LeastResidual { get; }

    /// <summary>The largest one.</summary>
    public double LargestResidual { get; }

    /// <summary>The largest difference from the law in units of what is allowed: at most 1 for a step that is right, NaN counted as infinite.</summary>
    public double Excess(ReadOnlySpan<double> logFactors)
    {
        var largest = logFactors.Length == LogFactors.Length ? 0.0 : double.PositiveInfinity;
        for (var c = 0; c < logFactors.Length; c++)
        {
            var excess = _problem.IsFree[c] || logFactors[c] != 0 ? Math.Abs(logFactors[c] - LogFactors[c]) / Tolerances[c] : 0;
            largest = double.IsNaN(excess) ? double.PositiveInfinity : Math.Max(largest, excess);
        }

        return largest;
    }

    // Each group in turn to its own minimum, which copes with norms of any range, then Newton's method to the last digit.
    private double[] Minimize()
    {
        var z = new double[_groups];
        for (var cycle = 0; cycle < 100; cycle++)
        {
            for (var v = 0; v < _groups; v++)
            {
                z[v] += (LogSum(_terms.Where(t => t.Input == v).Select(t => t.Log(z))) - LogSum(_terms.Where(t => t.Output == v).Select(t => t.Log(z)))) / 2;
            }
        }

        for (var step = 0; step < 200; step++)
        {
            var value = LogSum(_terms.Select(t => t.Log(z)));
            var right = new double[_groups];
            foreach (var term in _terms)
            {
                var norm = Math.Exp(term.Log(z) - value);
                Add(right, term.Output, -norm);
                Add(right, term.Input, norm);
            }

            var way = Solve(z, value, right);
            var length = 1.0;
            while (length > 1e-3 && !(LogSum(_terms.Select(t => t.Log(Moved(z, way, length)))) <= value + 1e-15 * (1 + Math.Abs(value))))
            {
                length /= 2;
            }

            if (length <= 1e-3 || way.All(w => Math.Abs(w) <= 1e-15))
            {
                break;
            }

            z = Moved(z, way, length);
        }

        return z;
    }

    private (double[] LogFactors, double[] Tolerances, double LeastResidual, double LargestResidual) Update(double[] z)
    {
        var (p, value) = (_problem.Norm, LogSum(_terms.Select(t => t.Log(z))));
        var u = new double[_groupOf.Length];
        var tolerances = new double[u.Length];
        for (var c = 0; c < u.Length; c++)
        {
            u[c] = _groupOf[c] >= 0 ? z[_groupOf[c]] / p : 0;
        }

        var (shifted, inverse) = ((double[])u.Clone(), Inverse(z, value));
        var (incoming, outgoing) = _problem.LogSums(shifted);
        var influence = Enumerable.Range(0, u.Length).Select(_ => new double[_groups]).ToArray();
        foreach (var edge in _problem.Edges)
        {
            var flow = _problem.LogFlow(edge, shifted);
            Add(influence[edge.Output], _groupOf[edge.Input], Math.Exp(flow - incoming[edge.Output]) / 2);
            Add(influence[edge.Input], _groupOf[edge.Output], Math.Exp(flow - outgoing[edge.Input]) / 2);
        }

        var (least, largest) = (0.0, 0.0);
        for (var c = 0; c < u.Length; c++)
        {
            if (_groupOf[c] < 0)
            {
                continue;
            }

            var imbalance = (outgoing[c] - incoming[c]) / p;
            u[c] += imbalance / 2;
            tolerances[c] = Allowed(influence[c]) + Rounding * (1 + Math.Abs(u[c]));

            // The imbalance before the update changes by (2 P_c dz - 2 dz_g) / p.
            influence[c][_groupOf[c]] -= 1;
            var allowed = 2 * Allowed(influence[c]) + Rounding * (1 + Math.Abs(imbalance));
            least = Math.Max(least, Math.Abs(imbalance) - allowed);
            largest = Math.Max(largest, Math.Abs(imbalance) + allowed);
        }

        return (u, tolerances, least, largest);

        double Allowed(double[] row)
        {
            double square = 0;
            foreach (var (v, r) in row.Index().Where(r => r.Item != 0))
            {
                square += r * inverse[v].Zip(row, (i, other) => i * other).Sum();
            }

            var allowed = Math.Sqrt(2 * CoarseGap * Math.Max(0, square)) / p;
            return allowed <= Determined ? allowed : double.PositiveInfinity;
        }
    }

    private double[][] Inverse(double[] z, double value) => [.. Enumerable.Range(0, _groups).Select(v =>
    {
        var unit = new double[_groups];
        unit[v] = 1;
        return Solve(z, value, unit);
    })];

    // H x = b, H = sum exp(log N + z_out - z_in - value) b b^T.
    private double[] Solve(double[] z, double value, double[] right)
    {
        var diagonal = new double[_groups];
        foreach (var term in _terms)
        {
            Add(diagonal, term.Output, Math.Exp(term.Log(z) - value));
            Add(diagonal, term.Input, Math.Exp(term.Log(z) - value));
        }

        return _cholesky.Solve(
            diagonal,
            _terms.Where(t => t.Output >= 0 && t.Input >= 0).Select(t => (t.Output, t.Input, -Math.Exp(t.Log(z) - value))),
            (double[])right.Clone());
    }

    private static double[] Moved(double[] z, double[] way, double length) => [.. z.Zip(way, (a, b) => a + length * b)];

    private static void Add(double[] to, int index, double value)
    {
        if (index >= 0)
        {
            to[index] += value;
        }
    }

    private static double LogSum(IEnumerable<double> logs)
    {
        var terms = logs.ToArray();
        var largest = terms.DefaultIfEmpty(double.NegativeInfinity).Max();
        return double.IsFinite(largest) ? largest + Math.Log(terms.Sum(t => Math.Exp(t - largest))) : largest;
    }

    private readonly record struct Term(int Output, int Input, double LogNorm)
    {
        public double Log(double[] z) => LogNorm + (Output >= 0 ? z[Output] : 0) - (Input >= 0 ? z[Input] : 0);
    }
}
