// Each fault planted once: the machine must name the kernel, the line, the lanes. Beside each stands the clean twin.
using System.Globalization;

namespace EquiNorm.PtxMachine.Tests;

[TestFixture]
internal sealed class FaultTests
{
    private const string Shared256 = ".shared .align 16 .b8 s[1024];";

    /// <summary>%rd11 is the address of this thread's word in s, %rd12 that of its neighbour's in the next warp, %rd13 of the next lane's.</summary>
    private const string SharedAddresses =
        """
        mov.u64 %rd14, s;
        mul.wide.u32 %rd11, %r0, 4;
        add.u64 %rd11, %rd11, %rd14;
        xor.b32 %r4, %r0, 32;
        mul.wide.u32 %rd12, %r4, 4;
        add.u64 %rd12, %rd12, %rd14;
        xor.b32 %r5, %r0, 1;
        mul.wide.u32 %rd13, %r5, 4;
        add.u64 %rd13, %rd13, %rd14;

        """;

    private static PtxFaultException Fault(string body, int groups = 1, int groupSize = 32, string declarations = "", PtxDeviceOptions? options = null, params ulong[] arguments)
    {
        using var device = new PtxDevice(options);
        return Fault(device, body, groups, groupSize, declarations, arguments);
    }

    private static PtxFaultException Fault(PtxDevice device, string body, int groups, int groupSize, string declarations, params ulong[] arguments)
    {
        var ptx = Snippet.Kernel(body, Math.Max(1, arguments.Length), declarations);
        var fault = Assert.Throws<PtxFaultException>(() => device.Run(ptx, groups, groupSize, arguments.Length > 0 ? arguments : [0]))!;
        Assert.That(fault.Kernel, Is.EqualTo("k"));
        Assert.That(ptx.Split('\n')[fault.Line - 1].Trim(), Is.EqualTo(fault.Text));
        Assert.That(fault.Message, Does.Contain("in k, line " + fault.Line.ToString(CultureInfo.InvariantCulture)).And.Contain(fault.Text));
        return fault;
    }

    private static void Clean(string body, int groups = 1, int groupSize = 32, string declarations = "", PtxDeviceOptions? options = null, params ulong[] arguments)
    {
        using var device = new PtxDevice(options);
        device.Run(Snippet.Kernel(body, Math.Max(1, arguments.Length), declarations), groups, groupSize, arguments.Length > 0 ? arguments : [0]);
    }

    private static void Reports(PtxFaultException fault, PtxFaultKind kind, string text, uint lanes, int group = 0, int warp = 0)
    {
        Assert.Multiple(() =>
        {
            Assert.That(fault.Kind, Is.EqualTo(kind), fault.Message);
            Assert.That(fault.Text, Is.EqualTo(text), fault.Message);
            Assert.That(fault.Lanes, Is.EqualTo(lanes), fault.Message);
            Assert.That(fault.Group, Is.EqualTo(group), fault.Message);
            Assert.That(fault.Warp, Is.EqualTo(warp), fault.Message);
        });
    }

    [TestCase("ld.global.f32 %f1, [%rd11];", 4, 100L, 0xfe000000u)]
    [TestCase("st.global.f32 [%rd11], %f1;", 4, 100L, 0xfe000000u)]
    [TestCase("ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%rd11];", 16, 31 * 16L, 0x80000000u)]
    [TestCase("st.global.b8 [%rd11], %rs1;", 1, 31L, 0x80000000u)]
    [TestCase("ld.f32 %f1, [%rd11];", 4, 124L, 0x80000000u)]
    [TestCase("ld.global.f32 %f1, [%rd11-4];", 4, 128L, 1u)]
    [TestCase("red.global.add.u32 [%rd11], %r0;", 4, 64L, 0xffff0000u)]
    public void An_access_out_of_bounds_is_reported(string instruction, int stride, long size, uint lanes)
    {
        using var device = new PtxDevice();
        var address = device.Allocate(size, "small");
        device.Clear(address, size);
        var fault = Fault(device, $"mad.wide.u32 %rd11, %r0, {stride}, %rd0;\n{instruction}", 1, 32, "", address);
        Reports(fault, PtxFaultKind.OutOfBounds, instruction, lanes);
        Assert.That(fault.Detail, Does.Contain("'small'"));
    }

    [Test]
    public void A_size_that_is_no_multiple_of_the_access_is_honoured()
    {
        using var device = new PtxDevice();
        var address = device.Allocate(127);
        Reports(Fault(device, "mad.wide.u32 %rd11, %r0, 4, %rd0;\nst.global.b32 [%rd11], %r0;", 1, 32, "", address), PtxFaultKind.OutOfBounds, "st.global.b32 [%rd11], %r0;", 1u << 31);
    }

    [Test]
    public void Null_is_out_of_bounds() =>
        Reports(Fault("mov.u64 %rd11, 0;\nld.global.f32 %f1, [%rd11];"), PtxFaultKind.OutOfBounds, "ld.global.f32 %f1, [%rd11];", uint.MaxValue);

    [TestCase("ld.shared.f32 %f1, [%rd11];")]
    [TestCase("st.shared.f32 [%rd11], %f1;")]
    public void An_access_outside_shared_memory_is_reported(string instruction) =>
        Reports(Fault("mul.wide.u32 %rd11, %r0, 4;\n" + instruction, declarations: ".shared .align 4 .b8 s[120];\n.reg .b64 %q;", groupSize: 32), PtxFaultKind.OutOfBounds, instruction, 0xc0000000);

    [Test]
    public void An_access_outside_local_memory_is_reported() =>
        Reports(
            Fault("mov.u64 %rd11, l;\nmul.wide.u32 %rd12, %r0, 4;\nadd.u64 %rd11, %rd11, %rd12;\nst.local.b32 [%rd11], %r0;", declarations: ".local .align 4 .b8 l[16];"),
            PtxFaultKind.OutOfBounds, "st.local.b32 [%rd11], %r0;", 1u << 4);

    [TestCase("ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%rd11];", 4, 0xeeeeeeeeu)]
    [TestCase("ld.global.v2.f32 {%f1, %f2}, [%rd11];", 4, 0xaaaaaaaau)]
    [TestCase("st.global.v4.f32 [%rd11], {%f1, %f2, %f3, %f4};", 20, 0xeeeeeeeeu)]
    [TestCase("ld.global.f64 %fd1, [%rd11];", 4, 0xaaaaaaaau)]
    [TestCase("ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%rd11+8];", 16, uint.MaxValue)]
    public void A_misaligned_access_is_reported(string instruction, int stride, uint lanes)
    {
        using var device = new PtxDevice();
        var address = device.Allocate(4096);
        device.Clear(address, 4096);
        Reports(Fault(device, $"mad.wide.u32 %rd11, %r0, {stride}, %rd0;\n{instruction}", 1, 32, "", address), PtxFaultKind.Misaligned, instruction, lanes);
    }

    [Test]
    public void A_misaligned_access_to_shared_memory_is_reported() =>
        Reports(Fault("mul.wide.u32 %rd11, %r0, 4;\nst.shared.b64 [%rd11], %rd0;", declarations: Shared256 + "\n"), PtxFaultKind.Misaligned, "st.shared.b64 [%rd11], %rd0;", 0xaaaaaaaa);

    [Test]
    public void An_uninitialised_read_of_global_memory_is_reported()
    {
        using var device = new PtxDevice();
        var address = device.Allocate(128);
        device.Write<int>(address, new int[20]);
        const string load = "ld.global.b32 %r4, [%rd11];";
        Reports(Fault(device, "mad.wide.u32 %rd11, %r0, 4, %rd0;\n" + load, 1, 32, "", address), PtxFaultKind.Uninitialized, load, 0xfff00000);
        device.Clear(address, 128);
        device.Run(Snippet.Kernel("mad.wide.u32 %rd11, %r0, 4, %rd0;\n" + load, 1), 1, 32, address);
    }

    [Test]
    public void A_single_uninitialised_byte_is_reported()
    {
        using var device = new PtxDevice();
        var address = device.Allocate(128);
        device.Clear(address, 65);
        device.Clear(address + 66, 62);
        const string load = "ld.global.b32 %r4, [%rd11];";
        Reports(Fault(device, "mad.wide.u32 %rd11, %r0, 4, %rd0;\n" + load, 1, 32, "", address), PtxFaultKind.Uninitialized, load, 1u << 16);
    }

    [Test]
    public void A_kernel_may_read_what_another_wrote()
    {
        using var device = new PtxDevice();
        var address = device.Allocate(128);
        device.Run(Snippet.Kernel("mad.wide.u32 %rd11, %r0, 4, %rd0;\nst.global.b32 [%rd11], %r0;", 1), 1, 32, address);
        Assert.That(device.IsInitialized(address, 128));
        device.Run(Snippet.Kernel("mad.wide.u32 %rd11, %r0, 4, %rd0;\nld.global.b32 %r4, [%rd11];", 1), 1, 32, address);
    }

    [Test]
    public void An_uninitialised_read_of_shared_memory_is_reported()
    {
        const string load = "ld.shared.b32 %r6, [%rd11];";
        var body = SharedAddresses + "setp.lt.u32 %p0, %r0, 8;\n@%p0 st.shared.b32 [%rd11], %r0;\nbar.sync 0;\n" + load;
        Reports(Fault(body, declarations: Shared256), PtxFaultKind.Uninitialized, load, 0xffffff00);
        // What the group before wrote is gone.
        Reports(Fault(body.Replace("%r0, 8", "%r1, 1", StringComparison.Ordinal), 2, declarations: Shared256), PtxFaultKind.Uninitialized, load, uint.MaxValue, group: 1);
    }

    [Test]
    public void An_uninitialised_read_of_local_memory_is_reported() =>
        Reports(Fault("mov.u64 %rd11, l;\nld.local.b32 %r4, [%rd11];", declarations: ".local .align 4 .b8 l[16];"), PtxFaultKind.Uninitialized, "ld.local.b32 %r4, [%rd11];", 1);

    [Test]
    public void Use_after_free_is_reported()
    {
        using var device = new PtxDevice();
        var address = device.Allocate(128, "gone");
        device.Clear(address, 128);
        const string load = "ld.global.b32 %r4, [%rd11];";
        device.Run(Snippet.Kernel("mad.wide.u32 %rd11, %r0, 4, %rd0;\n" + load, 1), 1, 32, address);
        device.Free(address);
        device.Allocate(128);
        var fault = Fault(device, "mad.wide.u32 %rd11, %r0, 4, %rd0;\n" + load, 1, 32, "", address);
        Reports(fault, PtxFaultKind.UseAfterFree, load, uint.MaxValue);
        Assert.That(fault.Detail, Does.Contain("'gone'"));
    }

    [Test]
    public void A_missing_barrier_is_reported()
    {
        const string load = "ld.shared.b32 %r6, [%rd12];";
        var body = SharedAddresses + "st.shared.b32 [%rd11], %r0;\nbar.sync 0;\n" + load;
        Clean(body, groupSize: 64, declarations: Shared256);
        var broken = body.Replace("bar.sync 0;", "", StringComparison.Ordinal);
        // Warp 0 runs first and finds nothing in its neighbour's words; in reverse order warp 1 does.
        Reports(Fault(broken, groupSize: 64, declarations: Shared256), PtxFaultKind.Uninitialized, load, uint.MaxValue);
        // Once initialised, it is the race that remains.
        var initialised = body.Replace("ld.shared", "st.shared.b32 [%rd11], %r0;\nld.shared", StringComparison.Ordinal);
        Reports(Fault(initialised, groupSize: 64, declarations: Shared256), PtxFaultKind.SharedRace, "st.shared.b32 [%rd11], %r0;", 1, warp: 1);
        Reports(
            Fault(initialised, groupSize: 64, declarations: Shared256, options: new() { ReverseWarps = true }),
            PtxFaultKind.SharedRace, "st.shared.b32 [%rd11], %r0;", 1);
    }

    [Test]
    public void A_missing_barrier_before_a_write_is_reported()
    {
        const string store = "st.shared.b32 [%rd12], %r6;";
        var body = SharedAddresses + "st.shared.b32 [%rd11], %r0;\nbar.sync 0;\nld.shared.b32 %r6, [%rd11];\nbar.sync 0;\n" + store;
        Clean(body, groupSize: 64, declarations: Shared256);
        var broken = body.Replace("[%rd11];\nbar.sync 0;", "[%rd11];", StringComparison.Ordinal);
        Reports(Fault(broken, groupSize: 64, declarations: Shared256), PtxFaultKind.SharedRace, "ld.shared.b32 %r6, [%rd11];", 1, warp: 1);
    }

    [Test]
    public void A_missing_barrier_of_the_warp_is_reported()
    {
        const string load = "ld.shared.b32 %r6, [%rd13];";
        var body = SharedAddresses + "st.shared.b32 [%rd11], %r0;\nbar.warp.sync 0xffffffff;\n" + load;
        Clean(body, groupSize: 64, declarations: Shared256);
        var broken = body.Replace("bar.warp.sync 0xffffffff;", "", StringComparison.Ordinal);
        Reports(Fault(broken, declarations: Shared256), PtxFaultKind.SharedRace, load, 1);
        // And in the other direction: read, then overwritten by another lane.
        var backwards = body + "\nbar.warp.sync 0xffffffff;\nst.shared.b32 [%rd11], %r6;";
        Clean(backwards, declarations: Shared256);
        var at = backwards.LastIndexOf("bar.warp.sync 0xffffffff;", StringComparison.Ordinal);
        Reports(Fault(backwards[..at] + backwards[(at + 25)..], declarations: Shared256), PtxFaultKind.SharedRace, "st.shared.b32 [%rd11], %r6;", 1);
    }

    [Test]
    public void A_barrier_of_the_warp_does_not_order_warps()
    {
        const string load = "ld.shared.b32 %r6, [%rd12];";
        var body = SharedAddresses + "st.shared.b32 [%rd11], %r0;\nbar.sync 0;\nst.shared.b32 [%rd11], %r0;\nbar.warp.sync 0xffffffff;\n" + load;
        Reports(Fault(body, groupSize: 64, declarations: Shared256), PtxFaultKind.SharedRace, "st.shared.b32 [%rd11], %r0;", 1, warp: 1);
    }

    [Test]
    public void Lanes_that_write_different_values_to_one_word_are_reported()
    {
        const string store = "st.shared.b32 [s], %r0;";
        Reports(Fault(store, declarations: Shared256), PtxFaultKind.SharedRace, store, 2);
        Clean("st.shared.b32 [s], %r2;", declarations: Shared256);
        using var device = new PtxDevice();
        var address = device.Allocate(4);
        Reports(Fault(device, "st.global.b32 [%rd0], %r0;", 1, 32, "", address), PtxFaultKind.GlobalRace, "st.global.b32 [%rd0], %r0;", 2);
        device.Run(Snippet.Kernel("st.global.b32 [%rd0], %r2;", 1), 1, 32, address);
    }

    [Test]
    public void Shared_atomics_do_not_race_with_each_other_but_with_plain_accesses()
    {
        const string set = "setp.eq.u32 %p0, %r0, 0;\n@%p0 st.shared.b32 [s], 0;\nbar.sync 0;\nred.shared.add.u32 [s], 1;\n";
        Clean(set + "bar.sync 0;\nld.shared.b32 %r6, [s];", groupSize: 96, declarations: Shared256);
        Reports(Fault(set + "ld.shared.b32 %r6, [s];", groupSize: 96, declarations: Shared256), PtxFaultKind.SharedRace, "ld.shared.b32 %r6, [s];", 1);
    }

    [TestCase("ld.global.b32 %r6, [%rd0];", "st.global.b32 [%rd0], 1;", "st.global.b32 [%rd0], 1;", 1)]
    [TestCase("st.global.b32 [%rd0], 1;", "ld.global.b32 %r6, [%rd0];", "ld.global.b32 %r6, [%rd0];", 1)]
    [TestCase("st.global.b32 [%rd0], 1;", "st.global.b32 [%rd0], 1;", "st.global.b32 [%rd0], 1;", 1)]
    [TestCase("st.global.b32 [%rd0], 1;", "red.global.add.u32 [%rd0], 1;", "red.global.add.u32 [%rd0], 1;", 1)]
    [TestCase("red.global.add.u32 [%rd0], 1;", "ld.global.b32 %r6, [%rd0];", "ld.global.b32 %r6, [%rd0];", 1)]
    [TestCase("ld.global.b32 %r6, [%rd0];", "ld.global.b32 %r6, [%rd0];", null, 0)]
    [TestCase("red.global.add.u32 [%rd0], 1;", "atom.global.add.u32 %r6, [%rd0], 1;", null, 0)]
    [TestCase("st.global.b8 [%rd0], %rs1;", "st.global.b8 [%rd0+1], %rs1;", null, 0)]
    public void Races_between_groups_are_reported(string first, string second, string? text, int group)
    {
        foreach (var reverse in new[] { false, true })
        {
            using var device = new PtxDevice(new() { ReverseGroups = reverse });
            var address = device.Allocate(64);
            device.Clear(address, 64);
            var body = $"setp.eq.u32 %p0, %r1, 0;\n@!%p0 bra L;\n{(reverse ? second : first)}\nret;\nL:\n{(reverse ? first : second)}";
            if (text == null)
            {
                device.Run(Snippet.Kernel(body, 1), 2, 1, address);
                continue;
            }

            Reports(Fault(device, body, 2, 1, "", address), PtxFaultKind.GlobalRace, text, 1, group: reverse ? 0 : group);
        }
    }

    [Test]
    public void What_several_groups_read_nobody_may_write()
    {
        using var device = new PtxDevice();
        var address = device.Upload<int>([1]);
        const string store = "st.global.b32 [%rd0], 1;";
        Reports(Fault(device, "ld.global.b32 %r6, [%rd0];\nsetp.eq.u32 %p0, %r1, 2;\n@!%p0 ret;\n" + store, 3, 1, "", address), PtxFaultKind.GlobalRace, store, 1, group: 2);
        // The next launch begins anew.
        device.Run(Snippet.Kernel(store, 1), 1, 1, address);
    }

    [Test]
    public void A_fence_and_an_atomic_hand_on_what_was_written()
    {
        // The last group sums up what the others wrote.
        const string body =
            """
            mad.wide.u32 %rd11, %r1, 4, %rd0;
            st.global.b32 [%rd11], %r1;
            membar.gl;
            atom.global.add.u32 %r4, [%rd1], 1;
            setp.ne.u32 %p0, %r4, 3;
            @%p0 ret;
            ld.global.b32 %r5, [%rd0];
            ld.global.b32 %r6, [%rd0+4];
            ld.global.b32 %r7, [%rd0+12];
            st.global.b32 [%rd1], 0;
            """;
        foreach (var reverse in new[] { false, true })
        {
            using var device = new PtxDevice(new() { ReverseGroups = reverse });
            ulong data = device.Allocate(16), counter = device.Upload<int>([0]);
            device.Run(Snippet.Kernel(body), 4, 1, data, counter);
            Reports(
                Fault(device, body.Replace("membar.gl;", "", StringComparison.Ordinal), 4, 1, "", data, counter),
                PtxFaultKind.GlobalRace, reverse ? "ld.global.b32 %r6, [%rd0+4];" : "ld.global.b32 %r5, [%rd0];", 1, group: reverse ? 0 : 3);
        }
    }

    [Test]
    public void A_barrier_that_some_lanes_miss_is_reported()
    {
        const string body = "setp.lt.u32 %p0, %r0, 5;\n@%p0 bra L;\nbar.sync 0;\nmov.u32 %r4, 1;\nL:\nmov.u32 %r5, 2;\n";
        Reports(Fault(body), PtxFaultKind.DivergentBarrier, "bar.sync 0;", 0x1f);
        Reports(Fault("setp.lt.u32 %p0, %r0, 5;\n@%p0 bar.sync 0;"), PtxFaultKind.DivergentBarrier, "@%p0 bar.sync 0;", 0xffffffe0);
    }

    [Test]
    public void Warps_at_different_barriers_are_reported()
    {
        const string body = "shr.u32 %r4, %r0, 5;\nsetp.eq.u32 %p0, %r4, 1;\n@%p0 bra L;\nbar.sync 0;\nbra M;\nL:\nbar.sync 1;\nM:\nmov.u32 %r5, 2;\n";
        var fault = Fault(body, groupSize: 64);
        Reports(fault, PtxFaultKind.DivergentBarrier, "bar.sync 1;", uint.MaxValue, warp: 1);
        Assert.That(fault.Detail, Does.Contain("warp 0 waits at another barrier"));
    }

    [TestCase("@%p0 ret;\n")]
    [TestCase("@%p0 bra L;\nbra M;\nL: ret;\nM:\n")]
    [TestCase("@!%p0 bra M;\nmov.u32 %r4, 4;\nret;\nM:\n")]
    [TestCase("@%p0 bra L;\nbra M;\nL: mov.u32 %r4, 4;\nret;\nM:\n")]
    public void Lanes_that_have_returned_are_not_waited_for_unless_asked(string exit)
    {
        var body = "setp.gt.u32 %p0, %r0, 40;\n" + exit + "bar.sync 0;\n";
        Clean(body, groupSize: 64);
        Clean(body.Replace("40", "31", StringComparison.Ordinal), groupSize: 64);
        Reports(Fault(body, groupSize: 64, options: new() { StrictBarriers = true }), PtxFaultKind.DivergentBarrier, "bar.sync 0;", uint.MaxValue);
    }

    [Test]
    public void An_early_return_to_the_common_end_does_not_hold_up_a_barrier()
    {
        // As ILGPU compiles it: the branch goes to the only ret, where all lanes meet.
        const string body = "setp.gt.u32 %p0, %r0, 40;\n@%p0 bra END;\nbar.sync 0;\nmov.u32 %r4, 1;\nEND:\n";
        Clean(body, groupSize: 64);
        Clean(body.Replace("@%p0 bra", "@!%p0 bra", StringComparison.Ordinal), groupSize: 64);
        Reports(Fault(body, groupSize: 64, options: new() { StrictBarriers = true }), PtxFaultKind.DivergentBarrier, "bar.sync 0;", uint.MaxValue);
    }

    [TestCase("shfl.sync.idx.b32 %r4, %r0, 0, 31, 0xffffffff;")]
    [TestCase("vote.sync.ballot.b32 %r4, %p0, 0xffffffff;")]
    [TestCase("redux.sync.add.s32 %r4, %r0, 0xffffffff;")]
    public void A_mask_that_names_lanes_elsewhere_is_reported(string instruction)
    {
        Reports(Fault($"setp.lt.u32 %p0, %r0, 5;\n@%p0 bra L;\n{instruction}\nmov.u32 %r5, 1;\nL:\nmov.u32 %r5, 2;\n"), PtxFaultKind.DivergentShuffle, instruction, 0x1f);
        Clean(instruction);
        var part = instruction.Replace("0xffffffff", "0xffffffe0", StringComparison.Ordinal).Replace(" 0, 31", " 5, 31", StringComparison.Ordinal);
        Clean($"setp.lt.u32 %p0, %r0, 5;\n@%p0 bra L;\n{part}\nL:\n");
        Reports(Fault(part), PtxFaultKind.DivergentShuffle, part, 1);
    }

    [Test]
    public void A_mask_of_a_warp_barrier_that_names_lanes_elsewhere_is_reported() =>
        Reports(
            Fault("setp.lt.u32 %p0, %r0, 5;\n@%p0 bra L;\nbar.warp.sync 0xffffffff;\nmov.u32 %r5, 1;\nL:\nmov.u32 %r5, 2;\n"),
            PtxFaultKind.DivergentBarrier, "bar.warp.sync 0xffffffff;", 0x1f);

    [Test]
    public void A_shuffle_from_a_lane_that_is_not_there_is_reported()
    {
        const string shuffle = "shfl.sync.down.b32 %r4, %r0, 1, 31, 0xffffffff;";
        Reports(Fault(shuffle, groupSize: 20), PtxFaultKind.InactiveSourceLane, shuffle, 1u << 19);
        Reports(Fault("setp.eq.u32 %p0, %r0, 7;\n@%p0 ret;\n" + shuffle), PtxFaultKind.InactiveSourceLane, shuffle, 1u << 6);
        Clean(shuffle, groupSize: 64);
    }

    [Test]
    public void A_uniform_branch_on_a_condition_that_is_not_is_reported()
    {
        const string body = "setp.lt.u32 %p0, %r0, 40;\n@%p0 bra.uni L;\nmov.u32 %r4, 1;\nL:\nmov.u32 %r4, 2;\n";
        Reports(Fault(body, groupSize: 64), PtxFaultKind.NonUniformBranch, "@%p0 bra.uni L;", 0xff, warp: 1);
        Clean(body, groupSize: 32);
        Clean(body.Replace("bra.uni", "bra", StringComparison.Ordinal), groupSize: 64);
    }

    [Test]
    public void A_runaway_loop_is_reported()
    {
        Reports(
            Fault("L:\nadd.u32 %r4, %r4, 1;\nsetp.ne.u32 %p0, %r0, 3;\n@%p0 bra L;\n", options: new() { InstructionLimit = 10000 }),
            PtxFaultKind.InstructionLimit, "@%p0 bra L;", ~8u);
        Reports(Fault("L:\nbra L;\n", options: new() { InstructionLimit = 10000 }), PtxFaultKind.InstructionLimit, "bra L;", uint.MaxValue);
    }

    [Test]
    public void The_limit_holds_for_each_warp_of_each_group()
    {
        const string body = "mov.u32 %r4, 0;\nL:\nadd.u32 %r4, %r4, 1;\nsetp.lt.u32 %p0, %r4, 20;\n@%p0 bra L;\n";
        Clean(body, groups: 50, groupSize: 64, options: new() { InstructionLimit = 100 });
        Reports(
            Fault(body, groups: 50, groupSize: 64, options: new() { InstructionLimit = 50 }), PtxFaultKind.InstructionLimit, "@%p0 bra L;", uint.MaxValue);
    }

    [Test]
    public void An_index_outside_a_table_of_branches_is_reported() =>
        Reports(Fault("T: .branchtargets A, B;\nbrx.idx %r0, T;\nA:\nB:\n"), PtxFaultKind.BranchIndex, "brx.idx %r0, T;", 4);

    [Test]
    public void Trap_is_reported() => Reports(Fault("setp.eq.u32 %p0, %r0, 9;\n@%p0 trap;"), PtxFaultKind.Trap, "@%p0 trap;", 1u << 9);

    [Test]
    public void Of_several_faults_that_of_the_first_group_is_reported_whatever_the_threads()
    {
        const string store = "st.global.b32 [%rd11], %r0;";
        for (var threads = 1; threads < 4; threads++)
        {
            using var device = new PtxDevice(new() { Threads = threads });
            var address = device.Allocate(4 * 1000);
            Reports(Fault(device, "mad.wide.u32 %rd11, %r3, 4, %rd0;\n" + store, 100, 32, "", address), PtxFaultKind.OutOfBounds, store, 0xffffff00, group: 31);
        }
    }

    [Test]
    public void Unchecked_runs_still_know_bounds()
    {
        using var device = new PtxDevice(new() { Checking = false, Counting = false });
        var address = device.Allocate(64);
        device.Run(Snippet.Kernel("ld.global.b32 %r4, [%rd0];", 1), 1, 1, address);
        Reports(Fault(device, "ld.global.b32 %r4, [%rd0+64];", 1, 1, "", address), PtxFaultKind.OutOfBounds, "ld.global.b32 %r4, [%rd0+64];", 1);
    }

    [Test]
    public void The_device_runs_on_after_a_fault()
    {
        using var device = new PtxDevice();
        var address = device.Upload<int>([7]);
        Fault(device, "ld.global.b32 %r4, [%rd0];\nld.global.b32 %r4, [%rd0+64];", 1, 1, "", address);
        device.Run(Snippet.Kernel("ld.global.b32 %r4, [%rd0];", 1), 1, 1, address);
        Assert.That(device.Total.UniqueSectorsRead, Is.EqualTo(1));
        Assert.That(device.Total.Launches, Is.EqualTo(1));
    }

    [TestCase("frobnicate.b32 %r4, %r0;", "unknown instruction frobnicate.b32")]
    [TestCase("add.rz.f32 %f1, %f2, %f3;", "unknown instruction add.rz.f32")]
    [TestCase("wmma.load.a.sync.aligned.row.m16n16k16.f16 {%r4}, [%rd0];", "unknown instruction wmma.load")]
    [TestCase("ld.global.b32 %r4, [%rd77];", "undeclared name %rd77")]
    [TestCase("bra NOWHERE;", "the label NOWHERE is not there")]
    [TestCase("cvt.s32.f32 %r4, %f1;", "unknown instruction cvt.s32.f32")]
    [TestCase("add.s32 %r4, %r5;", "1 operands")]
    public void What_the_machine_does_not_know_it_names(string instruction, string message)
    {
        var ptx = Snippet.Kernel(instruction);
        var error = Assert.Throws<PtxParseException>(() => PtxModule.Parse(ptx))!;
        if (!message.Contains("operands", StringComparison.Ordinal))
        {
            Assert.That(error.Message, Does.Contain(message));
        }

        Assert.That(ptx.Split('\n')[error.Line - 1], Does.Contain(instruction));
    }
}
