using EquiNorm.Backends.Cpu;
using EquiNorm.Gpu.Step;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;

namespace EquiNorm.Gpu.Ilgpu.Tests;

/// <summary>The GPU backend and stepper through ILGPU's CPU accelerator end where the CPU backend ends.</summary>
internal sealed class SolveTests
{
    private static readonly ElementType[] Types = [ElementType.Float32, ElementType.Float64, ElementType.Float16, ElementType.BFloat16];

    [TestCase("dense chain", 2.0)]
    [TestCase("residual", 1.0)]
    [TestCase("mixed", 1.5)]
    public void A_solve_on_the_cpu_accelerator_ends_at_the_optimum(string family, double norm)
    {
        using var queue = new IlgpuQueue(CpuAccelerator.Shared.DefaultStream);
        var network = Smallest(family, 700, new SketchOptions { ElementTypes = Types });
        using var tensors = network.Bind();
        var problem = new RescalingProblem(network.Network) { Norm = norm };
        var options = new RescalingOptions { Tolerance = 1e-10 };
        using var cpu = new CpuBackend(1);
        using var gpu = new GpuBackend(queue);
        var expected = RescalingSolver.Solve(problem, tensors, options, cpu);
        var actual = RescalingSolver.Solve(problem, tensors, options, gpu);
        Assert.Multiple(() =>
        {
            Assert.That(actual.Status, Is.EqualTo(expected.Status), TestSeeds.Repeat);
            Assert.That(actual.Objective, Is.EqualTo(expected.Objective).Within(1e-9 * expected.Objective), TestSeeds.Repeat);
            Assert.That(actual.ObjectiveBefore, Is.EqualTo(expected.ObjectiveBefore).Within(1e-12 * expected.ObjectiveBefore), TestSeeds.Repeat);
            Assert.That(actual.Backend, Does.StartWith("ilgpu: "));
        });
    }

    [TestCase("dense chain", 2.0, 0)]
    [TestCase("residual", 1.0, 2)]
    [TestCase("mixed", 2.0, 0)]
    public void A_step_on_the_cpu_accelerator_applies_the_factors_of_the_cpus(string family, double norm, int dead)
    {
        using var queue = new IlgpuQueue(CpuAccelerator.Shared.DefaultStream);
        var network = Smallest(family, 800, new SketchOptions { ElementTypes = Types, OutputScale = 0 });
        RandomNetworks.Kill(network, new Random(TestSeeds.Of(family, 800)), dead);
        var other = network.Clone();
        var problem = new RescalingProblem(network.Network) { Norm = norm };
        using var tensors = network.Bind();
        using var otherTensors = other.Bind();
        using var cpu = new CpuBackend(1);
        using var expected = new RescalingStepper(problem, otherTensors, cpu);

        // The CPU accelerator's memory is the host's, so these tensors count as the device's.
        using var actual = new GpuStepper(problem, tensors, queue);
        actual.Prepare();
        for (var step = 0; step < 2; step++)
        {
            var scaled = other.Clone();
            using var scaledTensors = scaled.Bind();
            var law = new StepLaw(OptimumDistance.OracleOf(problem, otherTensors));
            var before = queue.Counters;
            actual.Step();
            var done = queue.Counters - before;
            var report = expected.Step();
            var got = actual.ReadReport();
            Assert.Multiple(() =>
            {
                Assert.That(done, Is.EqualTo(new QueueCounters(actual.LaunchesPerStep, 0, 0, 0)));
                Assert.That(got.ObjectiveBefore, Is.EqualTo(report.ObjectiveBefore).Within(1e-9 * report.ObjectiveBefore), TestSeeds.Repeat);
                Assert.That(got.FrozenChannels, Is.EqualTo(report.FrozenChannels), TestSeeds.Repeat);
                Assert.That(law.Excess(actual.ReadScalings().LogFactors), Is.LessThanOrEqualTo(1), TestSeeds.Repeat);
                Assert.That(law.Excess(expected.ReadScalings().LogFactors), Is.LessThanOrEqualTo(1), TestSeeds.Repeat);
            });

            // Elements by the factors that the step says that it applied; where one lies between two numbers of its type it may become either.
            // The second step starts equal.
            RescalingSolver.Apply(actual.ReadScalings(), scaledTensors, cpu);
            foreach (var (mine, its) in network.Tensors.Zip(other.Tensors))
            {
                var wanted = scaled[mine.Name];
                for (var n = 0; n < mine.Length; n++)
                {
                    Assert.That(mine[n], Is.EqualTo(wanted[n]).Within((2.1 * mine.ElementType.UnitRoundoff() + 1e-14) * Math.Abs(wanted[n]) + 6e-8), mine.Name);
                    mine[n] = its[n];
                }
            }
        }
    }

    // Every thread of a group is a thread of the operating system, and each barrier a meeting of 256: only tiny networks will do.
    private static TestNetwork Smallest(string family, int number, SketchOptions options) =>
        Enumerable.Range(number, 20)
            .Select(n => RandomNetworks.Create(family, TestSeeds.Of(family, n), options))
            .MinBy(n => (n.Network.Weights.Count, n.Tensors.Sum(t => t.Length)))!;
}
