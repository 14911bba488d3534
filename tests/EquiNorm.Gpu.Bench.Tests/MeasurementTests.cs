using EquiNorm.Gpu.Bench.Measure;
using EquiNorm.Gpu.Cuda;
using EquiNorm.Gpu.Tests.Cuda;
using EquiNorm.Problem;

namespace EquiNorm.Gpu.Bench.Tests;

/// <summary>
/// The measurements against a driver made of C#, which times nothing and runs no kernel: what is asked of a driver is in order, and
/// everything is given back.
/// </summary>
[NonParallelizable]
internal sealed class MeasurementTests
{
    [Test]
    public void A_copy_counts_bytes_read_and_written()
    {
        using var fake = new FakeCuda { IsLogging = false };
        using var queue = CudaQueue.OnDevice(fake.Driver, 0, KernelImages.Ptx);
        var (bytes, speed) = new GpuMeasurements(queue, isQuick: true) { LargestCopy = 1 << 20 }.Copy();
        Assert.That(bytes, Is.EqualTo(1 << 20));
        Assert.That(speed, Is.Positive.And.LessThan(double.PositiveInfinity));
        Assert.That(queue.AllocatedBytes, Is.Zero);
    }

    [Test]
    public void A_step_is_timed_as_launches_and_as_a_graph()
    {
        using var fake = new FakeCuda { IsLogging = false };
        using var queue = CudaQueue.OnDevice(fake.Driver, 0, KernelImages.Ptx);
        var network = BenchNetworks.MlpStack(16, blocks: 2);
        using var host = new HostWeights(network, new RepeatedBlock(1));
        using (var tensors = new DeviceTensors(host.Tensors, queue))
        {
            var before = queue.Counters;
            var step = new GpuMeasurements(queue, isQuick: true).Step(new RescalingProblem(network), tensors.Tensors);
            Assert.That(step.Launches, Is.EqualTo(6));
            Assert.That(step.Best, Is.Positive);
            Assert.That((queue.Counters - before).Launches % step.Launches, Is.Zero, "whole steps");
        }

        Assert.That(queue.AllocatedBytes, Is.Zero);
    }

    [Test]
    public void A_cold_start_is_one_step_and_another()
    {
        using var fake = new FakeCuda { IsLogging = false };
        using var queue = CudaQueue.OnDevice(fake.Driver, 0, KernelImages.Ptx);
        var network = new BenchNetwork("small", BenchNetworks.MlpStack(16, blocks: 2), () => new RepeatedBlock(1)) { Peer = PeerNetwork.None("") };
        var cold = new GpuMeasurements(queue, isQuick: true).ColdStart(network, network.CreateElements(), queueSeconds: 5);
        Assert.That(cold.Queue, Is.EqualTo(5));
        Assert.That(cold.Total, Is.GreaterThan(5));
        Assert.That(queue.Counters.Launches, Is.EqualTo(12));
        Assert.That(queue.AllocatedBytes, Is.Zero);
    }
}
