using System.Runtime.InteropServices;
using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Gpu.Tests.Cuda;

internal sealed class CudaQueueTests : FakeCudaFixture
{
    [StructLayout(LayoutKind.Sequential)]
    private record struct Arguments(DeviceView<float> View, int Count, float Scale, DeviceView<int> Table, int Last);

    [Test]
    public void The_block_arrives_as_the_struct_lies_in_memory()
    {
        using var queue = OnDevice();
        var arguments = new Arguments(new DeviceView<float>(0x1122334455667788, 7), -3, 0.5f, DeviceView<int>.Everywhere, 9);
        queue.Launch(Views, 12, 96, in arguments);
        queue.Synchronize();
        var launch = Fake.Executed.Single();
        Assert.Multiple(() =>
        {
            Assert.That((launch.Kernel, launch.Groups, launch.GroupSize, launch.Stream), Is.EqualTo(("Views", 12u, 96u, queue.Stream)));

            // What the kernel declares, not the 48 bytes of the struct: the driver refuses padding.
            Assert.That(launch.Block, Has.Length.EqualTo(44));
            Assert.That(MemoryMarshal.AsBytes(new ReadOnlySpan<Arguments>(in arguments))[..44].SequenceEqual(launch.Block));
            Assert.That(BitConverter.ToUInt64(launch.Block, 0), Is.EqualTo(0x1122334455667788));
            Assert.That(BitConverter.ToInt32(launch.Block, 16), Is.EqualTo(-3));
            Assert.That(BitConverter.ToInt64(launch.Block, 32), Is.EqualTo(1L << 58));
            Assert.That(BitConverter.ToInt32(launch.Block, 40), Is.EqualTo(9));
        });
    }

    [Test]
    public void Arguments_that_are_not_the_kernels_are_refused()
    {
        using var queue = OnDevice();
        Assert.That(
            Assert.Throws<ArgumentException>(() => queue.Launch(Views, 1, 32, 0L))!.Message,
            Does.Contain("Views").And.Contain("44").And.Contain("Int64").And.Contain("8"));
        Assert.Throws<ArgumentException>(() => queue.Launch(First, 1, 32, default(Arguments)));
        Assert.That((Fake.Launched.Count, queue.Counters.Launches), Is.EqualTo((0, 0L)));
    }

    [Test]
    public void Launches_run_in_order_and_only_waiting_waits()
    {
        using var queue = OnDevice();
        queue.Launch(First, 1, 32, 1);
        queue.Launch(Second, 2, 32, 2);
        Assert.That(Fake.Executed, Is.Empty);
        queue.Synchronize();
        Assert.That(Fake.Executed.Select(l => l.Kernel), Is.EqualTo(new[] { "First", "Second" }));
    }

    [Test]
    public void A_launch_allocates_nothing()
    {
        using var queue = OnDevice();
        var arguments = new Arguments(DeviceView<float>.Everywhere, 1, 2, DeviceView<int>.Everywhere, 3);
        Fake.IsLogging = false;
        Launch(100);

        // The run time may take a path for the first time in the middle of a measurement, once: a launch that allocates does it every time.
        var (allocated, rounds) = (1L, 0);
        while (allocated != 0 && rounds < 3)
        {
            allocated = Launch(1000);
            rounds++;
        }

        Assert.That(allocated, Is.Zero);
        Assert.That(queue.Counters.Launches, Is.EqualTo(100 + 1000 * rounds));

        long Launch(int times)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0; i < times; i++)
            {
                queue.Launch(Views, 4, 64, in arguments);
            }

            return GC.GetAllocatedBytesForCurrentThread() - before;
        }
    }

    [Test]
    public void A_launch_checks_its_numbers()
    {
        Fake.MaxGroupSize = 512;
        using var queue = OnDevice();
        Assert.Throws<ArgumentOutOfRangeException>(() => queue.Launch(First, 0, 32, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => queue.Launch(First, 1, 0, 0));
        var refusal = Refusal(() => queue.Launch(First, 1, 513, 0), CudaErrorKind.LaunchTooLarge);
        Assert.That(refusal.Message, Does.Contain("First").And.Contain("513").And.Contain("512"));
        queue.Launch(First, 1, 512, 0);
        Assert.That(queue.Counters.Launches, Is.EqualTo(1));
    }

    [Test]
    public void Memory_that_is_given_back_may_still_be_used_by_what_was_launched_before()
    {
        using var queue = OnDevice();
        var memory = queue.Allocate(1000);
        queue.Clear(memory.Address, 1000);
        queue.Free(memory);
        Assert.That((queue.AllocatedBytes, Fake.MemoryInUse), Is.EqualTo((0L, 1000L)));

        // The fake runs the clear only now, and would find the memory gone.
        queue.Synchronize();
        Assert.That(Fake.MemoryInUse, Is.Zero);
    }

    [Test]
    public void A_download_gives_memory_back_too()
    {
        using var queue = OnDevice();
        var (kept, dropped) = (queue.Allocate(64), queue.Allocate(128));
        queue.Free(dropped);
        queue.Download(kept.Address, new byte[64]);
        Assert.That(Fake.MemoryInUse, Is.EqualTo(64));
    }

    [Test]
    public void A_full_device_is_emptied_of_what_was_given_back_before_it_is_said_to_be_full()
    {
        Fake.Capacity = 1 << 20;
        using var queue = OnDevice();
        var memory = queue.Allocate(800 << 10);
        queue.Clear(memory.Address, memory.Bytes);
        queue.Free(memory);
        memory = queue.Allocate(900 << 10);
        Assert.That(queue.Counters, Is.EqualTo(new QueueCounters(0, 1, 1, 2)));
        Assert.That(queue.AllocatedBytes, Is.EqualTo(900 << 10));
    }

    [Test]
    public void A_full_device_is_said_to_be_full()
    {
        Fake.Capacity = 8 << 20;
        using var queue = OnDevice();
        queue.Allocate(3 << 20);
        var refusal = Refusal(() => queue.Allocate(6 << 20), CudaErrorKind.OutOfMemory);
        Assert.Multiple(() =>
        {
            Assert.That(refusal.Message, Does.Contain("6.0 MiB").And.Contain("5.0 MiB of 8.0 MiB are free").And.Contain("empty_cache"));
            Assert.That((refusal.Call, refusal.Code, refusal.ErrorName), Is.EqualTo(("cuMemAlloc_v2", 2, "CUDA_ERROR_OUT_OF_MEMORY")));
            Assert.That((queue.Counters.Allocations, queue.AllocatedBytes), Is.EqualTo((1L, 3L << 20)));
        });
        queue.Allocate(5 << 20);
    }

    [Test]
    public void Foreign_memory_and_memory_given_back_twice_are_refused()
    {
        using var queue = OnDevice();
        using var other = OnDevice();
        var memory = queue.Allocate(256);
        Assert.Throws<ArgumentException>(() => other.Free(memory));
        Assert.Throws<ArgumentException>(() => queue.Free(memory with { Bytes = 255 }));
        Assert.Throws<ArgumentException>(() => queue.Free(memory with { Address = memory.Address + 1 }));
        queue.Free(memory);
        Assert.Throws<ArgumentException>(() => queue.Free(memory));
        Assert.Throws<ArgumentOutOfRangeException>(() => queue.Allocate(0));
    }

    [Test]
    public void Counters_count_what_was_asked_for()
    {
        using var queue = OnDevice();
        var memory = queue.Allocate(4096);
        var start = queue.Counters;
        queue.Upload(new byte[100], memory.Address);
        queue.Upload([], memory.Address);
        queue.Clear(memory.Address, 100);
        queue.Clear(memory.Address, 0);
        queue.Launch(First, 1, 32, 0);
        queue.Launch(First, 1, 32, 0);
        queue.Download(memory.Address, new byte[100]);
        queue.Download(memory.Address, []);
        queue.Synchronize();
        queue.Free(memory);
        Assert.That(queue.Counters - start, Is.EqualTo(new QueueCounters(Launches: 2, Copies: 3, Synchronizations: 3, Allocations: 0)));
        Assert.That(start.Allocations, Is.EqualTo(1));
    }

    [Test]
    public void The_end_gives_everything_back_and_a_second_end_nothing()
    {
        var queue = OnDevice();
        var memory = queue.Allocate(1 << 20);
        queue.Free(queue.Allocate(77));
        queue.Upload(new byte[1 << 20], memory.Address);
        queue.Launch(First, 1, 32, 0);
        var mark = queue.Record();
        var graph = queue.Capture(() => queue.Launch(First, 1, 32, 0));
        queue.Dispose();
        Assert.That(Fake.Leaks, Is.Empty);
        Assert.That(Fake.Executed, Has.Count.EqualTo(1), "the end waits for what was asked for");
        var calls = Fake.Calls;
        queue.Dispose();
        mark.Dispose();
        graph.Dispose();
        Assert.That(Fake.Calls, Is.EqualTo(calls));
    }

    [Test]
    public void After_the_end_every_call_says_so()
    {
        var queue = OnDevice();
        var memory = queue.Allocate(16);
        var mark = queue.Record();
        var graph = queue.Capture(() => { });
        queue.Dispose();
        Action[] calls =
        [
            () => queue.Allocate(1), () => queue.Upload(new byte[1], 0), () => queue.Download(0, new byte[1]),
            () => queue.Clear(0, 1), () => queue.Launch(First, 1, 1, 0), queue.Synchronize, () => queue.Prepare([First]),
            () => queue.Record(), () => queue.Elapsed(mark, mark), () => queue.Capture(() => { }), graph.Launch, () => queue.RequireReachable(0),
        ];
        Assert.DoesNotThrow(() => queue.Free(memory), "it was given back with everything else");
        Assert.Multiple(() =>
        {
            foreach (var call in calls)
            {
                Assert.Throws<ObjectDisposedException>(call);
            }
        });
    }

    [Test]
    public void Marks_take_the_time_of_the_device()
    {
        using var queue = OnDevice();
        using var start = queue.Record();
        queue.Launch(First, 1, 32, 0);
        queue.Launch(First, 1, 32, 0);
        using var end = queue.Record();

        // The fake's clock ticks a millisecond for each thing in the stream: two launches and the mark itself.
        Assert.That(queue.Elapsed(start, end), Is.EqualTo(TimeSpan.FromMilliseconds(3)));
        Assert.That(queue.Counters.Synchronizations, Is.EqualTo(1));
        using var other = OnDevice();
        Assert.Throws<ArgumentException>(() => other.Elapsed(start, end));
        end.Dispose();
        Assert.Throws<ObjectDisposedException>(() => queue.Elapsed(start, end));
    }

    [Test]
    public void Its_name_says_where_it_runs()
    {
        using var queue = OnDevice();
        Assert.That(queue.Name, Is.EqualTo("cuda:0 Fake H200"));
        Assert.That(queue.Device.ComputeCapability, Is.EqualTo(new Version(9, 0)));
    }

    [Test]
    public void Two_threads_may_use_it_in_turn()
    {
        using var queue = OnDevice();
        var memory = queue.Allocate(1 << 10);
        var bytes = new byte[1 << 10];
        Random.Shared.NextBytes(bytes);
        var depth = -1;
        var thread = new Thread(() =>
        {
            queue.Upload(bytes, memory.Address);
            queue.Launch(First, 1, 32, 0);
            depth = Fake.StackDepth;
        });
        thread.Start();
        thread.Join();
        var back = new byte[1 << 10];
        queue.Download(memory.Address, back);
        Assert.That(back, Is.EqualTo(bytes));
        Assert.That((depth, Fake.StackDepth), Is.EqualTo((0, 0)));
    }

    [Test]
    public void Addresses_that_kernels_cannot_reach_are_refused()
    {
        Fake.Devices.Add(new("Fake second", 1 << 30, 8, 0, 4));
        using var queue = OnDevice();
        queue.RequireReachable(queue.Allocate(64).Address + 63);
        Assert.That(Refusal(() => queue.RequireReachable(0x10), CudaErrorKind.WrongContext).Message, Does.Contain("host memory"));

        Fake.CreateContext(device: 0);
        var sibling = Fake.AllocateForeign(64);
        Assert.That(Refusal(() => queue.RequireReachable(sibling), CudaErrorKind.WrongContext).Message, Does.Contain("another context"));
        Fake.Managed.Add(sibling);
        queue.RequireReachable(sibling);

        Fake.CreateContext(device: 1);
        var elsewhere = Fake.AllocateForeign(64);
        Assert.That(Refusal(() => queue.RequireReachable(elsewhere), CudaErrorKind.WrongContext).Message, Does.Contain("device 1"));
    }
}
