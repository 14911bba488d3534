using System.Runtime.InteropServices;
using EquiNorm.Backends.Cpu;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;
using NUnit.Framework;

namespace EquiNorm.Tests.Solve;

/// <summary>Small networks on which something once went wrong, or easily could.</summary>
public class HazardTests
{
    [TestCase(float.NaN)]
    [TestCase(float.PositiveInfinity)]
    public void What_is_not_finite_between_a_channel_and_itself_is_found(float bad)
    {
        var builder = new NetworkBuilder();
        var stream = builder.Weight(Dense("stem", 2, 1), builder.Input("x", 1));
        stream = builder.Add(stream, builder.Weight(Dense("loop", 2, 2), stream));
        builder.Output(builder.Weight(Dense("head", 1, 2), stream));
        using var tensors = new NetworkTensors(builder.Build())
            .Bind("stem", new float[] { 1, 2 }).Bind("loop", new[] { bad, 1, 1, 1 }).Bind("head", new float[] { 1, 1 });

        var result = RescalingSolver.Solve(new RescalingProblem(tensors.Network), tensors);

        Assert.That(result.Status, Is.EqualTo(RescalingStatus.NonFinite));
        Assert.That(result.NonFinite!.Value.Weight.Name, Is.EqualTo("loop"));
    }

    [Test]
    public void A_scale_of_zero_does_not_hide_a_NaN_and_a_tiny_scale_does_not_kill_a_channel()
    {
        Assert.That(Solve([1, 0], [1, float.NaN]).Status, Is.EqualTo(RescalingStatus.NonFinite));
        Assert.That(Solve([1, 1e-41], [1, 1], norm: 8).Frozen, Is.Empty);
        Assert.That(Solve([1, 0], [1, 1]).Frozen, Has.Count.EqualTo(1));

        static RescalingResult Solve(double[] scale, float[] weights, double norm = 2)
        {
            var builder = new NetworkBuilder();
            var hidden = builder.Weight(Dense("a", 2, 1) with { OutputScale = scale }, builder.Input("x", 1));
            builder.Output(builder.Weight(Dense("b", 1, 2), hidden));
            using var tensors = new NetworkTensors(builder.Build()).Bind("a", weights).Bind("b", new float[] { 1, 1 });
            return RescalingSolver.Solve(new RescalingProblem(tensors.Network) { Norm = norm }, tensors);
        }
    }

    [TestCase(SweepOrder.Sequential)]
    [TestCase(SweepOrder.Jacobi)]
    [TestCase(SweepOrder.Colored)]
    [TestCase(SweepOrder.ForwardBackward)]
    public void A_bound_is_had_from_the_direction_that_can_be_balanced(SweepOrder order)
    {
        // The stem does not write channel 1, a branch does, and the head reads it: no flow can be balanced at the sources.
        var builder = new NetworkBuilder();
        var stream = builder.Weight(Dense("stem", 2, 1), builder.Input("x", 1));
        var branch = builder.Weight(Dense("out", 2, 2), builder.Weight(Dense("in", 2, 2), stream));
        builder.Output(builder.Weight(Dense("head", 1, 2), builder.Add(stream, branch)));
        using var tensors = new NetworkTensors(builder.Build()).Bind("stem", new float[] { 3, 0 })
            .Bind("in", new float[] { 1, .5f, 2, .25f }).Bind("out", new float[] { .1f, .2f, 3, 4 }).Bind("head", new float[] { 7, 5 });

        var result = RescalingSolver.Solve(new RescalingProblem(tensors.Network), tensors, new RescalingOptions { Order = order });

        Assert.That(result.Status, Is.EqualTo(RescalingStatus.Converged));
        Assert.That(result.GapBound, Is.Not.Null.And.LessThanOrEqualTo(1e-8));
    }

    [Test]
    public void Factors_beyond_the_range_of_float64_still_multiply_to_their_ratio()
    {
        var builder = new NetworkBuilder();
        var a = builder.Weight(new("a", ElementType.Float64, WeightLayout.Dense(1, 1)), builder.Input("x", 1));
        var b = builder.Weight(new("b", ElementType.Float64, WeightLayout.Dense(1, 1)), a);
        builder.Output(builder.Weight(new("c", ElementType.Float64, WeightLayout.Dense(1, 1)), b));
        var network = builder.Build();
        double[] between = [3];
        using var tensors = new NetworkTensors(network).Bind("b", between);
        var u = new double[network.ChannelCount];
        u[network.Weight("b").Inputs.ToChannels(network.Groups)[0]] = -1250 * Math.Log(2);
        u[network.Weight("b").Outputs.ToChannels(network.Groups)[0]] = -1249 * Math.Log(2);

        var report = RescalingSolver.Apply(new Scalings(network, u), tensors);

        Assert.That(between, Is.EqualTo(new double[] { 6 }));
        Assert.That(report.Overflowed, Is.Zero);
    }

    [Test]
    public void Factors_are_not_applied_to_tensors_of_another_network()
    {
        var (one, other) = (Chain("a", "b"), Chain("b", "a"));
        float[] elements = [1, 2];
        using var tensors = new NetworkTensors(other).Bind("a", elements).Bind("b", new float[] { 1, 2 });

        Assert.That(() => RescalingSolver.Apply(Scalings.Identity(one), tensors), Throws.ArgumentException);
        Assert.That(() => RescalingSolver.Apply(Scalings.Identity(other.Freeze(["a"])), tensors), Throws.Nothing);

        static Network Chain(string first, string second)
        {
            var builder = new NetworkBuilder();
            builder.Output(builder.Weight(Dense(second, 1, 2), builder.Weight(Dense(first, 2, 1), builder.Input("x", 1))));
            return builder.Build();
        }
    }

    [Test]
    public void A_disposed_stepper_says_so()
    {
        var builder = new NetworkBuilder();
        builder.Output(builder.Weight(Dense("a", 1, 1), builder.Input("x", 1)));
        using var tensors = new NetworkTensors(builder.Build()).Bind("a", new float[] { 1 });
        var stepper = new RescalingStepper(new RescalingProblem(tensors.Network), tensors);
        stepper.Dispose();

        Assert.Throws<ObjectDisposedException>(() => stepper.Step());
    }

    [Test]
    public void The_element_scaler_refuses_layouts_that_it_cannot_walk()
    {
        // Kernel positions outermost: no channel axis comes in rows.
        var kernelFirst = WeightLayout.Convolution(2, 3, 2) with { OutputStride = 3, InputStride = 1, KernelStride = 6 };

        Assert.That(
            () => new ElementScaler(kernelFirst, ElementType.Float32, [1, 1], [1, 1, 1]), Throws.ArgumentException);
    }

    [Test]
    public void The_element_scaler_walks_channels_last([Range(1, 12)] int part)
    {
        // [O, K, I].
        var channelsLast = WeightLayout.Convolution(2, 3, 2) with { InputStride = 1, KernelStride = 3 };
        double[] outputs = [2, 4], inputs = [1, 0.5, 8];
        var scaler = new ElementScaler(channelsLast, ElementType.Float64, outputs, inputs);
        var elements = Enumerable.Range(1, 12).Select(n => (double)n).ToArray();
        for (var first = 0; first < elements.Length; first += part)
        {
            scaler.Scale(first, MemoryMarshal.AsBytes(elements.AsSpan(first, Math.Min(part, elements.Length - first))));
        }

        Assert.That(elements, Is.EqualTo(Enumerable.Range(0, 12).Select(n => (n + 1) * outputs[n / 6] * inputs[n % 3])));
    }

    [Test]
    public void Powers_of_two_say_that_the_optimum_was_rounded()
    {
        var builder = new NetworkBuilder();
        var hidden = builder.Weight(Dense("a", 2, 1), builder.Input("x", 1));
        builder.Output(builder.Weight(Dense("b", 1, 2), hidden));
        using var tensors = new NetworkTensors(builder.Build()).Bind("a", new float[] { 3, 5 }).Bind("b", new float[] { 1, 1 });

        var result = RescalingSolver.Solve(
            new RescalingProblem(tensors.Network), tensors, new RescalingOptions { Factors = FactorSet.PowersOfTwo });

        Assert.That(result.Status, Is.EqualTo(RescalingStatus.Converged));
        Assert.That(result.GapBound, Is.GreaterThan(1e-3));
        Assert.That(result.Advice, Does.Contain("Rounded to powers of two"));
    }

    private static WeightDeclaration Dense(string name, int outputs, int inputs) =>
        new(name, ElementType.Float32, WeightLayout.Dense(outputs, inputs));
}
