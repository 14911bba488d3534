using EquiNorm.Gpu.Tests.Machine;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;

namespace EquiNorm.Gpu.Tests.Solve;

/// <summary>Weights stored inputs first, in groups: the GPU backend against the CPU backend on the same weights stored outputs first.</summary>
[TestFixture]
internal sealed class TransposedConvolutionTests
{
    [Test]
    public void Storage_order_changes_nothing()
    {
        using var convolutions = new MirroredNetwork(false);
        using var transposed = new MirroredNetwork(true);
        var expected = RescalingSolver.Solve(new RescalingProblem(convolutions.Tensors.Network), convolutions.Tensors);
        using var queue = new MachineQueue();
        using var gpu = new GpuBackend(queue);
        var actual = RescalingSolver.Solve(new RescalingProblem(transposed.Tensors.Network), transposed.Tensors, backend: gpu);
        Assert.That(actual.Status, Is.EqualTo(RescalingStatus.Converged));
        Assert.That(actual.Objective, Is.EqualTo(expected.Objective).Within(2e-8 * expected.Objective));

        RescalingSolver.Apply(expected.Scalings!, convolutions.Tensors);
        RescalingSolver.Apply(actual.Scalings!, transposed.Tensors, gpu);
        double[] a = Array.ConvertAll(convolutions.Elements, v => (double)v), b = Array.ConvertAll(transposed.Elements, v => (double)v);
        Assert.That(RandomExtensions.Deviation(a, b), Is.LessThan(1e-3));
    }
}
