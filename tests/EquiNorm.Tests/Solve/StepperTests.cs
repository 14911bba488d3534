using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Solve;

/// <summary>Single steps: the function stays, the objective never rises, and many of them end at the optimum.</summary>
public class StepperTests
{
    private static readonly SketchOptions Plain = new() { OutputScale = 0 };

    [Test]
    public void Steps_keep_the_function_and_end_at_the_optimum([ValueSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))] string family)
    {
        const int Steps = 300;
        var seed = TestSeeds.Of(family, 77);
        var network = RandomNetworks.Create(family, seed, Plain);
        using var tensors = network.Bind();
        var problem = new RescalingProblem(network.Network);
        var oracle = Solved.OracleOf(tensors, problem);
        var optimum = OracleSolver.Newton(oracle);
        var before = network.Run(seed);
        using var stepper = new RescalingStepper(problem, tensors);

        var last = double.PositiveInfinity;
        for (var n = 0; n < Steps; n++)
        {
            var report = stepper.Step();
            Assert.That(report.ObjectiveBefore, Is.LessThanOrEqualTo(last * (1 + 1e-12)), $"{family}, step {n}, {TestSeeds.Repeat}");
            last = report.ObjectiveBefore;
        }

        var gap = Solved.OracleOf(tensors, problem).LogObjective(new double[network.Network.ChannelCount]) - optimum.LogObjective;
        Assert.That(gap, Is.LessThanOrEqualTo(1e-6).Or.NaN, $"{family}, {TestSeeds.Repeat}");
        Assert.That(RoundedFunction.Excess(before, network, seed, Steps), Is.LessThanOrEqualTo(1), $"{family}, {TestSeeds.Repeat}");
    }

    [Test]
    public void A_step_sees_weights_that_changed_since_the_last_one([ValueSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))] string family)
    {
        var seed = TestSeeds.Of(family, 78);
        var network = RandomNetworks.Create(family, seed, Plain);
        using var tensors = network.Bind();
        var problem = new RescalingProblem(network.Network);
        using var used = new RescalingStepper(problem, tensors);
        used.Step();
        var other = RandomNetworks.Create(family, seed, Plain, sigma: 0.5);
        using var changed = other.Bind();
        foreach (var weight in network.Network.Weights)
        {
            CopyElements(changed[weight.Index], tensors[weight.Index]);
        }

        // The same elements in another place, seen by a stepper that has never seen others.
        using var elsewhere = other.Bind();
        using var fresh = new RescalingStepper(new RescalingProblem(other.Network), elsewhere);

        used.Step();
        fresh.Step();
        Assert.That(used.ReadScalings().LogFactors.ToArray(), Is.EqualTo(fresh.ReadScalings().LogFactors.ToArray()), TestSeeds.Repeat);
    }

    [Test]
    public void A_NaN_is_named_and_nothing_is_written()
    {
        var builder = new NetworkBuilder();
        var hidden = builder.Weight(new("a", ElementType.Float32, WeightLayout.Dense(2, 1)), builder.Input("x", 1));
        builder.Output(builder.Weight(new("b", ElementType.Float32, WeightLayout.Dense(1, 2)), hidden));
        float[] a = [4, 9], b = [1, float.NaN];
        using var tensors = new NetworkTensors(builder.Build()).Bind("a", a).Bind("b", b);
        using var stepper = new RescalingStepper(new RescalingProblem(tensors.Network), tensors);

        Assert.That(() => stepper.Step(), Throws.TypeOf<TensorException>().With.Message.Contains("'b'").And.Message.Contains("input 1"));
        Assert.That(a, Is.EqualTo(new float[] { 4, 9 }));
    }

    [Test]
    public void An_output_scale_is_refused()
    {
        var builder = new NetworkBuilder();
        var declaration = new WeightDeclaration("a", ElementType.Float32, WeightLayout.Dense(1, 1)) { OutputScale = new double[] { 2 } };
        builder.Output(builder.Weight(declaration, builder.Input("x", 1)));
        using var tensors = new NetworkTensors(builder.Build()).Bind("a", new float[] { 1 });

        Assert.That(
            () => new RescalingStepper(new RescalingProblem(tensors.Network), tensors),
            Throws.InstanceOf<NetworkException>().With.Message.Contains("'a'"));
    }

    private static unsafe void CopyElements(TensorMemory from, TensorMemory to)
    {
        var bytes = from.Length * from.ElementType.ByteSize();
        Buffer.MemoryCopy((void*)from.Address, (void*)to.Address, bytes, bytes);
    }
}
