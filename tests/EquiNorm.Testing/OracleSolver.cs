namespace EquiNorm.Testing;

/// <summary>An optimum: u of every channel, log F and F there, and the residual.</summary>
public sealed record OracleSolution(double[] LogFactors, double LogObjective, double Objective, double Residual, int Iterations);

/// <summary>
/// Minimises an <see cref="OracleProblem"/> in two ways that share nothing with the product's sweeps: damped Newton on all unknowns, and
/// single-channel cyclic descent.
/// </summary>
public static class OracleSolver
{
    /// <summary>
    /// Damped Newton. It starts where the log x_e are closest to a common constant, in squares: that does not depend on how the network
    /// was rescaled before, and a steep penalty by depth has no part in it.
    /// The Hessian of F is p^2 times the Laplacian of the graph with conductances x_e.
    /// </summary>
    public static OracleSolution Newton(OracleProblem problem)
    {
        var system = new System(problem);
        var p = problem.Norm;
        var u = system.Start();
        var logObjective = problem.LogObjective(u);
        var best = (U: u, Residual: problem.Residual(u));
        var stalled = 0;
        var iteration = 0;
        for (; iteration < 2000 && best.Residual > 1e-14 && stalled < 4; iteration++)
        {
            var step = system.Step(u, logObjective);
            var moved = u;
            for (var length = 1.0; length > 1e-9; length /= 2)
            {
                var candidate = system.Move(u, step, length / p);
                var value = problem.LogObjective(candidate);
                if (value <= logObjective + 1e-15 * Math.Abs(logObjective) + 1e-15)
                {
                    (moved, logObjective) = (candidate, value);
                    break;
                }
            }

            if (ReferenceEquals(moved, u))
            {
                // Flows so far apart that the step is lost in rounding (or underflow): channel by channel always works.
                moved = Descend(problem, u, cycles: 5);
                logObjective = problem.LogObjective(moved);
            }

            u = moved;
            var residual = problem.Residual(u);
            stalled = residual < 0.5 * best.Residual || residual > 1e-8 ? 0 : stalled + 1;
            if (residual < best.Residual)
            {
                best = (u, residual);
            }
        }

        return Solution(problem, best.U, iteration);
    }

    /// <summary>Each unknown in turn to its own minimum, u += log(b / a) / (2 p), until the residual is small.</summary>
    public static OracleSolution CyclicDescent(OracleProblem problem, double residual = 1e-13, int cycles = 200_000)
    {
        var iterations = 0;
        var u = Descend(problem, new double[problem.Network.ChannelCount], cycles, residual, () => iterations++);
        return Solution(problem, u, iterations);
    }

    /// <summary>
    /// The minimum within |u| &lt;= <paramref name="limit"/>: each unknown in turn to its own minimum there, until none moves. At p = infinity
    /// a point at which no unknown wants to move.
    /// </summary>
    public static OracleSolution ProjectedDescent(
        OracleProblem problem, double limit, double residual = 1e-13, int cycles = 100_000, double[]? start = null)
    {
        var u = (double[])(start ?? new double[problem.Network.ChannelCount]).Clone();
        var into = problem.Edges.ToLookup(e => e.Output);
        var outOf = problem.Edges.ToLookup(e => e.Input);
        var unknowns = Enumerable.Range(0, u.Length).Where(c => problem.IsFree[c])
            .Select(c => (Channel: c, Into: into[c].ToArray(), OutOf: outOf[c].ToArray())).ToArray();
        var cycle = 0;
        for (var largest = double.PositiveInfinity; cycle < cycles && largest > residual; cycle++)
        {
            largest = 0;
            foreach (var (channel, sources, sinks) in unknowns)
            {
                var wanted = u[channel] + (LogSum(problem, sinks, u) - LogSum(problem, sources, u)) / (2 * problem.Exponent);
                var next = Math.Clamp(wanted, -limit, limit);
                largest = Math.Max(largest, 2 * Math.Abs(next - u[channel]));
                u[channel] = next;
            }
        }

        return new(u, problem.TakesLargest ? Math.Log(problem.Objective(u)) : problem.LogObjective(u), problem.Objective(u), problem.Residual(u, limit), cycle);
    }

    private static double[] Descend(OracleProblem problem, double[] start, int cycles, double residual = 0, Action? cycleEnded = null)
    {
        var p = problem.Norm;
        var u = (double[])start.Clone();
        var into = problem.Edges.ToLookup(e => e.Output);
        var outOf = problem.Edges.ToLookup(e => e.Input);
        var unknowns = Enumerable.Range(0, u.Length).Where(c => problem.IsFree[c])
            .Select(c => (Channel: c, Into: into[c].ToArray(), OutOf: outOf[c].ToArray())).ToArray();
        for (var cycle = 0; cycle < cycles; cycle++)
        {
            var largest = 0.0;
            foreach (var (channel, sources, sinks) in unknowns)
            {
                var difference = LogSum(problem, sources, u) - LogSum(problem, sinks, u);
                largest = Math.Max(largest, Math.Abs(difference) / p);
                u[channel] -= difference / (2 * p);
            }

            cycleEnded?.Invoke();
            if (largest <= residual)
            {
                break;
            }
        }

        return u;
    }

    private static OracleSolution Solution(OracleProblem problem, double[] u, int iterations) =>
        new(u, problem.LogObjective(u), problem.Objective(u), problem.Residual(u), iterations);

    private static double LogSum(OracleProblem problem, OracleEdge[] edges, double[] u)
    {
        var largest = double.NegativeInfinity;
        foreach (var edge in edges)
        {
            largest = Math.Max(largest, problem.LogFlow(edge, u));
        }

        if (problem.TakesLargest)
        {
            return largest;
        }

        var sum = 0.0;
        foreach (var edge in edges)
        {
            sum += Math.Exp(problem.LogFlow(edge, u) - largest);
        }

        return largest + Math.Log(sum);
    }

    /// <summary>The Laplacian over the unknowns.</summary>
    private sealed class System
    {
        private readonly OracleProblem _problem;
        private readonly int[] _unknown;
        private readonly int _count;
        private readonly OracleEdge[] _edges;
        private readonly SkylineCholesky _cholesky;

        public System(OracleProblem problem)
        {
            _problem = problem;
            _unknown = new int[problem.Network.ChannelCount];
            for (var c = 0; c < _unknown.Length; c++)
            {
                _unknown[c] = problem.IsFree[c] ? _count++ : -1;
            }

            _edges = [.. problem.Edges.Where(e => problem.IsFree[e.Output] || problem.IsFree[e.Input])];
            _cholesky = new SkylineCholesky(_count, _edges.Where(IsInner).Select(e => (_unknown[e.Output], _unknown[e.Input])));
        }

        public double[] Start()
        {
            // Least squares of log x_e - c over u, linear in c; then the best c.
            var fromEnergies = Move(new double[_unknown.Length], Solve(_ => 1, e => e.LogEnergy), 1 / _problem.Norm);
            var fromConstant = Move(new double[_unknown.Length], Solve(_ => 1, _ => -1), 1 / _problem.Norm);
            var (numerator, denominator) = (0.0, 1e-300);
            foreach (var edge in _edges)
            {
                var perConstant = 1 - _problem.Norm * (fromConstant[edge.Output] - fromConstant[edge.Input]);
                numerator += perConstant * _problem.LogFlow(edge, fromEnergies);
                denominator += perConstant * perConstant;
            }

            return [.. fromEnergies.Zip(fromConstant, (e, k) => e + numerator / denominator * k)];
        }

        // Conductances and slopes relative to F: their scale cancels.
        public double[] Step(double[] u, double logObjective) => Solve(
            e => Math.Exp(_problem.LogFlow(e, u) - logObjective), e => Math.Exp(_problem.LogFlow(e, u) - logObjective));

        public double[] Move(double[] u, double[] step, double length)
        {
            var moved = (double[])u.Clone();
            for (var c = 0; c < moved.Length; c++)
            {
                if (_unknown[c] >= 0)
                {
                    moved[c] += length * step[_unknown[c]];
                }
            }

            return moved;
        }

        // Laplacian(conductance) x = - divergence(slope)
        private double[] Solve(Func<OracleEdge, double> conductance, Func<OracleEdge, double> slope)
        {
            var diagonal = new double[_count];
            var right = new double[_count];
            foreach (var edge in _edges)
            {
                var (output, input) = (_unknown[edge.Output], _unknown[edge.Input]);
                if (output >= 0)
                {
                    diagonal[output] += conductance(edge);
                    right[output] -= slope(edge);
                }

                if (input >= 0)
                {
                    diagonal[input] += conductance(edge);
                    right[input] += slope(edge);
                }
            }

            return _cholesky.Solve(
                diagonal, _edges.Where(IsInner).Select(e => (_unknown[e.Output], _unknown[e.Input], -conductance(e))), right);
        }

        private bool IsInner(OracleEdge edge) => _problem.IsFree[edge.Output] && _problem.IsFree[edge.Input];
    }
}
