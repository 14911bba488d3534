using EquiNorm.Gpu.Cuda;
using EquiNorm.Testing;

namespace EquiNorm.Gpu.Tests.Cuda;

internal sealed class CudaTransferTests : FakeCudaFixture
{
    private static readonly int[] Sizes =
    [
        0, 1, 63, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, (8 << 20) + 3, (21 << 20) + 17,
    ];

    [TestCaseSource(nameof(Sizes))]
    public void What_is_uploaded_is_what_is_downloaded(int size)
    {
        using var queue = OnDevice();
        var memory = queue.Allocate(size + 2);
        var bytes = RandomBytes(size);
        var source = bytes.ToArray();
        queue.Clear(memory.Address, size + 2);
        queue.Upload(source, memory.Address + 1);

        // The source may change at once; the fake has copied nothing yet but what it had to.
        Array.Fill(source, (byte)0xEE);
        var back = new byte[size + 2];
        queue.Download(memory.Address, back);
        Assert.That(back.AsSpan(1, size).SequenceEqual(bytes), TestSeeds.Repeat);
        Assert.That((back[0], back[^1]), Is.EqualTo(((byte)0, (byte)0)));
    }

    [TestCase(0)]
    [TestCase(1)]
    [TestCase((64 << 10) + 1)]
    public void What_is_copied_within_the_device_is_the_same(int size)
    {
        using var queue = OnDevice();
        var bytes = RandomBytes(size);
        var (first, second) = (queue.Allocate(size + 1), queue.Allocate(size + 1));
        queue.Upload(bytes, first.Address);
        var before = queue.Counters;
        queue.Copy(first.Address, second.Address, size);
        Assert.That(queue.Counters - before, Is.EqualTo(new QueueCounters(0, size > 0 ? 1 : 0, 0, 0)));
        var back = new byte[size];
        queue.Download(second.Address, back);
        Assert.That(back, Is.EqualTo(bytes), TestSeeds.Repeat);
    }

    [Test]
    public void Many_uploads_do_not_overwrite_each_other()
    {
        using var queue = OnDevice();
        var random = new Random(TestSeeds.Of(nameof(Many_uploads_do_not_overwrite_each_other), 0));
        const int room = 10 << 20;
        var memory = queue.Allocate(room);
        var expected = new byte[room];
        queue.Clear(memory.Address, room);
        for (var i = 0; i < 200; i++)
        {
            var size = random.Next(4) == 0 ? random.Next(9 << 20) : random.Next(100 << 10);
            var start = random.Next(room - size);
            var source = new byte[size];
            random.NextBytes(source);
            queue.Upload(source, memory.Address + (ulong)start);
            source.CopyTo(expected, start);
            Array.Clear(source);
            if (random.Next(20) == 0)
            {
                queue.Download(memory.Address + (ulong)start, source);
                Assert.That(source.AsSpan().SequenceEqual(expected.AsSpan(start, size)), TestSeeds.Repeat);
            }
        }

        var back = new byte[room];
        queue.Download(memory.Address, back);
        Assert.That(back.AsSpan().SequenceEqual(expected), TestSeeds.Repeat);
    }

    [Test]
    public void Small_uploads_wait_only_when_sixteen_are_under_way()
    {
        using var queue = OnDevice();
        var memory = queue.Allocate(64);
        for (var i = 0; i < 16; i++)
        {
            queue.Upload([(byte)i], memory.Address);
        }

        Assert.That(queue.Counters.Synchronizations, Is.Zero);
        queue.Upload([99], memory.Address);
        Assert.That(queue.Counters.Synchronizations, Is.EqualTo(1));
        var back = new byte[1];
        queue.Download(memory.Address, back);
        Assert.That(back[0], Is.EqualTo(99));
    }

    [Test]
    public void Small_copies_take_no_large_buffers()
    {
        using var queue = OnDevice();
        var memory = queue.Allocate(64);
        queue.Download(memory.Address, new byte[4]);
        Assert.That(Fake.Log.Count(call => call == "cuMemAllocHost_v2"), Is.EqualTo(1));
        queue.Upload(new byte[64], memory.Address);
        Assert.That(Fake.Log.Count(call => call == "cuMemAllocHost_v2"), Is.EqualTo(1));
    }

    [Test]
    public void Full_host_memory_is_said_to_be_full_and_can_be_tried_again()
    {
        using var queue = OnDevice();
        var memory = queue.Allocate(64);
        Fake.FailIn("cuMemAllocHost_v2", CudaResult.OutOfMemory);
        var refusal = Refusal(() => queue.Upload(new byte[64], memory.Address), CudaErrorKind.OutOfMemory);
        Assert.That(refusal.Message, Does.Contain("1.0 MiB of page-locked host memory"));
        queue.Upload([1, 2, 3], memory.Address);
        var back = new byte[3];
        queue.Download(memory.Address, back);
        Assert.That(back, Is.EqualTo(new byte[] { 1, 2, 3 }));
    }

    [Test]
    public void A_download_after_a_failed_download_is_whole()
    {
        using var queue = OnDevice();
        var bytes = RandomBytes(20 << 20);
        var memory = queue.Allocate(bytes.Length);
        queue.Upload(bytes, memory.Address);
        var back = new byte[bytes.Length];
        Fake.FailAt(14, CudaResult.InvalidValue);
        Assert.Throws<CudaException>(() => queue.Download(memory.Address, back));
        queue.Download(memory.Address, back);
        Assert.That(back.AsSpan().SequenceEqual(bytes), TestSeeds.Repeat);
    }

    private static byte[] RandomBytes(int size)
    {
        TestContext.Out.WriteLine(TestSeeds.Repeat);
        var bytes = new byte[size];
        new Random(TestSeeds.Of(nameof(CudaTransferTests), size)).NextBytes(bytes);
        return bytes;
    }
}
