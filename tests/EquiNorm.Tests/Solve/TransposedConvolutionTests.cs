using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Solve;

/// <summary>Weights stored inputs first, in groups: the CPU backend against the same weights stored outputs first.</summary>
public class TransposedConvolutionTests
{
    [Test]
    public void Storage_order_changes_nothing([Values] SweepOrder order, [Values(1, 2)] double norm)
    {
        using var convolutions = new MirroredNetwork(false);
        using var transposed = new MirroredNetwork(true);
        var before = transposed.Elements;
        Assert.That(before, Is.EqualTo(convolutions.Elements));

        var expected = Rescale(convolutions, order, norm);
        var actual = Rescale(transposed, order, norm);

        Assert.That(actual.Status, Is.EqualTo(RescalingStatus.Converged));
        Assert.That(actual.ObjectiveBefore, Is.EqualTo(expected.ObjectiveBefore).Within(1e-12 * expected.ObjectiveBefore));
        Assert.That(actual.Objective, Is.EqualTo(expected.Objective).Within(2e-8 * expected.Objective));
        Assert.That(RandomExtensions.Deviation(Doubles(convolutions), Doubles(transposed)), Is.LessThan(1e-3));
        Assert.That(RandomExtensions.Deviation(Doubles(convolutions), Array.ConvertAll(before, v => (double)v)), Is.GreaterThan(0.1));
    }

    private static double[] Doubles(MirroredNetwork network) => Array.ConvertAll(network.Elements, v => (double)v);

    private static RescalingResult Rescale(MirroredNetwork network, SweepOrder order, double norm)
    {
        var problem = new RescalingProblem(network.Tensors.Network) { Norm = norm };
        var result = RescalingSolver.Solve(problem, network.Tensors, new RescalingOptions { Order = order });
        RescalingSolver.Apply(result.Scalings!, network.Tensors);
        return result;
    }
}
