// What ILGPU 1.5.3 emits for small kernels, executed. The C# source of each kernel stands at the head of its file.
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;

namespace EquiNorm.PtxMachine.Tests;

[TestFixture]
internal sealed partial class FixtureTests
{
    public static IEnumerable<string> Files() =>
        Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "Fixtures"), "*.ptx").Select(f => Path.GetFileNameWithoutExtension(f)!).Order();

    [GeneratedRegex(@"(@!?%p\d+ )bra\.uni")]
    private static partial Regex UniformBranch();

    private static string Text(string name) => File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Fixtures", name + ".ptx"));

    private static float[] Floats(int count, int seed = 1) => [.. Enumerable.Range(0, count).Select(k => ((k * 7919 + seed * 104729) % 2000 - 1000) / 64f)];

    private static int[] Ints(int count, int seed = 1) => [.. Enumerable.Range(0, count).Select(k => (k * 7919 + seed * 104729) % 2001 - 1000)];

    [TestCaseSource(nameof(Files))]
    public void What_the_compiler_emits_is_understood(string name)
    {
        var module = PtxModule.Parse(Text(name));
        Assert.That(module.Entries.Single().Name, Is.EqualTo("Kernel_" + name));
        Assert.That(module.Entries.Single().MaxThreads, Is.EqualTo(256));
    }

    /// <summary>Runs a fixture in all orders, clean, with equal bits; gives the contents of the buffers after it.</summary>
    private static byte[][] Run(string name, int groups, int groupSize, Array[] buffers, params object[] scalars)
    {
        byte[][]? expected = null;
        foreach (var options in new PtxDeviceOptions[] { new(), new() { ReverseGroups = true, ReverseWarps = true }, new() { Threads = 2 } })
        {
            using var device = new PtxDevice(options);
            var arguments = new Arguments();
            var addresses = new List<(ulong Address, int Bytes)>();
            foreach (var buffer in buffers)
            {
                var bytes = Buffer.ByteLength(buffer);
                var address = device.Allocate(bytes, $"buffer {addresses.Count}");
                device.Write(address, Bytes(buffer));
                addresses.Add((address, bytes));
                arguments.View(address, buffer.Length);
            }

            foreach (var scalar in scalars)
            {
                arguments.Scalar(scalar);
            }

            device.Launch(PtxModule.Parse(UniformBranch().Replace(Text(name), "$1bra")), "Kernel_" + name, groups, groupSize, arguments.Block);
            var result = addresses.Select(a =>
            {
                var bytes = new byte[a.Bytes];
                device.Read(a.Address, bytes.AsSpan());
                return bytes;
            }).ToArray();
            expected ??= result;
            Assert.That(result, Is.EqualTo(expected), options.ToString());
        }

        return expected!;
    }

    private static byte[] Bytes(Array buffer)
    {
        var bytes = new byte[Buffer.ByteLength(buffer)];
        Buffer.BlockCopy(buffer, 0, bytes, 0, bytes.Length);
        return bytes;
    }

    private static T[] As<T>(byte[] bytes)
        where T : unmanaged => MemoryMarshal.Cast<byte, T>(bytes).ToArray();

    private sealed class Arguments
    {
        private readonly List<byte> _bytes = [];

        public byte[] Block => [.. _bytes];

        public void View(ulong address, long length)
        {
            Scalar(address);
            Scalar(length);
        }

        public void Scalar(object value)
        {
            var bytes = value switch
            {
                int v => BitConverter.GetBytes(v),
                float v => BitConverter.GetBytes(v),
                long v => BitConverter.GetBytes(v),
                ulong v => BitConverter.GetBytes(v),
                _ => throw new ArgumentException(value.ToString()),
            };
            while (_bytes.Count % bytes.Length != 0)
            {
                _bytes.Add(0);
            }

            _bytes.AddRange(bytes);
        }
    }

    [Test]
    public void Axpy()
    {
        float[] y = Floats(1000), x = Floats(1000, 2);
        Assert.That(As<float>(Run("Axpy", 8, 128, [y, x], 2f)[0]), Is.EqualTo(y.Zip(x, (b, a) => b + 2f * a)));
    }

    [Test]
    public void Arithmetic_of_all_types()
    {
        const int n = 200;
        const int k = 5;
        float[] f = [.. Floats(n).Select(MathF.Abs)];
        double[] d = [.. Floats(n, 3).Select(v => Math.Abs((double)v) / 3)];
        int[] i = Ints(n);
        long[] l = [.. Ints(n, 5).Select(v => v * 123_456_789_012L)];
        var results = Run("Arith", 2, 128, [f, d, i, l], k);
        Assert.Multiple(() =>
        {
            for (var at = 0; at < n; at++)
            {
                var (a, b, c, e) = (f[at], d[at], i[at], l[at]);
                var expectedF = MathF.Abs(a) / (a - 2f) + MathF.Sqrt(a) - MathF.Min(a, 3f) * MathF.Max(a, (float)b) + 1f / a + c + e + (-a);
                var expectedD = Math.Abs(b) / (b - 2) + Math.Sqrt(b) - Math.Min(b, 3) * Math.Max(b, a) + 1 / b + c + e - b + (uint)c + (ulong)e;
                var expectedI = unchecked(Quotient(c * k, c + 7) + (c % 5) - (c << 3) + (c >> k) + (int)((uint)c >> 5) + (int)a + (int)b + (int)e + (c & 15) + (c | k) + (c ^ k) + ~c + Math.Abs(c) + Math.Min(c, k) + Math.Max(c, 9) + (int)((uint)c / 7u) + (int)((uint)c % 11u));
                var expectedL = unchecked(e * k / (e + 7) + (e % 5) - (e << 3) + (e >> k) + (long)((ulong)e >> 5) + (long)a + (long)b + c + (e & 15) + Math.Abs(e) + Math.Min(e, k) + (long)((ulong)e / 7) + (uint)c + (uint)a);
                Assert.That(As<float>(results[0])[at], Is.EqualTo(expectedF));
                Assert.That(As<double>(results[1])[at], Is.EqualTo(expectedD));
                Assert.That(As<int>(results[2])[at], Is.EqualTo(expectedI));
                Assert.That(As<long>(results[3])[at], Is.EqualTo(expectedL));
            }
        });

        static int Quotient(int a, int b) => b == 0 ? -1 : a / b;
    }

    [Test]
    public void Small_integers()
    {
        const int n = 64;
        ushort[] u = [.. Ints(n).Select(v => (ushort)(v * 77))];
        byte[] b = [.. Ints(n, 2).Select(v => (byte)v)];
        short[] s = [.. Ints(n, 3).Select(v => (short)(v * 31))];
        sbyte[] c = [.. Ints(n, 4).Select(v => (sbyte)v)];
        var results = Run("Small", 1, n, [u, b, s, c, new int[n], new float[n]]);
        for (var i = 0; i < n; i++)
        {
            var m = u[i] + b[i] * s[i] - c[i];
            u[i] = (ushort)(u[i] * 3);
            b[i]++;
            s[i] = (short)(s[i] >> 2);
            c[i] = (sbyte)-c[i];
            float f = u[i];
            f += s[i];
            f += c[i];
            m += (ushort)Math.Clamp(f, 0, 65535);
            m += (sbyte)Math.Clamp(f, -128, 127);
            m += (byte)m;
            m += (short)m;
            Assert.That(
                (As<ushort>(results[0])[i], results[1][i], As<short>(results[2])[i], As<sbyte>(results[3])[i], As<int>(results[4])[i], As<float>(results[5])[i]),
                Is.EqualTo((u[i], b[i], s[i], c[i], m, f)));
        }
    }

    [Test]
    public void Halves()
    {
        const int n = 64;
        Half[] h = [.. Floats(n).Select(v => (Half)v)];
        var bits = h.Select(BitConverter.HalfToUInt16Bits).ToArray();
        var results = Run("Halves", 1, n, [bits, new float[n], new double[n], new int[n]]);
        Assert.Multiple(() =>
        {
            Assert.That(As<float>(results[1]), Is.EqualTo(h.Select(v => (float)v * 2)));
            Assert.That(As<double>(results[2]), Is.EqualTo(h.Select(v => (double)v)));
            Assert.That(As<Half>(results[0]), Is.EqualTo(h.Select(v => (Half)((float)v * 2 * 3))));
            Assert.That(As<int>(results[3]), Is.EqualTo(h.Select(v => v < (Half)((float)v * 2) ? 1 : 0)));
        });
        Half[] g = [.. Floats(n, 2).Select(v => (Half)v)];
        results = Run("HalfArith", 1, n, [bits, g.Select(BitConverter.HalfToUInt16Bits).ToArray()]);
        Assert.That(As<Half>(results[0]), Is.EqualTo(h.Zip(g, (a, b) => a > b ? a : (Half)((Half)((Half)(a * b) + a) - b))));
        Assert.That(As<Half>(results[1]), Is.EqualTo(h.Select(a => -a)));
    }

    [Test]
    public void Bit_patterns()
    {
        const int n = 33;
        float[] f = Floats(n);
        double[] d = [.. Floats(n, 2).Select(v => (double)v)];
        var results = Run("Bits", 2, 32, [Grow(f, 64), Grow(d, 64), new uint[64], new ulong[64]]);
        for (var i = 0; i < n; i++)
        {
            var u = BitConverter.SingleToUInt32Bits(f[i]) + 0x7fff;
            var w = BitConverter.DoubleToUInt64Bits(d[i]) >> 3;
            Assert.That(BitConverter.SingleToUInt32Bits(As<float>(results[0])[i]), Is.EqualTo(u ^ 5));
            Assert.That(BitConverter.DoubleToUInt64Bits(As<double>(results[1])[i]), Is.EqualTo(w + 1));
            Assert.That(As<ulong>(results[3])[i], Is.EqualTo(w));
            // ILGPU's own LeadingZeroCount is not ours to judge: only that it is some count.
            Assert.That(As<uint>(results[2])[i] - u - (uint)System.Numerics.BitOperations.PopCount(u) - (uint)System.Numerics.BitOperations.TrailingZeroCount(w), Is.LessThanOrEqualTo(32));
        }

        uint[] packed = [.. Enumerable.Range(0, 4 * 32).Select(k => (uint)k * 2654435761u)];
        var unpacked = As<uint>(Run("Bf16", 1, 32, [packed, new uint[4 * 32]])[1]);
        for (var k = 0; k < 32; k++)
        {
            Assert.That(
                unpacked.AsSpan(4 * k, 4).ToArray(),
                Is.EqualTo(new[] { packed[4 * k] << 16, packed[4 * k] & 0xffff0000, packed[4 * k + 1] << 16, packed[4 * k + 2] & 0xffff0000 }));
        }

        static T[] Grow<T>(T[] values, int size)
        {
            Array.Resize(ref values, size);
            return values;
        }
    }

    [Test]
    public void Vectors()
    {
        const int n = 40;
        float[] a = Floats(4 * n);
        double[] b = [.. Floats(2 * n, 2).Select(v => (double)v)];
        uint[] c = [.. Ints(4 * n).Select(v => (uint)v)];
        using var device = new PtxDevice();
        ulong pa = device.Upload(a), pb = device.Upload(b), pc = device.Upload(c);
        var arguments = new Arguments();
        arguments.View(pa, n);
        arguments.View(pb, n);
        arguments.View(pc, n);
        device.Launch(PtxModule.Parse(Text("Vec")), "Kernel_Vec", 2, 32, arguments.Block);
        for (var k = 0; k < n; k++)
        {
            a[4 * k] += a[4 * k + 1] * a[4 * k + 2];
            a[4 * k + 3] = a[4 * k] - a[4 * k + 3];
            b[2 * k] += b[2 * k + 1];
            c[4 * k] ^= c[4 * k + 1];
            c[4 * k + 2] = c[4 * k + 3] + c[4 * k];
        }

        Assert.That(device.Read<float>(pa, 4 * n), Is.EqualTo(a));
        Assert.That(device.Read<double>(pb, 2 * n), Is.EqualTo(b));
        Assert.That(device.Read<uint>(pc, 4 * n), Is.EqualTo(c));
        Assert.That(device.Total.VectorAccesses, Is.EqualTo(2 * 6));
        Assert.That(device.Total.SectorsRead, Is.EqualTo(n * 48 / 32));
    }

    [Test]
    public void Loops_with_break_and_continue()
    {
        const int rows = 50;
        const int columns = 20;
        var a = Floats(rows * columns).Select(v => v * 8).ToArray();
        var expected = new float[rows];
        for (var i = 0; i < rows; i++)
        {
            for (var c = 0; c < columns; c++)
            {
                var v = a[i * columns + c];
                if (v < 0)
                {
                    if (v < -10)
                    {
                        break;
                    }

                    expected[i] -= v;
                }
                else if (v <= 100)
                {
                    expected[i] += v * v;
                }
            }
        }

        Assert.That(As<float>(Run("Loops", 2, 32, [a, new float[rows]], rows, columns)[1]), Is.EqualTo(expected));
    }

    [Test]
    public void Nested_loops_with_early_returns()
    {
        const int n = 500;
        var a = Ints(n).Select(Math.Abs).ToArray();
        var expected = new int[n];
        for (var i = 0; i < n; i++)
        {
            expected[i] = Nested(a[i]);
        }

        Assert.That(As<int>(Run("Nested", 4, 128, [a, new int[n]], n)[1]), Is.EqualTo(expected));

        static int Nested(int a)
        {
            var s = 0;
            for (var j = 0; j < (a & 7); j++)
            {
                for (var k = j; k < 6; k++)
                {
                    if ((a >> k & 1) == 0)
                    {
                        continue;
                    }

                    if (k * j > 9)
                    {
                        break;
                    }

                    s += k * 10 + j;
                    if (s > 200)
                    {
                        return -1;
                    }
                }

                if (s > 150)
                {
                    break;
                }
            }

            return s;
        }
    }

    [Test]
    public void Switches_and_endless_loops_that_end()
    {
        int[] a = [.. Enumerable.Range(0, 65).Select(k => k * 5 % 9 - 1)];
        var expected = a.Take(64).Select((v, i) => v switch { 0 => 5, 1 => 9, 2 => a[i + 1], 3 => 9, 4 => 77, _ => -1 });
        Assert.That(As<int>(Run("Switch", 2, 32, [a, Enumerable.Repeat(77, 64).ToArray()])[1]), Is.EqualTo(expected));

        int[] n = [.. Enumerable.Range(1, 96)];
        Assert.That(As<int>(Run("While", 1, 96, [n])[0]), Is.EqualTo(n.Select(Collatz)));

        static int Collatz(int n)
        {
            var s = 0;
            for (; n != 1; s++)
            {
                n = (n & 1) == 0 ? n / 2 : 3 * n + 1;
            }

            return s;
        }
    }

    [Test]
    public void Reductions_by_shuffles_and_by_shared_memory()
    {
        var a = Ints(5000).Select(v => (float)v).ToArray();
        var sums = As<float>(Run("Reduce", 4, 256, [a, new float[4]])[1]);
        for (var g = 0; g < 4; g++)
        {
            Assert.That(sums[g], Is.EqualTo(a.Where((_, k) => k / 256 % 4 == g).Sum()));
        }

        var d = Ints(512).Select(v => (double)v).ToArray();
        Assert.That(As<double>(Run("Tree", 2, 256, [d, new double[2]])[1]), Is.EqualTo(new[] { d.Take(256).Sum(), d.Skip(256).Sum() }));
    }

    [Test]
    public void The_tree_without_one_of_its_barriers_is_a_race()
    {
        var text = Text("Tree");
        var at = text.LastIndexOf("bar.sync", StringComparison.Ordinal);
        using var device = new PtxDevice();
        ulong source = device.Upload(new double[256]), target = device.Allocate(8);
        var arguments = new Arguments();
        arguments.View(source, 256);
        arguments.View(target, 1);
        device.Launch(PtxModule.Parse(text), "Kernel_Tree", 1, 256, arguments.Block);
        var broken = PtxModule.Parse(text[..at] + "// " + text[at..]);
        var fault = Assert.Throws<PtxFaultException>(() => device.Launch(broken, "Kernel_Tree", 1, 256, arguments.Block))!;
        Assert.That((fault.Kind, fault.Kernel), Is.EqualTo((PtxFaultKind.SharedRace, "Kernel_Tree")), fault.Message);
    }

    [Test]
    public void Shuffles_of_all_types()
    {
        const int n = 64;
        float[] f = Floats(n);
        double[] d = [.. Floats(n, 2).Select(v => (double)v)];
        int[] i = Ints(n);
        long[] l = [.. Ints(n, 2).Select(v => v * 10_000_000_000L)];
        float[] v = Floats(4 * n, 3);
        var results = Run("Shuf", 1, n, [f, d, i, l, v]);
        int Lane(int k, int source) => (k & ~31) | source;
        var f1 = Enumerable.Range(0, n).Select(k => f[Lane(k, 3)]).ToArray();
        var d1 = Enumerable.Range(0, n).Select(k => (k & 31) + 5 < 32 ? d[k + 5] : d[k]).ToArray();
        var i1 = Enumerable.Range(0, n).Select(k => i[k ^ 7]).ToArray();
        Assert.Multiple(() =>
        {
            Assert.That(As<float>(results[0]), Is.EqualTo(f1.Select((x, k) => x + f1[Lane(k, 0)])));
            Assert.That(As<double>(results[1]), Is.EqualTo(d1.Select((x, k) => x + d1[k ^ 3])));
            Assert.That(As<int>(results[2]), Is.EqualTo(i1.Select(x => x + i1[3])));
            Assert.That(As<long>(results[3]), Is.EqualTo(Enumerable.Range(0, n).Select(k => (k & 31) < 2 ? l[k] : l[k - 2])));
            Assert.That(As<float>(results[4]), Is.EqualTo(Enumerable.Range(0, 4 * n).Select(k => v[k ^ 4])));
        });
        int[] a = Ints(40);
        Assert.That(
            As<int>(Run("Prefix", 1, 64, [a], 40)[0]),
            Is.EqualTo(Enumerable.Range(0, 40).Select(k => a.Skip(k & ~31).Take((k & 31) + 1).Sum())));
    }

    [Test]
    public void Barriers_that_reduce_and_barriers_of_a_warp()
    {
        int[] a = [.. Enumerable.Range(2, 96)];
        Assert.That(As<int>(Run("Barriers", 1, 96, [a, new int[96]])[1]), Is.All.EqualTo(94 + 10 + 100));
        Assert.That(As<int>(Run("Barriers", 1, 96, [new int[96], new int[96]])[1]), Is.All.EqualTo(0 + 20 + 200));
        Assert.That(As<int>(Run("WarpBar", 1, 96, [a])[0]), Is.EqualTo(Enumerable.Range(0, 96).Select(k => a[k ^ 1])));
        float[] v = Floats(4 * 64);
        Assert.That(As<float>(Run("SharedStruct", 1, 64, [v])[0]), Is.EqualTo(v.Skip(4).Concat(v.Take(4))));
    }

    [Test]
    public void Arrays_in_local_memory()
    {
        int[] a = Ints(8 * 32);
        var expected = Enumerable.Range(0, 32).Select(i => Enumerable.Range(0, 11).Aggregate(0, (s, j) => unchecked(s * 3 + a[i * 8 + (j * 5 & 7)])));
        Assert.That(As<int>(Run("Local", 1, 32, [a, new int[32]], 11)[1]), Is.EqualTo(expected));
        float[] f = Floats(16 * 32);
        var sums = Enumerable.Range(0, 32).Select(i => Enumerable.Range(0, 20).Aggregate(0f, (s, j) => s + f[i * 16 + (j * 7 & 15)]));
        Assert.That(As<float>(Run("LocalMem", 1, 32, [f, new float[32]], 20)[1]), Is.EqualTo(sums));
    }

    [Test]
    public void Atomics()
    {
        using var device = new PtxDevice();
        const int n = 96;
        int[] ints = new int[700];
        ints[6] = -1;
        ulong i = device.Upload(ints), u = device.Upload(new uint[200]), l = device.Upload(new long[4]), w = device.Upload(new ulong[2]), f = device.Upload(new float[2]);
        var arguments = new Arguments();
        foreach (var (address, length) in new[] { (i, 700), (u, 200), (l, 4), (w, 2), (f, 2) })
        {
            arguments.View(address, length);
        }

        device.Launch(PtxModule.Parse(Text("Atomics")), "Kernel_Atomics", 3, 32, arguments.Block);
        var all = Enumerable.Range(0, n).ToArray();
        ints = device.Read<int>(i, 700);
        Assert.Multiple(() =>
        {
            Assert.That(ints.Take(8), Is.EqualTo(new[] { all.Sum(), n - 1, 0, n - 1, 1, all.Aggregate((a, b) => a | b), 0, all.Aggregate((a, b) => a ^ b) }));
            Assert.That(ints.Skip(100).Take(n), Is.EqualTo(all.Select(k => Math.Max(0, k - 1))));
            Assert.That(ints.Skip(500).Take(n), Is.EqualTo(all.Select(k => k == 0 ? 0 : 1)));
            Assert.That(device.Read<uint>(u, 3), Is.EqualTo(new uint[] { n, n - 1, 7 }));
            Assert.That(device.Read<uint>(u, 10 + n).Skip(10), Is.EqualTo(all));
            Assert.That(device.Read<long>(l, 4), Is.EqualTo(new long[] { all.Sum(), n - 1, 9, 4 }));
            Assert.That(device.Read<ulong>(w, 2), Is.EqualTo(new ulong[] { 5 * n, 6 }));
            Assert.That(device.Read<float>(f, 2), Is.EqualTo(new float[] { n, 2 }));
        });
    }

    [Test]
    public void The_last_group_sums_up()
    {
        Assert.That(As<float>(Run("LastBlock", 9, 64, [new float[9], new float[1], new int[1]])[1]), Is.EqualTo(new[] { 72f }));
    }

    [Test]
    public void A_branch_that_the_compiler_wrongly_calls_uniform_is_found()
    {
        using var device = new PtxDevice();
        ulong counter = device.Upload(new int[1]), output = device.Allocate(4 * 32);
        var arguments = new Arguments();
        arguments.View(counter, 1);
        arguments.View(output, 32);
        var fault = Assert.Throws<PtxFaultException>(() => device.Launch(PtxModule.Parse(Text("WrongUniform")), "Kernel_WrongUniform", 1, 32, arguments.Block))!;
        Assert.That((fault.Kind, fault.Lanes), Is.EqualTo((PtxFaultKind.NonUniformBranch, 0x1fu)), fault.Message);
        device.Clear(counter, 4);
        device.Launch(PtxModule.Parse(UniformBranch().Replace(Text("WrongUniform"), "$1bra")), "Kernel_WrongUniform", 1, 32, arguments.Block);
        Assert.That(device.Read<int>(output, 32), Is.EqualTo(Enumerable.Range(0, 32).Select(k => k < 5 ? k : -k)));
    }

    [Test]
    public void Calls_and_generic_addresses()
    {
        float[] a = Floats(32), v = Floats(4 * 32, 2);
        var results = Run("Calls", 1, 32, [a, v]);
        for (var i = 0; i < 32; i++)
        {
            var sum = Series(a[i], 0.5f, i) + Series(a[i], 2f, 3);
            v[4 * i] *= sum;
            v[4 * i + 3] += sum;
            Assert.That(As<float>(results[0])[i], Is.EqualTo(sum > 3 ? 3f : sum));
        }

        Assert.That(As<float>(results[1]), Is.EqualTo(v));

        static float Series(float a, float b, int n)
        {
            var s = a;
            for (var i = 0; i < n; i++)
            {
                s = s * b + a;
            }

            return s;
        }
    }

    [Test]
    public void A_table_of_addresses_with_one_view_from_zero()
    {
        using var device = new PtxDevice();
        float[] first = Floats(64 * 4), second = Floats(64 * 4, 2);
        ulong p = device.Upload(first), q = device.Upload(second), table = device.Upload<ulong>([p, q]), output = device.Allocate(32 * 16 * 2);
        var arguments = new Arguments();
        arguments.View(0, 1L << 58);
        arguments.View(table, 2);
        arguments.View(output, 64);
        device.Launch(PtxModule.Parse(Text("Zero")), "Kernel_Zero", 2, 16, arguments.Block);
        var result = device.Read<float>(output, 4 * 32);
        for (var i = 0; i < 32; i++)
        {
            var source = i < 16 ? first : second;
            Assert.That(
                result.AsSpan(4 * i, 4).ToArray(),
                Is.EqualTo(new[] { source[4 * i] + source[4 * (i + 32)], source[4 * i + 1], source[4 * (i + 32) + 2], source[4 * i + 3] }));
        }

        Assert.That(device.Total.VectorAccesses, Is.EqualTo(2 * 3));
    }

    [Test]
    public void Conditions()
    {
        int[] a = [.. Enumerable.Range(-5, 32)];
        var results = Run("Bool", 1, 32, [new byte[32], a]);
        Assert.That(results[0], Is.EqualTo(a.Select(x => x is > 3 and < 10 ? 1 : 0)));
        Assert.That(As<int>(results[1]), Is.EqualTo(a.Select(x => x > 3 ^ x < 10 ? 1 : x)));

        float[] x = [0, 1, float.NaN, 2, -0f, float.PositiveInfinity, 3, float.NaN], y = [-0f, 2, 1, float.NaN, 0, float.PositiveInfinity, -3, float.NaN];
        results = Run("FCmp", 1, 8, [x, y, new int[8]]);
        Assert.That(
            As<int>(results[2]),
            Is.EqualTo(x.Zip(y, (p, q) => (p < q ? 1 : 0) | (p <= q ? 2 : 0) | (p == q ? 4 : 0) | (p != q ? 8 : 0) | (!(p < q) ? 16 : 0) | (!(p >= q) ? 32 : 0)
                | (float.IsNaN(p) ? 64 : 0) | (float.IsInfinity(q) ? 128 : 0))));
        Assert.That(As<float>(results[0]), Is.EqualTo(x.Zip(y, (p, q) => p > q ? p : q > 0 ? 2f : 3f)));
    }

    [Test]
    public void Inline_assembly()
    {
        int[] a = [.. Enumerable.Range(0, 64).Select(k => k % 7)];
        var ballots = As<int>(Run("Ballot", 1, 64, [a])[0]);
        Assert.That(ballots, Is.EqualTo(Enumerable.Range(0, 64).Select(k => a.Skip(k & ~31).Take(32).Select((x, b) => x > 3 ? 1 << b : 0).Sum())));
        var sums = As<int>(Run("Asm", 1, 64, [new float[64], a, new float[256]])[1]);
        Assert.That(sums, Is.EqualTo(Enumerable.Range(0, 64).Select(k => a.Skip(k & ~31).Take(32).Sum())));
    }

    [Test]
    public void Structs_of_views_and_specialised_values()
    {
        using var device = new PtxDevice();
        double[] b = [.. Floats(50).Select(v => (double)v)];
        int[] c = Ints(50);
        ulong pa = device.Allocate(200), pb = device.Upload(b), pc = device.Upload(c);
        var arguments = new Arguments();
        arguments.View(pa, 50);
        arguments.View(pb, 50);
        arguments.View(pc, 50);
        arguments.Scalar(50);
        arguments.Scalar(1.5f);
        arguments.Scalar(7L);
        arguments.Scalar(3);
        device.Launch(PtxModule.Parse(Text("StructArgs")), "Kernel_StructArgs", 2, 32, arguments.Block);
        Assert.That(device.Read<float>(pa, 50), Is.EqualTo(b.Zip(c, (x, n) => 1.5f * (float)x + n + 7L + 3)));
        Assert.That(device.Total.Label("").BytesRead, Is.EqualTo(50 * 12));
    }

    [Test]
    public void A_dot_product_streams_whole_sectors()
    {
        const int n = 4096;
        var a = Ints(4 * n).Select(v => (float)(v % 7)).ToArray();
        using var device = new PtxDevice();
        ulong pa = device.Upload(a), pb = device.Upload(a), output = device.Allocate(4 * 256);
        var arguments = new Arguments();
        arguments.View(pa, n);
        arguments.View(pb, n);
        arguments.View(output, 256);
        arguments.Scalar(n);
        device.Launch(PtxModule.Parse(Text("Dot")), "Kernel_Dot", 1, 256, arguments.Block);
        Assert.That(device.Read<float>(output, 256).Sum(), Is.EqualTo(a.Sum(v => v * v)));
        Assert.That(device.Total.BytesRead, Is.EqualTo(2 * 16 * n));
        Assert.That(device.Total.SectorsRead, Is.EqualTo(device.Total.SectorsNeededRead).And.EqualTo(device.Total.UniqueSectorsRead));
    }

    [Test]
    public void Where_a_thread_is()
    {
        using var device = new PtxDevice();
        var output = device.Allocate(88);
        var arguments = new Arguments();
        arguments.View(output, 11);
        device.Launch(PtxModule.Parse(Text("Sizes")), "Kernel_Sizes", 1, 1, arguments.Block);
        Assert.That(device.Read<long>(output, 10), Is.EqualTo(new long[] { 1, 1, 1, 0, 0, 0, 0, 0, 0, 32 }));
    }
}
