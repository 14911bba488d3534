using EquiNorm.Bench;
using EquiNorm.Problem;
using EquiNorm.Solve;
using NUnit.Framework;

namespace EquiNorm.Tests.Solve;

/// <summary>
/// How much work a solve of the benchmarks' networks does, in sweeps (reads of all energies divided by two, certificate included): exact
/// figures, so that whoever changes the order, the coarse correction, the acceleration or the certificate sees what it costs. If one changes
/// on purpose, the tables of README and bench/results change with it.
/// </summary>
public class WorkCountTests
{
    [TestCase("15x500", 1.8886133703630232)]
    [TestCase("conv-net", 2.1186750998668442)]
    [TestCase("resnet18", 2.0997883277895375)]
    [TestCase("mobilenet_v2", 2.7611749920279118)]
    [TestCase("100x64", 3.4653666146645867)]
    public void A_solve_takes_as_many_sweeps_as_it_did(string name, double sweeps)
    {
        var network = StandardNetworks.Create(name);
        using var tensors = network.Bind();

        var result = RescalingSolver.Solve(new RescalingProblem(network.Network), tensors);

        Assert.That(result.Status, Is.EqualTo(RescalingStatus.Converged));
        Assert.That(result.GapBound, Is.LessThanOrEqualTo(1e-8));
        Assert.That(result.Sweeps, Is.EqualTo(sweeps).Within(1e-9));
    }
}
