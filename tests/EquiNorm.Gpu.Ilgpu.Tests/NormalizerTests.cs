using EquiNorm.Backends.Cpu;
using EquiNorm.Backends;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;
using ILGPU.Runtime;

namespace EquiNorm.Gpu.Ilgpu.Tests;

/// <summary>The convenience for ILGPU users: the snippet of the folder's README, and what it promises.</summary>
internal sealed class NormalizerTests
{
    private const int Inputs = 6;
    private const int Hidden = 8;
    private const int Outputs = 3;

    [Test]
    public void The_snippet_of_the_readme_solves_and_steps()
    {
        var accelerator = CpuAccelerator.Shared;
        using var stream = accelerator.CreateStream();
        var first = Random(1, Hidden * Inputs);
        var second = Random(2, Outputs * Hidden);

        // What follows stands in README.md.
        var builder = new NetworkBuilder();
        var hidden = builder.Weight(new("first", ElementType.Float32, WeightLayout.Dense(Hidden, Inputs)), builder.Input("x", Inputs));
        builder.Output(builder.Weight(new("second", ElementType.Float32, WeightLayout.Dense(Outputs, Hidden)), hidden));
        var problem = new RescalingProblem(builder.Build());

        using var firstBuffer = accelerator.Allocate1D(first);
        using var secondBuffer = accelerator.Allocate1D(second);
        using var tensors = new NetworkTensors(problem.Network).Bind("first", firstBuffer.View).Bind("second", secondBuffer.View);

        using var normalizer = accelerator.CreateEquiNormalizer(problem, tensors);
        normalizer.Step(stream);                       // one sweep, in place: launches only
        var result = normalizer.Solve(stream);         // to the optimum; writes nothing
        normalizer.Apply(stream, result.Scalings!);    // writes

        using var host = new NetworkTensors(problem.Network).Bind("first", first).Bind("second", second);
        using var cpu = new CpuBackend(1);
        var expected = RescalingSolver.Solve(problem, host, new RescalingOptions { Tolerance = 1e-10 }, cpu);
        var after = firstBuffer.GetAsArray1D().Concat(secondBuffer.GetAsArray1D()).Sum(w => (double)w * w);
        Assert.Multiple(() =>
        {
            Assert.That(result.Status, Is.EqualTo(RescalingStatus.Converged));
            Assert.That(result.Objective, Is.EqualTo(expected.Objective).Within(1e-6 * expected.Objective));
            Assert.That(after, Is.EqualTo(expected.Objective).Within(1e-6 * expected.Objective));
        });
    }

    [Test]
    public void A_step_moves_companions_and_leaves_accelerator_and_stream_alive()
    {
        var accelerator = CpuAccelerator.Shared;
        using var stream = accelerator.CreateStream();
        var problem = new RescalingProblem(TwoLayers());
        using var first = accelerator.Allocate1D(Random(3, Hidden * Inputs));
        using var second = accelerator.Allocate1D(Random(4, Outputs * Hidden));
        using var momentum = accelerator.Allocate1D(Random(5, Hidden * Inputs));
        var before = (First: first.GetAsArray1D(), Momentum: momentum.GetAsArray1D());
        using (var tensors = new NetworkTensors(problem.Network).Bind("first", first.View).Bind("second", second.View))
        using (var normalizer = accelerator.CreateEquiNormalizer(
            stream, problem, tensors.BindCompanion("first", CompanionKind.FirstMoment, momentum.View.BaseView.AsTensor(ElementType.Float32))))
        {
            normalizer.Step(stream);
            var gains = normalizer.ReadScalings(stream).LogFactorsOf(problem.Network.Groups.Single(g => !g.IsPinned)).ToArray();
            Assert.That(normalizer.ReadReport(stream).Outcome, Is.EqualTo(StepOutcome.Applied));
            for (var n = 0; n < before.First.Length; n++)
            {
                var gain = Math.Exp(gains[n / Inputs]);
                Assert.That(first.GetAsArray1D()[n], Is.EqualTo(before.First[n] * gain).Within(1e-5).Percent);
                Assert.That(momentum.GetAsArray1D()[n], Is.EqualTo(before.Momentum[n] / gain).Within(1e-4).Percent);
            }
        }

        Assert.That(stream.IsDisposed || accelerator.IsDisposed || first.IsDisposed, Is.False);
        Assert.That(stream.Synchronize, Throws.Nothing);
    }

    [Test]
    public void Views_are_bound_by_address()
    {
        using var buffer = CpuAccelerator.Shared.Allocate1D<double>(100);
        using var tensors = new NetworkTensors(TwoLayers(ElementType.Float64)).Bind("first", buffer.View.BaseView.SubView(2, 50));
        Assert.Multiple(() =>
        {
            Assert.That(tensors[0], Is.EqualTo(new TensorMemory(buffer.NativePtr + 16, 50, ElementType.Float64)));
            Assert.That(() => tensors.Bind("second", buffer.View.BaseView.SubView(0, 5)), Throws.InstanceOf<NetworkException>());
            Assert.That(() => buffer.View.BaseView.AsTensor(ElementType.Float16), Throws.ArgumentException);
        });
    }

    private static Network TwoLayers(ElementType type = ElementType.Float32)
    {
        var builder = new NetworkBuilder();
        var hidden = builder.Weight(new("first", type, WeightLayout.Dense(Hidden, Inputs)), builder.Input("x", Inputs));
        builder.Output(builder.Weight(new("second", type, WeightLayout.Dense(Outputs, Hidden)), hidden));
        return builder.Build();
    }

    private static float[] Random(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(n => (float)((random.NextDouble() - 0.5) * Math.Exp(n % 5)))];
    }
}
