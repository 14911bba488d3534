using EquiNorm.Backends.Cpu;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Solve;

/// <summary>Steps of training: no garbage, no growth, the same bits.</summary>
public sealed class StepMemoryTests
{
    private const int WarmUpSteps = 3;

    [Test]
    public void A_prepared_step_allocates_nothing(
        [ValueSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))] string family, [Values(1, 2)] int threads, [Values(1, 2)] int sweeps)
    {
        var options = new SketchOptions { OutputScale = 0, ElementTypes = [ElementType.Float32, ElementType.Float64], Sparsity = 0.2 };
        var network = RandomNetworks.Create(family, TestSeeds.Of(family, 401), options);
        using var tensors = network.Bind();
        BindMoments(tensors);
        using var backend = new CpuBackend(threads);
        using var stepper = new RescalingStepper(new(network.Network), tensors, backend, new StepOptions { Sweeps = sweeps });
        for (var n = 0; n < WarmUpSteps; n++)
        {
            stepper.Step();
        }

        AssertAllocatesNothing(backend, stepper, 20);
    }

    [Test]
    public void Large_tensors_allocate_nothing_on_any_thread_either()
    {
        using var network = new LargeNetwork();
        using var backend = new CpuBackend(3);
        using var stepper = new RescalingStepper(new(network.Tensors.Network), network.Tensors, backend);
        for (var n = 0; n < WarmUpSteps; n++)
        {
            stepper.Step();
        }

        AssertAllocatesNothing(backend, stepper, 50);
    }

    [Test]
    public void Nothing_grows_in_ten_thousand_steps()
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("ten thousand", 0), [5, 40, 33, 4], new SketchOptions { Strided = 0, OutputScale = 0 });
        using var tensors = network.Bind();
        BindMoments(tensors);
        using var backend = new CpuBackend(2);
        using var stepper = new RescalingStepper(new(network.Network), tensors, backend);
        var factors = new double[network.Network.ChannelCount];
        for (var n = 0; n < 100; n++)
        {
            stepper.Step();
        }

        var before = stepper.ReadReport().ObjectiveBefore;
        AssertAllocatesNothing(backend, stepper, 10_000);
        Assert.That(stepper.ReadReport().ObjectiveBefore, Is.EqualTo(before).Within(1e-9).Percent);
        stepper.ReadLogFactors(factors);
        Assert.That(factors.Max(Math.Abs), Is.LessThan(1e-9));
    }

    [Test]
    public void Threads_do_not_change_a_bit_of_what_steps_write()
    {
        float[][]? expected = null;
        double[]? expectedFactors = null;
        foreach (var threads in new[] { 1, 2, 3 })
        {
            using var network = new LargeNetwork();
            using var backend = new CpuBackend(threads);
            using var stepper = new RescalingStepper(new(network.Tensors.Network), network.Tensors, backend);
            stepper.Step();

            // The elements are rounded to float32 and would hide the last bits of the sums.
            var factors = stepper.ReadScalings().LogFactors.ToArray();
            expectedFactors ??= factors;
            Assert.That(factors.AsSpan().SequenceEqual(expectedFactors), Is.True, $"factors with {threads} threads");
            stepper.Step();
            expected ??= network.Elements;
            Assert.That(
                network.Elements.Zip(expected).All(pair => pair.First.AsSpan().SequenceEqual(pair.Second)), Is.True, $"{threads} threads");
        }
    }

    // A first and a second moment for every tensor.
    private static void BindMoments(NetworkTensors tensors)
    {
        foreach (var weight in tensors.Network.Weights)
        {
            var moment = new float[weight.Layout.RequiredElements];
            Array.Fill(moment, 0.5f);
            tensors.BindCompanion(weight.Name, CompanionKind.FirstMoment, moment);
            tensors.BindCompanion(weight.Name, CompanionKind.SecondMoment, moment.ToArray());
        }
    }

    private static void AssertAllocatesNothing(CpuBackend backend, RescalingStepper stepper, int steps)
    {
        // A path that is first taken now (a thread that has to wait for the first time) makes garbage once; steps that do would do so every time.
        var (own, workers) = (0L, Array.Empty<long>());
        for (var attempt = 0; attempt < 3; attempt++)
        {
            var workersBefore = WorkerAllocations.Read(backend);
            var ownBefore = GC.GetAllocatedBytesForCurrentThread();
            for (var n = 0; n < steps; n++)
            {
                stepper.Step();
            }

            own = GC.GetAllocatedBytesForCurrentThread() - ownBefore;
            workers = [.. WorkerAllocations.Read(backend).Zip(workersBefore, (now, before) => now - before)];
            if (own == 0 && workers.All(bytes => bytes == 0))
            {
                return;
            }
        }

        Assert.That(own, Is.Zero, $"bytes on the calling thread of {backend.Threads}, {TestSeeds.Repeat}");
        Assert.That(workers, Is.All.Zero, $"bytes on the workers, {TestSeeds.Repeat}");
    }

    /// <summary>Convolutions and dense layers that are cut into many tiles, with momentum.</summary>
    private sealed class LargeNetwork : IDisposable
    {
        public LargeNetwork()
        {
            var builder = new NetworkBuilder();
            var x = builder.Weight(new("a", ElementType.Float32, WeightLayout.Convolution(150, 70, 9)), builder.Input("x", 70));
            builder.Bias("bias", ElementType.Float32, x);
            x = builder.Weight(new("b", ElementType.Float32, WeightLayout.DenseTransposed(501, 150)), x);
            x = builder.Weight(new("c", ElementType.Float32, WeightLayout.Dense(500, 501)), x);
            builder.Output(builder.Weight(new("d", ElementType.Float32, WeightLayout.Dense(10, 500)), x));
            Tensors = new NetworkTensors(builder.Build());
            var random = new Random(TestSeeds.Of("large step", 0));
            var elements = new List<float[]>();
            foreach (var weight in Tensors.Network.Weights)
            {
                for (var n = 0; n < 2; n++)
                {
                    var tensor = new float[weight.Layout.Elements];
                    for (var i = 0; i < tensor.Length; i++)
                    {
                        tensor[i] = (float)random.Normal();
                    }

                    elements.Add(tensor);
                    _ = n == 0 ? Tensors.Bind(weight.Name, tensor) : Tensors.BindCompanion(weight.Name, CompanionKind.FirstMoment, tensor);
                }
            }

            Elements = [.. elements];
        }

        public NetworkTensors Tensors { get; }

        public float[][] Elements { get; }

        public void Dispose() => Tensors.Dispose();
    }
}
