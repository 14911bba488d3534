// Divergence must not change results: random programs run with 32 lanes and again with one lane at a time.
// EQUINORM_SEED repeats a run; a failure names the seed.
using System.Globalization;
using System.Text;

namespace EquiNorm.PtxMachine.Tests;

[TestFixture]
internal sealed class ControlFlowTests
{
    private static readonly int Seed = int.TryParse(
        Environment.GetEnvironmentVariable("EQUINORM_SEED"), NumberStyles.Integer, CultureInfo.InvariantCulture, out var seed)
        ? seed
        : Random.Shared.Next(1_000_000);

    [Test]
    public void Random_programs_give_the_same_for_a_warp_and_for_single_lanes([Range(0, 59)] int number)
    {
        var random = new Random(unchecked(Seed * 1000 + number));
        var program = new Generator(random).Program();
        var ptx = Snippet.Kernel(program, 2);
        var input = Enumerable.Range(0, 64).Select(_ => random.Next()).ToArray();
        var module = PtxModule.Parse(ptx);
        var warp = Run(module, input, 1, 64, out var counts);
        Assert.That(Run(module, input, 64, 1, out var single), Is.EqualTo(warp), $"EQUINORM_SEED={Seed}\n{program}");
        Assert.That(counts.Instructions, Is.LessThan(single.Instructions), "lanes that run together share instructions");
    }

    private static int[] Run(PtxModule module, int[] input, int groups, int groupSize, out KernelCounts counts)
    {
        using var device = new PtxDevice(new() { InstructionLimit = 200_000 });
        ulong source = device.Upload(input), target = device.Upload(new int[input.Length]);
        device.Launch(module, "k", groups, groupSize, Snippet.Arguments(source, target));
        counts = device.Total;
        return device.Read<int>(target, input.Length);
    }

    [Test]
    public void Lanes_meet_at_the_immediate_post_dominator()
    {
        using var device = new PtxDevice();
        var output = device.Allocate(4 * 32);
        // Odd lanes take one way, even lanes another with an inner branch; after it all of them are active again.
        device.Run(
            Snippet.Kernel(
                """
                and.b32 %r4, %r0, 1;
                setp.eq.u32 %p0, %r4, 1;
                @%p0 bra ODD;
                and.b32 %r5, %r0, 2;
                setp.eq.u32 %p1, %r5, 0;
                @%p1 bra INNER;
                mov.u32 %r6, 1;
                INNER:
                activemask.b32 %r7;
                bra MEET;
                ODD:
                activemask.b32 %r7;
                MEET:
                activemask.b32 %r8;
                and.b32 %r9, %r8, %r7;
                mad.wide.u32 %rd11, %r0, 4, %rd0;
                st.global.b32 [%rd11], %r9;
                setp.ne.u32 %p2, %r8, 0xffffffff;
                @%p2 trap;
                """, 1), 1, 32, output);
        Assert.That(device.Read<uint>(output, 32), Is.EqualTo(Enumerable.Range(0, 32).Select(k => k % 2 == 1 ? 0xaaaaaaaau : 0x55555555u)));
    }

    [Test]
    public void Lanes_that_leave_a_loop_wait_behind_it()
    {
        using var device = new PtxDevice();
        device.Run(
            Snippet.Kernel(
                """
                mov.u32 %r4, 0;
                L:
                setp.ge.u32 %p0, %r4, %r0;
                @%p0 bra DONE;
                add.u32 %r4, %r4, 1;
                bra L;
                DONE:
                shfl.sync.bfly.b32 %r5, %r4, 1, 31, 0xffffffff;
                bar.sync 0;
                """, 1), 1, 64, 0);
        // 64 iterations of the second warp and 32 of the first, not the sum over the lanes: 4 instructions each, 2 for the last test.
        Assert.That(device.Total.Instructions, Is.EqualTo(2 * 6 + (31 + 63) * 4 + 2 * 2 + 2 * 4));
    }

    /// <summary>Programs with loops that end, ifs, breaks, early returns and indexed branches over eight variables.</summary>
    private sealed class Generator(Random random)
    {
        private readonly StringBuilder _text = new();
        private int _label;
        private int _loops;

        public string Program()
        {
            _text.Append("mad.wide.u32 %rd11, %r3, 4, %rd0;\nmad.wide.u32 %rd12, %r3, 4, %rd1;\nld.global.b32 %r10, [%rd11];\n");
            for (var v = 11; v < 18; v++)
            {
                _text.Append(CultureInfo.InvariantCulture, $"mul.lo.u32 %r{v}, %r{v - 1}, {2 * random.Next(1 << 20) + 1};\n");
            }

            Block(4, null);
            Finish();
            return _text.ToString();
        }

        private string Variable() => string.Create(CultureInfo.InvariantCulture, $"%r{10 + random.Next(8)}");

        private string Label() => string.Create(CultureInfo.InvariantCulture, $"L{_label++}");

        private string Condition()
        {
            // Bits of the variables: mostly divergent.
            _text.Append(CultureInfo.InvariantCulture, $"shr.u32 %r30, {Variable()}, {random.Next(28)};\nand.b32 %r30, %r30, {(random.Next(2) == 0 ? 1 : 3)};\nsetp.eq.u32 %p1, %r30, 0;\n");
            return random.Next(2) == 0 ? "@%p1" : "@!%p1";
        }

        private void Finish()
        {
            _text.Append("mov.u32 %r31, 0;\n");
            for (var v = 10; v < 18; v++)
            {
                _text.Append(CultureInfo.InvariantCulture, $"mad.lo.u32 %r31, %r31, 31, %r{v};\n");
            }

            _text.Append("st.global.b32 [%rd12], %r31;\nret;\n");
        }

        private void Block(int depth, string? leave)
        {
            for (var n = random.Next(2, 5); n > 0; n--)
            {
                switch (depth > 0 ? random.Next(9) : 0)
                {
                    case 0 or 1 or 2:
                        _text.Append(CultureInfo.InvariantCulture, $"mad.lo.u32 {Variable()}, {Variable()}, {random.Next(1000)}, {Variable()};\n");
                        break;
                    case 3 or 4:
                        string other = Label(), end = Label();
                        _text.Append(CultureInfo.InvariantCulture, $"{Condition()} bra {other};\n");
                        Block(depth - 1, leave);
                        _text.Append(CultureInfo.InvariantCulture, $"bra {end};\n{other}:\n");
                        if (random.Next(2) == 0)
                        {
                            Block(depth - 1, leave);
                        }

                        _text.Append(CultureInfo.InvariantCulture, $"{end}:\n");
                        break;
                    case 5 or 6 when _loops < 3:
                        string head = Label(), exit = Label();
                        var counter = string.Create(CultureInfo.InvariantCulture, $"%r{40 + _loops++}");
                        _text.Append(CultureInfo.InvariantCulture, $"and.b32 {counter}, {Variable()}, 7;\n{head}:\nsetp.eq.u32 %p2, {counter}, 0;\n@%p2 bra {exit};\nsub.u32 {counter}, {counter}, 1;\n");
                        Block(depth - 1, exit);
                        _text.Append(CultureInfo.InvariantCulture, $"bra {head};\n{exit}:\n");
                        _loops--;
                        break;
                    case 7 when leave != null:
                        _text.Append(CultureInfo.InvariantCulture, $"{Condition()} bra {leave};\n");
                        break;
                    case 7:
                        var stay = Label();
                        _text.Append(CultureInfo.InvariantCulture, $"{Condition()} bra {stay};\n");
                        Finish();
                        _text.Append(CultureInfo.InvariantCulture, $"{stay}:\n");
                        break;
                    default:
                        string table = Label(), after = Label();
                        var targets = Enumerable.Range(0, 4).Select(_ => Label()).ToArray();
                        _text.Append(CultureInfo.InvariantCulture, $"and.b32 %r32, {Variable()}, 3;\n{table}:\n.branchtargets {string.Join(", ", targets)};\nbrx.idx %r32, {table};\n");
                        foreach (var target in targets)
                        {
                            _text.Append(CultureInfo.InvariantCulture, $"{target}:\n");
                            Block(0, leave);
                            if (random.Next(3) > 0)
                            {
                                _text.Append(CultureInfo.InvariantCulture, $"bra {after};\n");
                            }
                        }

                        _text.Append(CultureInfo.InvariantCulture, $"{after}:\n");
                        break;
                }
            }
        }
    }
}
