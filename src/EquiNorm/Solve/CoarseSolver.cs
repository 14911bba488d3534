using System.Runtime.InteropServices;
using EquiNorm.Backends;
using EquiNorm.Plan;

namespace EquiNorm.Solve;

/// <summary>When a coarse correction ends.</summary>
internal enum CoarseEnd
{
    /// <summary>F falls by no more than rounding: enough for one step of many. The kernel of the GPU's steps ends there, too.</summary>
    Flat,

    /// <summary>All groups are balanced, those too that carry little of F: a solve that is to converge needs it.</summary>
    Balanced,
}

/// <summary>
/// The coarse correction: minimises sum_e N_e exp(p (s_out(e) - s_in(e))) over one scalar s_g per group, s = 0 where nothing moves.
/// A damped Newton method, started from the better of s = 0 and the least-squares fit that makes all norms equal (on a chain that fit is
/// the minimiser). Never returns a point with a larger value than s = 0, but for rounding.
/// </summary>
internal sealed class CoarseSolver
{
    // Newton converges quadratically once the norms agree within a factor of e; before that each step gains about 1/p.
    private const int MaxSteps = 60;

    // A decrease of F by less than this, relative to F, may be rounding. What is left is judged by the gradient: F may be flat though a group
    // that carries a millionth of it is not balanced to four digits.
    private const double Visible = 1e-13;

    // No decrease at all, in steps.
    private const double Flat = 1e-16;

    // Balanced as far as matters.
    private const double Balanced = 1e-12;

    private readonly double _norm;
    private readonly CoarseEnd _end;
    private readonly int[] _variable;
    private readonly int[] _groupOf;
    private readonly SparseCholesky _factorization;
    private readonly CompensatedSums _gradient;
    private readonly double[] _flow;
    private readonly double[] _step;
    private readonly double[] _constant;
    private readonly double[] _best;
    private readonly double[] _trial;
    private readonly List<Term> _terms = [];

    public CoarseSolver(RescalingPlan plan, CoarseEnd end)
    {
        _end = end;
        _norm = plan.Problem.FactorExponent;
        _variable = new int[plan.Groups.Count];
        Array.Fill(_variable, -1);
        _groupOf = [.. plan.Groups.Where(g => !g.Group.IsPinned && g.Group.Count > 0).Select(g => g.Group.Index)];
        for (var v = 0; v < _groupOf.Length; v++)
        {
            _variable[_groupOf[v]] = v;
        }

        _factorization = new SparseCholesky(_groupOf.Length, Couplings(plan));
        _gradient = new CompensatedSums(_groupOf.Length);
        _flow = new double[_groupOf.Length];
        _step = new double[_groupOf.Length];
        _constant = new double[_groupOf.Length];
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
        _factorization.Clear();
        var imbalance = Imbalance(_best, _factorization);
        if (imbalance <= Balanced || !_factorization.Solve(_gradient, _step))
        {
            return false;
        }

        // Newton decrement: half of it is the decrease that the quadratic model expects.
        double decrement = 0;
        for (var v = 0; v < _step.Length; v++)
        {
            decrement += _gradient[v] * _step[v];
        }

        if (decrement > (_end == CoarseEnd.Flat ? Flat : Visible) * value)
        {
            return Descend(ref value, decrement);
        }

        if (_end == CoarseEnd.Flat)
        {
            return false;
        }

        Move(1);
        var next = Value(_trial);
        if (!(next <= value * (1 + Visible)) || !(Imbalance(_trial, null) < 0.5 * imbalance))
        {
            return false;
        }

        _trial.CopyTo(_best, 0);
        value = next;
        return true;
    }

    private bool Descend(ref double value, double decrement)
    {
        for (double length = 1; length > 1e-6; length /= 2)
        {
            Move(length);
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

    private void Move(double length)
    {
        for (var v = 0; v < _step.Length; v++)
        {
            _trial[v] = _best[v] - length / _norm * _step[v];
        }
    }

    // Sets the gradient; the largest of its elements, each relative to the flow through its group. Adds the curvature, if a place for it is given.
    private double Imbalance(double[] s, SparseCholesky? curvature)
    {
        _gradient.Clear();
        Array.Clear(_flow);
        foreach (ref readonly var term in CollectionsMarshal.AsSpan(_terms))
        {
            var n = Math.Exp(term.LogNorm + _norm * Difference(term, s));
            curvature?.Add(term.Output, term.Input, n);
            AddGradient(term, n);
            foreach (var variable in (ReadOnlySpan<int>)[term.Output, term.Input])
            {
                if (variable >= 0)
                {
                    _flow[variable] += n;
                }
            }
        }

        double largest = 0;
        for (var v = 0; v < _flow.Length; v++)
        {
            largest = _flow[v] > 0 ? Math.Max(largest, Math.Abs(_gradient[v]) / _flow[v]) : largest;
        }

        return largest;
    }

    // s with log N_e + p (s_out - s_in) = kappa in the least-squares sense, kappa free too.
    private bool LeastSquares(double[] s)
    {
        if (!FitLaplacian(useNorms: true, s) || !FitLaplacian(useNorms: false, _constant))
        {
            return false;
        }

        // r(kappa) = (log N + p B s) + kappa (p B t - 1), with t = _constant the fit of the constant 1.
        double numerator = 0;
        double denominator = 0;
        foreach (ref readonly var term in CollectionsMarshal.AsSpan(_terms))
        {
            var constant = term.LogNorm + _norm * Difference(term, s);
            var slope = _norm * Difference(term, _constant) - 1;
            numerator -= constant * slope;
            denominator += slope * slope;
        }

        var kappa = denominator > 0 ? numerator / denominator : 0;
        for (var v = 0; v < s.Length; v++)
        {
            s[v] += kappa * _constant[v];
        }

        return true;
    }

    // Minimises sum_e (p (s_out - s_in) - target_e)^2 with target -log N_e, or 1.
    private bool FitLaplacian(bool useNorms, double[] s)
    {
        _gradient.Clear();
        _factorization.Clear();
        foreach (ref readonly var term in CollectionsMarshal.AsSpan(_terms))
        {
            _factorization.Add(term.Output, term.Input, 1);
            AddGradient(term, (useNorms ? -term.LogNorm : 1) / _norm);
        }

        return _factorization.Solve(_gradient, s);
    }

    private void AddGradient(in Term term, double gradient)
    {
        if (term.Output >= 0)
        {
            _gradient.Add(term.Output, gradient);
        }

        if (term.Input >= 0)
        {
            _gradient.Add(term.Input, -gradient);
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

    // A pair may come more than once.
    private List<(int, int)> Couplings(RescalingPlan plan)
    {
        var couplings = new List<(int, int)>(plan.Weights.Count);
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
