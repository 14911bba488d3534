using System.Runtime.InteropServices;
using System.Text;
using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Gpu.Tests.Cuda;

/// <summary>The few tests that need a real device. Without one they are ignored and say why; they never pass unseen.</summary>
[NonParallelizable]
internal sealed class CudaHardwareTests
{
    [Test]
    public void Listing_never_fails()
    {
        var list = CudaDevices.List();
        TestContext.Out.WriteLine(list.WhyEmpty ?? string.Join("\n", list.Devices));
        Assert.That(list.Devices.Count == 0, Is.EqualTo(list.WhyEmpty is not null));
        if (list.DriverVersion is null)
        {
            Assert.That(() => CudaQueue.OnDevice(0), Throws.TypeOf<CudaException>());
        }
    }

    [Test]
    public void Bytes_come_back_from_a_device([Values(1, 65_537, 20_000_003)] int size)
    {
        using var queue = Device();
        var bytes = new byte[size];
        Random.Shared.NextBytes(bytes);
        var memory = queue.Allocate(size);
        queue.RequireReachable(memory.Address);
        var back = new byte[size];
        using var start = queue.Record();
        queue.Upload(bytes, memory.Address);
        queue.Download(memory.Address, back);
        using var end = queue.Record();
        Assert.That(back.AsSpan().SequenceEqual(bytes));
        TestContext.Out.WriteLine($"{queue.Name}: {size} bytes there and back in {queue.Elapsed(start, end).TotalMilliseconds} ms");
        queue.Clear(memory.Address, size);
        queue.Download(memory.Address, back);
        Assert.That(back, Is.All.Zero);
    }

    [Test]
    public void A_kernel_runs_on_a_device_alone_and_in_a_graph()
    {
        // Adds a number to each of n ints; written by hand, so that it does not wait for the project's kernels.
        var add = new KernelId("AddNumber", 0);
        using var queue = Device(_ => Encoding.ASCII.GetBytes(AddNumber + "\0"));
        queue.Prepare([add]);
        var memory = queue.Allocate(1000 * sizeof(int));
        queue.Clear(memory.Address, memory.Bytes);
        var arguments = new Arguments(new DeviceView<int>(memory.Address, 1000), 5);
        queue.Launch(add, 8, 128, in arguments);
        using var graph = queue.Capture(() => queue.Launch(add, 8, 128, in arguments));
        graph.Launch();
        graph.Launch();
        var back = new byte[memory.Bytes];
        queue.Download(memory.Address, back);
        Assert.That(MemoryMarshal.Cast<byte, int>(back).ToArray(), Is.All.EqualTo(15));
        Assert.That(queue.Counters.Launches, Is.EqualTo(3));
    }

    // 24 bytes with the padding behind the last parameter, of which the PTX declares 20.
    [StructLayout(LayoutKind.Sequential)]
    private record struct Arguments(DeviceView<int> View, int Number);

    private const string AddNumber = """
        .version 7.8
        .target sm_80
        .address_size 64
        .visible .entry AddNumber(.param .align 8 .b8 view[16], .param .b32 number)
        {
            .reg .pred %p;
            .reg .b32 %r<6>;
            .reg .b64 %rd<5>;
            ld.param.u64 %rd1, [view];
            ld.param.u64 %rd2, [view+8];
            ld.param.u32 %r1, [number];
            mov.u32 %r2, %ctaid.x;
            mov.u32 %r3, %ntid.x;
            mov.u32 %r4, %tid.x;
            mad.wide.u32 %rd3, %r2, %r3, 0;
            cvt.u64.u32 %rd4, %r4;
            add.u64 %rd3, %rd3, %rd4;
            setp.ge.u64 %p, %rd3, %rd2;
            @%p ret;
            shl.b64 %rd3, %rd3, 2;
            add.u64 %rd1, %rd1, %rd3;
            ld.global.u32 %r5, [%rd1];
            add.u32 %r5, %r5, %r1;
            st.global.u32 [%rd1], %r5;
            ret;
        }
        """;

    private static CudaQueue Device(Func<KernelId, byte[]>? images = null)
    {
        var list = CudaDevices.List();
        var device = list.Devices.FirstOrDefault(d => d.IsSupported);
        if (device is null)
        {
            Assert.Ignore($"needs a GPU: {list.WhyEmpty ?? list.Devices[0].WhyUnsupported}");
        }

        return CudaQueue.OnDevice(InstalledDriver.Get(), device!.Index, images ?? KernelImages.Ptx);
    }
}
