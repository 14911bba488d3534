using System.Runtime.InteropServices;
using EquiNorm.Backends;
using EquiNorm.Plan;

namespace EquiNorm.Solve;

/// <summary>
/// The coarse correction: minimises sum_e N_e exp(p (s_out(e) - s_in(e))) over one scalar s_g per group, s = 0 where nothing moves.
/// A damped Newton method, started from the better of s = 0 and the least-squares fit that makes all norms equal (on a chain that fit is
/// the minimiser). Never returns a point with a larger value than s = 0.
/// </summary>
internal sealed class CoarseSolver
{
    // Newton converges quadratically once the norms agree within a factor of e; before that each step gains about 1/p.
    private const int MaxSteps = 60;

    private readonly double _norm;
    private readonly int[] _variable;
    private readonly int[] _groupOf;
    private readonly SparseCholesky _factorization;
    private readonly double[] _gradient;
    private readonly double[] _step;
    private readonly double[] _best;
    private readonly double[] _trial;
    private readonly List<Term> _terms = [];

    public CoarseSolver(RescalingPlan plan)
    {
        _norm = plan.Problem.FactorExponent;
        _variable = new int[plan.Groups.Count];
        Array.Fill(_variable, -1);
        _groupOf = [.. plan.Groups.Where(g => !g.Group.IsPinned && g.Group.Count > 0).Select(g => g.Group.Index)];
        for (var v = 0; v < _groupOf.Length; v++)
        {
            _variable[_groupOf[v]] = v;
        }

        _factorization = new SparseCholesky(_groupOf.Length, Couplings(plan));
        _gradient = new double[_groupOf.Length];
        _step = new double[_groupOf.Length];
        _best = new double[_groupOf.Length];
        _trial = new double[_groupOf.Length];
    }

    /// <summary>Writes the shift of each group, 0 where nothing moves.</summary>
    /// <param name="edges">The norms of all blocks.</param>
    /// <param name="shifts">Receives one number per group.</param>
    /// <param name="stays">Groups that stay where they are; empty for none.</param>
    public void Minimize(List<CoarseEdge> edges, Span<double> shifts, ReadOnlySpan<bool> stays = default)
    {
        shifts.Clear();
        if (!Collect(edges, stays))
        {
            return;
        }

        Array.Clear(_best);
        var value = Value(_best);
        if (LeastSquares(_trial) && Value(_trial) is var fitted && fitted < value)
        {
            _trial.CopyTo(_best, 0);
            value = fitted;
        }

        for (var step = 0; step < MaxSteps && NewtonStep(ref value); step++)
        {
        }

        for (var v = 0; v < _groupOf.Length; v++)
        {
            shifts[_groupOf[v]] = _best[v];
        }
    }

    /// <summary>Writes the shifts that make all norms as equal as can be, in the squares of their logarithms; false if there are none.</summary>
    public bool Fit(List<CoarseEdge> edges, Span<double> shifts)
    {
        shifts.Clear();
        if (!Collect(edges, default) || !LeastSquares(_trial))
        {
            return false;
        }

        for (var v = 0; v < _groupOf.Length; v++)
        {
            shifts[_groupOf[v]] = _trial[v];
        }

        return true;
    }

    private bool NewtonStep(ref double value)
    {
        Array.Clear(_gradient);
        _factorization.Clear();
        foreach (ref readonly var term in CollectionsMarshal.AsSpan(_terms))
        {
            var n = Math.Exp(term.LogNorm + _norm * Difference(term, _best));
            Accumulate(term, n, n);
        }

        _gradient.CopyTo(_step, 0);
        if (!_factorization.Solve(_step))
        {
            return false;
        }

        // Newton decrement: half of it is the decrease that the quadratic model expects.
        double decrement = 0;
        for (var v = 0; v < _step.Length; v++)
        {
            decrement += _gradient[v] * _step[v];
        }

        if (!(decrement > 1e-16 * value))
        {
            return false;
        }

        for (double length = 1; length > 1e-6; length /= 2)
        {
            for (var v = 0; v < _step.Length; v++)
            {
                _trial[v] = _best[v] - length / _norm * _step[v];
            }

            var next = Value(_trial);
            if (next <= value - 0.1 * length * decrement)
            {
                _trial.CopyTo(_best, 0);
                value = next;
                return true;
            }
        }

        return false;
    }

    // s with log N_e + p (s_out - s_in) = kappa in the least-squares sense, kappa free too.
    private bool LeastSquares(double[] s)
    {
        if (!FitLaplacian(useNorms: true, s) || !FitLaplacian(useNorms: false, _gradient))
        {
            return false;
        }

        // r(kappa) = (log N + p B s) + kappa (p B t - 1), with t = _gradient the fit of the constant 1.
        double numerator = 0;
        double denominator = 0;
        foreach (ref readonly var term in CollectionsMarshal.AsSpan(_terms))
        {
            var constant = term.LogNorm + _norm * Difference(term, s);
            var slope = _norm * Difference(term, _gradient) - 1;
            numerator -= constant * slope;
            denominator += slope * slope;
        }

        var kappa = denominator > 0 ? numerator / denominator : 0;
        for (var v = 0; v < s.Length; v++)
        {
            s[v] += kappa * _gradient[v];
        }

        return true;
    }

    // Minimises sum_e (p (s_out - s_in) - target_e)^2 with target -log N_e, or 1.
    private bool FitLaplacian(bool useNorms, double[] s)
    {
        Array.Clear(_step);
        _factorization.Clear();
        foreach (ref readonly var term in CollectionsMarshal.AsSpan(_terms))
        {
            var target = useNorms ? -term.LogNorm : 1;
            _factorization.Add(term.Output, term.Input, 1);
            if (term.Output >= 0)
            {
                _step[term.Output] += target / _norm;
            }

            if (term.Input >= 0)
            {
                _step[term.Input] -= target / _norm;
            }
        }

        if (!_factorization.Solve(_step))
        {
            return false;
        }

        _step.CopyTo(s, 0);
        return true;
    }

    private void Accumulate(in Term term, double gradient, double curvature)
    {
        _factorization.Add(term.Output, term.Input, curvature);
        if (term.Output >= 0)
        {
            _gradient[term.Output] += gradient;
        }

        if (term.Input >= 0)
        {
            _gradient[term.Input] -= gradient;
        }
    }

    private double Value(double[] s)
    {
        double value = 0;
        foreach (ref readonly var term in CollectionsMarshal.AsSpan(_terms))
        {
            value += Math.Exp(term.LogNorm + _norm * Difference(term, s));
        }

        return double.IsNaN(value) ? double.PositiveInfinity : value;
    }

    private static double Difference(in Term term, double[] s) =>
        (term.Output >= 0 ? s[term.Output] : 0) - (term.Input >= 0 ? s[term.Input] : 0);

    // Keeps the edges whose value depends on s, relative to the largest of them.
    private bool Collect(List<CoarseEdge> edges, ReadOnlySpan<bool> stays)
    {
        _terms.Clear();
        var largest = double.NegativeInfinity;
        foreach (var edge in edges)
        {
            var output = Variable(edge.OutputGroup, stays);
            var input = Variable(edge.InputGroup, stays);
            if (output != input && double.IsFinite(edge.LogNorm))
            {
                _terms.Add(new Term(output, input, edge.LogNorm));
                largest = Math.Max(largest, edge.LogNorm);
            }
        }

        foreach (ref var term in CollectionsMarshal.AsSpan(_terms))
        {
            term = term with { LogNorm = term.LogNorm - largest };
        }

        return _terms.Count > 0;
    }

    private int Variable(int group, ReadOnlySpan<bool> stays) => group < 0 || (!stays.IsEmpty && stays[group]) ? -1 : _variable[group];

    private HashSet<(int, int)> Couplings(RescalingPlan plan)
    {
        var couplings = new HashSet<(int, int)>();
        foreach (var weight in plan.Weights)
        {
            foreach (var output in weight.Segments(Axis.Output))
            {
                foreach (var input in weight.Segments(Axis.Input))
                {
                    var (a, b) = (_variable[output.Group], _variable[input.Group]);
                    if (a >= 0 && b >= 0 && a != b)
                    {
                        couplings.Add((Math.Min(a, b), Math.Max(a, b)));
                    }
                }
            }
        }

        return couplings;
    }

    private readonly record struct Term(int Output, int Input, double LogNorm);
}
