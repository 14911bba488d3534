using EquiNorm.Solve;
using NUnit.Framework;

namespace EquiNorm.Tests.Solve;

/// <summary>Solutions of Laplacians whose weights are far apart: known ones, put in exactly.</summary>
public sealed class SparseCholeskyTests
{
    [Test]
    public void Nodes_that_hang_by_a_thread_are_solved([Values(1, 1e-3, 1e-12, 1e-18)] double thread)
    {
        // A ring of three with weights 1, 2, 4; the first held by the thread. What pulls the ring as a whole is as small as the thread.
        double[] expected = [2, 1, -3];
        (int A, int B, double Weight)[] edges = [(0, 1, 1), (1, 2, 2), (2, 0, 4), (0, -1, thread)];
        var factorization = new SparseCholesky(3, [(0, 1), (1, 2), (0, 2)]);
        var pull = new CompensatedSums(3);
        foreach (var (a, b, weight) in edges)
        {
            factorization.Add(a, b, weight);
            var flow = weight * (expected[a] - (b < 0 ? 0 : expected[b]));
            pull.Add(a, flow);
            if (b >= 0)
            {
                pull.Add(b, -flow);
            }
        }

        var found = new double[3];
        Assert.That(factorization.Solve(pull, found), Is.True);
        Assert.That(found, Is.EqualTo(expected).Within(1e-12));
    }

    [Test]
    public void Nodes_that_nothing_holds_get_0()
    {
        var factorization = new SparseCholesky(3, [(0, 1)]);
        factorization.Add(0, 1, 1e30);
        factorization.Add(2, -1, 4);
        var pull = new CompensatedSums(3);
        pull.Add(2, 8);
        var found = new double[3];

        Assert.That(factorization.Solve(pull, found), Is.True);
        Assert.That(found, Is.EqualTo(new double[] { 0, 0, 2 }));
    }
}
