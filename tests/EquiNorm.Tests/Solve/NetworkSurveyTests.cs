using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Solve;

/// <summary>The plain survey against the solver, which shares no code with it.</summary>
[TestFixture]
internal sealed class NetworkSurveyTests
{
    [Test]
    public void Survey_and_solver_agree([ValueSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))] string family, [Values(1.0, 2.0, 3.5)] double norm)
    {
        var network = RandomNetworks.Create(family, 7);
        using var tensors = network.Bind();
        var result = RescalingSolver.Solve(new RescalingProblem(tensors.Network) { Norm = norm }, tensors);
        var surveys = NetworkSurvey.Take(tensors, norm, 1, Scalings.Identity(tensors.Network), result.Scalings!);
        Assert.Multiple(() =>
        {
            Assert.That(surveys[0].Objective, Is.EqualTo(result.ObjectiveBefore).Within(1e-8).Percent);
            Assert.That(surveys[1].Objective, Is.EqualTo(result.Objective).Within(1e-8).Percent);
            Assert.That(surveys[1].Objective, Is.EqualTo(surveys[1].WeightNorms.Sum(n => Math.Pow(n, norm))).Within(1e-8).Percent);
            if (result.Frozen.Count == 0)
            {
                Assert.That(surveys[1].Residual, Is.EqualTo(result.Residual).Within(1e-9));
                Assert.That(surveys[1].DeadChannels, Is.Zero);
            }
        });
    }

    [Test]
    public void The_number_of_threads_does_not_change_a_bit()
    {
        var network = RandomNetworks.Create("mixed", 3);
        using var tensors = network.Bind();
        var identity = Scalings.Identity(tensors.Network);
        var one = NetworkSurvey.Take(tensors, 2, 1, identity)[0];
        var many = NetworkSurvey.Take(tensors, 2, 4, identity)[0];
        Assert.That((many.Objective, many.Residual), Is.EqualTo((one.Objective, one.Residual)));
    }
}
