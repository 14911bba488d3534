using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;

namespace EquiNorm.Gpu.Ilgpu.Tests;

/// <summary>Memory, copies and ownership of the ILGPU queue.</summary>
internal sealed class QueueTests
{
    [Test]
    public void What_is_uploaded_comes_back()
    {
        using var queue = new IlgpuQueue(CpuAccelerator.Shared.DefaultStream);
        var bytes = new byte[3_000_001];
        new Random(1).NextBytes(bytes);
        var memory = queue.Allocate(bytes.Length);
        queue.Upload(bytes, memory.Address);
        queue.Clear(memory.Address + 10, 20);
        bytes.AsSpan(10, 20).Clear();
        var all = new byte[bytes.Length];
        queue.Download(memory.Address, all);
        var part = new byte[5];
        queue.Download(memory.Address + 28, part);
        queue.Free(memory);
        Assert.Multiple(() =>
        {
            Assert.That(memory.Bytes, Is.EqualTo(bytes.Length));
            Assert.That(memory.Address % 256, Is.Zero);
            Assert.That(all.AsSpan().SequenceEqual(bytes));
            Assert.That(part, Is.EqualTo(bytes[28..33]));
            Assert.That(queue.Counters, Is.EqualTo(new QueueCounters(Launches: 0, Copies: 4, Synchronizations: 2, Allocations: 1)));
        });
    }

    [Test]
    public void Memory_that_is_not_the_queues_is_not_freed()
    {
        using var queue = new IlgpuQueue(CpuAccelerator.Shared.DefaultStream);
        var memory = queue.Allocate(100);
        Assert.That(() => queue.Free(memory with { Address = memory.Address + 1 }), Throws.ArgumentException);
        queue.Free(memory);
        Assert.That(() => queue.Free(memory), Throws.ArgumentException);
    }

    [Test]
    public void Accelerator_and_stream_outlive_the_queue()
    {
        var accelerator = CpuAccelerator.Shared;
        using var stream = accelerator.CreateStream();
        DeviceMemory memory;
        using (var queue = new IlgpuQueue(stream))
        {
            memory = queue.Allocate(1000);
            queue.Synchronize();
            Assert.That(queue.Accelerator, Is.SameAs(accelerator));
        }

        using var buffer = accelerator.Allocate1D([1f, 2f, 3f]);
        stream.Synchronize();
        Assert.Multiple(() =>
        {
            Assert.That(stream.IsDisposed, Is.False);
            Assert.That(accelerator.IsDisposed, Is.False);
            Assert.That(buffer.GetAsArray1D(), Is.EqualTo([1f, 2f, 3f]));
        });
    }

    [Test]
    public void A_queue_may_be_disposed_of_after_its_accelerator()
    {
        CpuAccelerator.RequirePackage();
        using var context = Context.Create(_ => { });
        IlgpuQueue queue;
        using (var accelerator = new CPUDevice(32, 8, 1).CreateCPUAccelerator(context))
        {
            queue = new IlgpuQueue(accelerator.DefaultStream);
            queue.Allocate(1000);
        }

        Assert.That(queue.Dispose, Throws.Nothing);
        Assert.That(() => queue.Allocate(1), Throws.InstanceOf<ObjectDisposedException>());
    }

    [Test]
    public void An_accelerator_with_groups_too_small_is_refused()
    {
        CpuAccelerator.RequirePackage();
        using var context = Context.Create(_ => { });
        using var accelerator = new CPUDevice(4, 4, 1).CreateCPUAccelerator(context);
        Assert.That(
            () => new IlgpuQueue(accelerator.DefaultStream),
            Throws.InstanceOf<NotSupportedException>().With.Message.Contains("CPUDevice(32, 8, 1)"));
    }

    [Test]
    public void A_stream_of_another_accelerator_is_refused()
    {
        using var queue = new IlgpuQueue(CpuAccelerator.Shared.DefaultStream);
        using var context = Context.Create(_ => { });
        using var other = new CPUDevice(2, 2, 1).CreateCPUAccelerator(context);
        Assert.That(() => queue.Stream = other.DefaultStream, Throws.ArgumentException);
    }

    [Test]
    public void A_block_of_another_kernel_is_refused()
    {
        using var queue = new IlgpuQueue(CpuAccelerator.Shared.DefaultStream);
        Assert.That(
            () => queue.Launch(KernelCatalog.UpdateChannels, 1, 128, default(LargestParameters)),
            Throws.ArgumentException.With.Message.Contains("UpdateChannels"));
    }
}
