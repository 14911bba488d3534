using EquiNorm.Gpu.Step;
using EquiNorm.Gpu.Tests.Machine;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.PtxMachine;
using EquiNorm.Testing;

namespace EquiNorm.Gpu.Tests.Step;

/// <summary>What a step moves, counted. The floor is 3 |W|: one read for the norms, one read and one write to rescale.</summary>
public sealed class StepTrafficTests
{
    [TestCase("dense 128", ElementType.Float32)]
    [TestCase("dense 384", ElementType.Float32)]
    [TestCase("dense 384", ElementType.Float64)]
    [TestCase("dense 384", ElementType.BFloat16)]
    [TestCase("dense 1000", ElementType.Float16)]
    [TestCase("convolution 3x3", ElementType.Float32)]
    [TestCase("convolution 7x7", ElementType.Float32)]
    [TestCase("wide", ElementType.Float32)]
    public void A_step_moves_little_more_than_three_times_the_weights(string shape, ElementType type)
    {
        var network = Create(shape, type);
        using var queue = new MachineQueue();
        using var device = new DeviceNetwork(queue, network);
        using var stepper = new GpuStepper(new RescalingProblem(network.Network), device.Tensors, queue);
        stepper.Step();
        queue.Device.ResetCounts();
        stepper.Step();
        var total = queue.Device.Total;
        var weights = total.Label("weights");
        double floor = 3.0 * network.Network.Weights.Sum(w => w.Layout.Elements * w.ElementType.ByteSize());
        var asked = weights.BytesRead + weights.BytesWritten;
        var sectors = 32.0 * (weights.SectorsRead + weights.SectorsWritten);
        var moved = Moved(weights) + Moved(total.Label("workspace"));
        TestContext.Out.WriteLine($"{shape} {type}: moved {moved / floor:f3} of the floor, tables {Moved(total.Label("table")) / floor:f3}, sectors {sectors / asked:f3} of those needed");
        Assert.Multiple(() =>
        {
            Assert.That(asked, Is.EqualTo(floor), "each element is asked for three times");
            Assert.That(moved / floor, Is.LessThanOrEqualTo(1.05));
            Assert.That(sectors / asked, Is.LessThanOrEqualTo(1.1));
            Assert.That(total.LocalAccesses, Is.Zero);
        });
    }

    // Sectors, each counted once in a launch: caches are left out of the account within a launch, and count for nothing between launches.
    private static double Moved(LabelTraffic traffic) => 32.0 * (traffic.UniqueSectorsRead + traffic.UniqueSectorsWritten);

    private static TestNetwork Create(string shape, ElementType type)
    {
        var options = new SketchOptions { ElementTypes = [type], OutputScale = 0, Strided = 0, Bias = 0 };
        var seed = TestSeeds.Of(shape, 7);
        if (shape.StartsWith("dense", StringComparison.Ordinal))
        {
            var width = int.Parse(shape.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);
            return RandomNetworks.Chain(seed, [width, width, width, width], options);
        }

        if (shape == "wide")
        {
            return RandomNetworks.Chain(seed, [4096, 64, 2048], options);
        }

        var kernel = shape.EndsWith("7x7", StringComparison.Ordinal) ? 7 : 3;
        var sketch = new NetworkSketch(new Random(seed), options);
        var signal = sketch.Input(64, 8, 8);
        for (var n = 0; n < 3; n++)
        {
            signal = sketch.Convolve(signal, 64, kernel, kernel);
        }

        sketch.Output(signal);
        return sketch.Build();
    }
}
