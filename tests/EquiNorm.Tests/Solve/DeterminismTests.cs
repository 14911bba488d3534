using EquiNorm.Backends.Cpu;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Solve;

/// <summary>The same bits whatever the number of threads, and from run to run.</summary>
public sealed class DeterminismTests
{
    [Test]
    public void Threads_and_runs_do_not_change_a_bit([Values] SweepOrder order)
    {
        foreach (var network in Networks())
        {
            var (expectedFactors, expectedObjective, expectedElements) = Run(network, threads: 1);
            foreach (var threads in new[] { 2, 3, 5, 1 })
            {
                var (factors, objective, elements) = Run(network, threads);
                Assert.That(objective, Is.EqualTo(expectedObjective), $"{threads} threads");
                Assert.That(factors.SequenceEqual(expectedFactors), Is.True, $"{threads} threads, {TestSeeds.Repeat}");
                Assert.That(elements.SequenceEqual(expectedElements), Is.True, $"{threads} threads, {TestSeeds.Repeat}");
            }
        }

        (double[] Factors, double Objective, double[] Elements) Run(TestNetwork network, int threads)
        {
            var copy = network.Clone();
            using var tensors = copy.Bind();
            using var backend = new CpuBackend(threads);
            var result = RescalingSolver.Solve(new(copy.Network), tensors, new RescalingOptions { Order = order }, backend);
            RescalingSolver.Apply(result.Scalings!, tensors, backend);
            return (result.Scalings!.LogFactors.ToArray(), result.Objective, [.. copy.Tensors.SelectMany(t => t.ToArray())]);
        }
    }

    // A step has passes of its own. A million energies: every thread gets work.
    [Test]
    public void Threads_do_not_change_a_bit_of_a_step()
    {
        var options = new SketchOptions { ElementTypes = [ElementType.Float32], Strided = 0, OutputScale = 0 };
        var network = RandomNetworks.Chain(TestSeeds.Of("threads of a step", 0), [700, 900, 600, 31, 5], options);
        var expected = Run(1);
        foreach (var threads in (int[])[2, 3, 5])
        {
            var (factors, elements) = Run(threads);
            Assert.That(factors.SequenceEqual(expected.Factors), Is.True, $"{threads} threads, {TestSeeds.Repeat}");
            Assert.That(elements.SequenceEqual(expected.Elements), Is.True, $"{threads} threads, {TestSeeds.Repeat}");
        }

        (double[] Factors, double[] Elements) Run(int threads)
        {
            var copy = network.Clone();
            using var tensors = copy.Bind();
            using var backend = new CpuBackend(threads);
            using var stepper = new RescalingStepper(new RescalingProblem(copy.Network), tensors, backend);
            stepper.Step();
            stepper.Step();
            return (stepper.ReadScalings().LogFactors.ToArray(), [.. copy.Tensors.SelectMany(t => t.ToArray())]);
        }
    }

    // Large enough that work is split, small enough to be quick.
    private static IEnumerable<TestNetwork> Networks()
    {
        var options = new SketchOptions { ElementTypes = [ElementType.Float32], Strided = 0, OutputScale = 0 };
        yield return RandomNetworks.Chain(TestSeeds.Of("threads", 0), [301, 257, 512, 33, 7], options);
        yield return RandomNetworks.Chain(TestSeeds.Of("threads", 1), [3, 4, 5, 2], options);
        yield return RandomNetworks.Create("residual", TestSeeds.Of("threads", 2));
        yield return RandomNetworks.Create("mixed", TestSeeds.Of("threads", 3));
    }
}
