// The counters on access patterns whose cost is known.
namespace EquiNorm.PtxMachine.Tests;

[TestFixture]
internal sealed class CountTests
{
    private static KernelCounts Global(string instruction, int stride, int groupSize = 32, int groups = 1, PtxDeviceOptions? options = null)
    {
        using var device = new PtxDevice(options);
        var address = device.Allocate(65536, "data");
        device.Clear(address, 65536);
        device.Run(Snippet.Kernel($"mad.wide.u32 %rd11, %r3, {stride}, %rd0;\n{instruction}", 1), groups, groupSize, address);
        Assert.That(device.Counts("k"), Is.EqualTo(device.LastLaunch).Using<KernelCounts>((a, b) => (a - b).Instructions == 0 && a.SectorsRead == b.SectorsRead));
        return device.LastLaunch;
    }

    [TestCase("ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%rd11];", 16, 512, 16, 16, 1)]
    [TestCase("ld.global.f32 %f1, [%rd11];", 4, 128, 4, 4, 0)]
    [TestCase("ld.global.f64 %fd1, [%rd11];", 8, 256, 8, 8, 0)]
    [TestCase("ld.global.b16 %rs1, [%rd11];", 2, 64, 2, 2, 0)]
    [TestCase("ld.global.f32 %f1, [%rd0];", 4, 128, 1, 1, 0)]
    [TestCase("ld.global.f32 %f1, [%rd11];", 32, 128, 32, 32, 0)]
    [TestCase("ld.global.f32 %f1, [%rd11];", 36, 128, 32, 32, 0)]
    [TestCase("ld.global.f32 %f1, [%rd11];", 8, 128, 8, 8, 0)]
    [TestCase("ld.global.f32 %f1, [%rd11+4];", 4, 128, 5, 5, 0)]
    [TestCase("ld.f32 %f1, [%rd11];", 4, 128, 4, 4, 0)]
    public void Reads_touch_the_sectors_of_their_pattern(string instruction, int stride, long bytes, long sectors, long unique, long vectors)
    {
        var counts = Global(instruction, stride);
        Assert.Multiple(() =>
        {
            Assert.That(counts.BytesRead, Is.EqualTo(bytes));
            Assert.That(counts.SectorsRead, Is.EqualTo(sectors));
            Assert.That(counts.UniqueSectorsRead, Is.EqualTo(unique));
            Assert.That(counts.VectorAccesses, Is.EqualTo(vectors));
            Assert.That(counts.GlobalAccesses, Is.EqualTo(1));
            Assert.That(counts.BytesWritten + counts.SectorsWritten + counts.UniqueSectorsWritten, Is.Zero);
            Assert.That(counts.Label("data"), Is.EqualTo(new LabelTraffic(bytes, 0, sectors, 0, unique, 0)));
        });
    }

    [Test]
    public void Coalesced_float4_needs_what_it_touches()
    {
        var counts = Global("ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%rd11];", 16, 256, 4);
        Assert.That(counts.SectorsRead / counts.SectorsNeededRead, Is.EqualTo(1.0));
        Assert.That(counts.UniqueSectorsRead, Is.EqualTo(4 * 256 * 16 / 32));
    }

    [Test]
    public void A_stride_of_36_bytes_wastes_seven_eighths()
    {
        var counts = Global("ld.global.f32 %f1, [%rd11];", 36, 256, 4);
        Assert.That(counts.SectorsNeededRead, Is.EqualTo(4 * 256 * 4 / 32.0));
        Assert.That(counts.SectorsRead / counts.SectorsNeededRead, Is.EqualTo(8.0));
    }

    [Test]
    public void A_broadcast_needs_one_word()
    {
        var counts = Global("ld.global.f32 %f1, [%rd0];", 4, 64);
        Assert.That(counts.SectorsRead, Is.EqualTo(2));
        Assert.That(counts.SectorsNeededRead, Is.EqualTo(2 * 4 / 32.0));
        Assert.That(counts.UniqueSectorsRead, Is.EqualTo(1));
    }

    [Test]
    public void Scattered_lanes_in_any_order_count_distinct_sectors()
    {
        // 7 * lane mod 32 visits every word of 128 bytes once, out of order; lane / 2 visits 16 words, each twice.
        using var device = new PtxDevice();
        var address = device.Allocate(128);
        device.Clear(address, 128);
        device.Run(Snippet.Kernel("mul.lo.u32 %r4, %r0, 7;\nand.b32 %r4, %r4, 31;\nmad.wide.u32 %rd11, %r4, 4, %rd0;\nld.global.b32 %r5, [%rd11];", 1), 1, 32, address);
        Assert.That((device.LastLaunch.SectorsRead, device.LastLaunch.DistinctBytesRead), Is.EqualTo((4, 128)));
        device.Run(Snippet.Kernel("mul.lo.u32 %r4, %r0, 7;\nand.b32 %r4, %r4, 30;\nmad.wide.u32 %rd11, %r4, 4, %rd0;\nld.global.b32 %r5, [%rd11];", 1), 1, 32, address);
        Assert.That((device.LastLaunch.SectorsRead, device.LastLaunch.DistinctBytesRead), Is.EqualTo((4, 64)));
    }

    [Test]
    public void Descending_lanes_count_each_sector()
    {
        using var device = new PtxDevice();
        var address = device.Allocate(2048);
        device.Clear(address, 2048);
        device.Run(Snippet.Kernel("sub.u32 %r4, 31, %r0;\nmad.wide.u32 %rd11, %r4, 16, %rd0;\nld.global.b32 %r5, [%rd11];", 1), 1, 32, address);
        Assert.That((device.LastLaunch.SectorsRead, device.LastLaunch.DistinctBytesRead), Is.EqualTo((16, 128)));
    }

    [Test]
    public void A_byte_that_two_warps_read_shows_in_the_unique_sectors()
    {
        using var device = new PtxDevice();
        var address = device.Allocate(256);
        device.Clear(address, 256);
        device.Run(Snippet.Kernel("and.b32 %r4, %r0, 31;\nmad.wide.u32 %rd11, %r4, 4, %rd0;\nld.global.b32 %r5, [%rd11];", 1), 3, 64, address);
        Assert.That((device.LastLaunch.SectorsRead, device.LastLaunch.UniqueSectorsRead), Is.EqualTo((3 * 2 * 4, 4)));
    }

    [Test]
    public void Writes_are_counted_apart_and_by_label()
    {
        using var device = new PtxDevice();
        ulong source = device.Upload(new float[64], "source"), target = device.Allocate(256, "target");
        const string body = "mad.wide.u32 %rd11, %r3, 4, %rd0;\nmad.wide.u32 %rd12, %r3, 4, %rd1;\nld.global.f32 %f1, [%rd11];\nst.global.f32 [%rd12], %f1;";
        device.Run(Snippet.Kernel(body), 2, 32, source, target);
        device.Run(Snippet.Kernel(body), 2, 32, source, target);
        Assert.Multiple(() =>
        {
            Assert.That(device.Total.Launches, Is.EqualTo(2));
            Assert.That(device.Total.Label("source"), Is.EqualTo(new LabelTraffic(512, 0, 16, 0, 16, 0)));
            Assert.That(device.Total.Label("target"), Is.EqualTo(new LabelTraffic(0, 512, 0, 16, 0, 16)));
            Assert.That((device.Total - device.LastLaunch).Label("target").BytesWritten, Is.EqualTo(256));
            Assert.That(device.LastLaunch.BytesWritten, Is.EqualTo(256));
        });
        device.ResetCounts();
        Assert.That(device.Total.Instructions + device.Counts("k").Instructions, Is.Zero);
    }

    [TestCase("ld.shared.b32 %r5, [%rd11];", 4, 0)]
    [TestCase("ld.shared.b32 %r5, [%rd11];", 8, 1)]
    [TestCase("ld.shared.b32 %r5, [%rd11];", 16, 3)]
    [TestCase("ld.shared.b32 %r5, [%rd11];", 128, 31)]
    [TestCase("ld.shared.b32 %r5, [%rd11];", 132, 0)]
    [TestCase("ld.shared.b32 %r5, [%rd11];", 0, 0)]
    [TestCase("ld.shared.b64 %rd12, [%rd11];", 8, 0)]
    [TestCase("ld.shared.b64 %rd12, [%rd11];", 16, 2)]
    [TestCase("ld.shared.v4.b32 {%r4, %r5, %r6, %r7}, [%rd11];", 16, 0)]
    [TestCase("ld.shared.v4.b32 {%r4, %r5, %r6, %r7}, [%rd11];", 128, 28)]
    [TestCase("ld.shared.b16 %rs1, [%rd11];", 2, 0)]
    [TestCase("st.shared.b32 [%rd11], %r2;", 128, 31)]
    public void Bank_conflicts_are_counted(string instruction, int stride, long conflicts)
    {
        using var device = new PtxDevice(new() { Checking = false });
        device.Run(Snippet.Kernel($"mul.wide.u32 %rd11, %r0, {stride};\n{instruction}", 1, ".shared .align 16 .b8 s[8192];"), 1, 32, 0);
        Assert.That((device.LastLaunch.SharedAccesses, device.LastLaunch.BankConflicts), Is.EqualTo((1, conflicts)));
    }

    [Test]
    public void Instructions_are_counted_for_warps_and_for_lanes()
    {
        using var device = new PtxDevice();
        // Before the body: one parameter, three moves, mad, cvt. After it: ret.
        device.Run(Snippet.Kernel("setp.lt.u32 %p0, %r0, 8;\n@%p0 add.u32 %r4, %r0, 1;\nbar.sync 0;\nshfl.sync.idx.b32 %r5, %r0, 0, 31, 0xffffffff;", 1), 3, 32, 0);
        Assert.Multiple(() =>
        {
            Assert.That(device.Total.Instructions, Is.EqualTo(3 * 11));
            Assert.That(device.Total.LaneInstructions, Is.EqualTo(3 * (10 * 32 + 8)));
            Assert.That(device.Total.Barriers, Is.EqualTo(3));
            Assert.That(device.Total.Shuffles, Is.EqualTo(3));
        });
    }

    [Test]
    public void Atomics_and_local_memory_and_divergence_are_counted()
    {
        using var device = new PtxDevice();
        var address = device.Upload<int>([0]);
        device.Run(
            Snippet.Kernel(
                "red.global.add.u32 [%rd0], 1;\nst.local.b32 [l], %r0;\nld.local.b32 %r4, [l];\nsetp.lt.u32 %p0, %r0, 8;\n@%p0 bra L;\nmov.u32 %r5, 1;\nL:\nmov.u32 %r5, 2;\n", 1,
                ".local .align 4 .b8 l[4];"), 2, 32, address);
        Assert.That(
            (device.Total.Atomics, device.Total.LocalAccesses, device.Total.DivergentBranches, device.Total.GlobalAccesses), Is.EqualTo((64, 4, 2, 0)));
        Assert.That(device.Read<int>(address, 1)[0], Is.EqualTo(64));
    }

    [Test]
    public void Counts_and_results_do_not_depend_on_the_order_or_the_threads()
    {
        const string body =
            """
            mad.wide.u32 %rd11, %r3, 4, %rd0;
            ld.global.f32 %f1, [%rd11];
            mov.f32 %f2, 0f00000000;
            mov.u32 %r5, 0;
            and.b32 %r6, %r3, 15;
            LOOP:
            setp.ge.u32 %p0, %r5, %r6;
            @%p0 bra DONE;
            fma.rn.f32 %f2, %f2, %f1, %f1;
            add.u32 %r5, %r5, 1;
            bra LOOP;
            DONE:
            mul.wide.u32 %rd12, %r0, 4;
            st.shared.f32 [%rd12], %f2;
            bar.sync 0;
            xor.b32 %r7, %r0, 65;
            mul.wide.u32 %rd13, %r7, 4;
            ld.shared.f32 %f3, [%rd13];
            mad.wide.u32 %rd14, %r3, 4, %rd1;
            st.global.f32 [%rd14], %f3;
            """;
        var input = Enumerable.Range(0, 128 * 40).Select(k => 0.001f * k).ToArray();
        float[]? expected = null;
        KernelCounts? counts = null;
        foreach (var options in new PtxDeviceOptions[]
                 {
                     new(), new() { ReverseGroups = true }, new() { ReverseWarps = true }, new() { Threads = 3 },
                     new() { Threads = 2, ReverseGroups = true, ReverseWarps = true }, new() { Checking = false },
                 })
        {
            using var device = new PtxDevice(options);
            ulong source = device.Upload(input, "in"), target = device.Allocate(4 * input.Length, "out");
            device.Run(Snippet.Kernel(body, 2, ".shared .align 4 .b8 s[512];"), 40, 128, source, target);
            var result = device.Read<float>(target, input.Length);
            expected ??= result;
            counts ??= device.Total;
            Assert.That(result, Is.EqualTo(expected), options.ToString());
            Assert.That(device.Total with { Labels = counts.Labels }, Is.EqualTo(counts), options.ToString());
            Assert.That(device.Total.Labels, Is.EquivalentTo(counts.Labels));
        }
    }
}
