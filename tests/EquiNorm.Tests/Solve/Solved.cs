using EquiNorm.Backends;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Solve;

/// <summary>A network solved by the product and, apart from it, by the oracle.</summary>
internal sealed record Solved(RescalingResult Result, OracleProblem Oracle, OracleSolution Optimum)
{
    /// <summary>F / F* - 1 by the oracle at the factors that were returned; 0 where nothing counts.</summary>
    public double Gap => double.IsNegativeInfinity(Optimum.LogObjective) ? 0 : Math.Exp(Oracle.LogObjective(Factors) - Optimum.LogObjective) - 1;

    public double[] Factors => Result.Scalings!.LogFactors.ToArray();

    public static Solved Run(
        TestNetwork network, RescalingProblem? problem = null, RescalingOptions? options = null, IBackend? backend = null)
    {
        using var tensors = network.Bind();
        return Run(tensors, problem, options, backend);
    }

    public static Solved Run(
        NetworkTensors tensors, RescalingProblem? problem = null, RescalingOptions? options = null, IBackend? backend = null)
    {
        problem ??= new RescalingProblem(tensors.Network);
        var oracle = OracleOf(tensors, problem);
        return new(RescalingSolver.Solve(problem, tensors, options, backend), oracle, OracleSolver.Newton(oracle));
    }

    public static OracleProblem OracleOf(NetworkTensors tensors, RescalingProblem problem) =>
        new(tensors, problem.Norm, problem.Penalty.LogPenalties(problem.Network, problem.Norm), problem.IsInNorm);

    /// <summary>Converged, at the optimum, and all that is reported is true.</summary>
    public void AssertOptimal(double tolerance = 1e-8, string context = "")
    {
        var message = $"{context}; {Result.Status}, sweeps {Result.Sweeps}, gap {Gap:e2}, bound {Result.GapBound:e2}, {TestSeeds.Repeat}";
        Assert.That(Result.Status, Is.EqualTo(RescalingStatus.Converged), message);
        Assert.That(Gap, Is.LessThanOrEqualTo(tolerance).And.GreaterThan(-1e-11), message);
        AssertHonest(message);
    }

    /// <summary>Objective, residual, bound, history and frozen channels are what the oracle finds at the factors that were returned.</summary>
    public void AssertHonest(string message = "")
    {
        var u = Factors;
        Assert.That(Result.Objective, Is.EqualTo(Oracle.Objective(u)).Within(1e-8).Percent, message);
        Assert.That(Result.Residual, Is.EqualTo(Oracle.Residual(u)).Within(1e-10 * Oracle.Residual(u) + 1e-12), message);
        Assert.That(Result.ObjectiveBefore, Is.EqualTo(Oracle.Objective(new double[u.Length])).Within(1e-8).Percent, message);
        if (Result.GapBound is { } bound)
        {
            Assert.That(Gap, Is.LessThanOrEqualTo(bound + 1e-12), message);
        }

        for (var c = 0; c < u.Length; c++)
        {
            if (!Oracle.IsFree[c])
            {
                Assert.That(u[c], Is.Zero, message);
            }
        }

        for (var k = 1; k < Result.History.Count; k++)
        {
            Assert.That(Result.History[k].Objective, Is.LessThanOrEqualTo(Result.History[k - 1].Objective * (1 + 1e-12)), $"record {k}; {message}");
        }

        if (Result.History.Count > 0)
        {
            Assert.That(Result.History[0].Objective, Is.LessThanOrEqualTo(Result.ObjectiveBefore * (1 + 1e-12)), message);
        }
    }
}
