// Each instruction alone against C#, on edge values in all combinations and on fresh random bits.
// EQUINORM_SEED repeats a run; a failure names the seed.
using System.Globalization;
using System.Numerics;

namespace EquiNorm.PtxMachine.Tests;

[TestFixture]
internal sealed class ArithmeticTests
{
    private const int RandomCases = 700;

    private static readonly int Seed = int.TryParse(
        Environment.GetEnvironmentVariable("EQUINORM_SEED"), NumberStyles.Integer, CultureInfo.InvariantCulture, out var seed)
        ? seed
        : Random.Shared.Next(1_000_000);

    private static readonly ulong[] Integers =
    [
        0, 1, 2, 3, 5, 7, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
        0x7fffffffffffffff, 0x8000000000000000, 0x8000000000000001, ulong.MaxValue - 1, ulong.MaxValue, 0x0123456789abcdef,
    ];

    private static readonly double[] Numbers =
    [
        0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 3, 1e-3, 65504, 65520, 1e10, -1e10, 2147483647, 2147483648, -2147483648, -2147483649, 4294967295, 4294967296,
        9.2233720368547758e18, 1.8446744073709552e19, -9.2233720368547758e18, 3.4028234663852886e38, 3.5e38, 1e300, double.MaxValue, -double.MaxValue, 1.17549435e-38, 1e-40,
        -1e-45, 2.2250738585072014e-308, 5e-324, 0.1, 1.0000001, 16777217, 33554433, 255.5, -128.5, 127.5, double.PositiveInfinity, double.NegativeInfinity, double.NaN,
    ];

    /// <summary>An instruction with the types of its result and sources, and what it should do.</summary>
    private static void Check(string instruction, string result, string[] sources, Func<ulong[], ulong> expected, Func<ulong, bool>? isNaN = null)
    {
        var random = new Random(Seed ^ instruction.Length);
        var cases = new List<ulong[]>();
        var edges = sources.Select(Edges).ToArray();
        Combine(edges, [], cases);
        for (var k = 0; k < RandomCases; k++)
        {
            cases.Add([.. sources.Select(type => RandomOf(type, random))]);
        }

        // Destination and sources by type; all values travel as 64 bits.
        var register = new Func<string, int, string>((type, n) => type switch
        {
            "b16" or "h16" => $"%rs{n}",
            "b32" => $"%r{n + 10}",
            "f32" => $"%f{n}",
            "f64" => $"%fd{n}",
            _ => $"%rd{n + 20}",
        });
        var body = "mad.wide.u32 %rd11, %r3, 32, %rd0;\n";
        for (var k = 0; k < sources.Length; k++)
        {
            body += $"ld.global.{sources[k].Replace('h', 'b')} {register(sources[k], k + 1)}, [%rd11+{8 * k}];\n";
        }

        var operands = string.Join(", ", sources.Select((type, k) => register(type, k + 1)));
        body += instruction.Contains("%d", StringComparison.Ordinal)
            ? instruction.Replace("%d", register(result, 0), StringComparison.Ordinal).Replace("%a", register(sources[0], 1), StringComparison.Ordinal)
                .Replace("%b", sources.Length > 1 ? register(sources[1], 2) : "", StringComparison.Ordinal)
                .Replace("%c", sources.Length > 2 ? register(sources[2], 3) : "", StringComparison.Ordinal)
            : $"{instruction} {register(result, 0)}, {operands};\n";
        body += $"\nst.global.{result} [%rd11+24], {register(result, 0)};";

        using var device = new PtxDevice();
        var data = new ulong[4 * cases.Count];
        for (var k = 0; k < cases.Count; k++)
        {
            cases[k].CopyTo(data, 4 * k);
        }

        var address = device.Upload(data);
        var groups = (cases.Count + 63) / 64;
        device.Run(Snippet.Kernel($"setp.ge.u32 %p19, %r3, {cases.Count};\n@%p19 ret;\n" + body, 1), groups, 64, address);
        device.Read(address, data.AsSpan());
        for (var k = 0; k < cases.Count; k++)
        {
            var mask = Width(result) == 64 ? ulong.MaxValue : (1UL << Width(result)) - 1;
            ulong actual = data[4 * k + 3] & mask, wanted = expected(cases[k]) & mask;
            if (actual != wanted && !(isNaN != null && isNaN(actual) && isNaN(wanted)))
            {
                Assert.Fail($"{instruction} of {string.Join(", ", cases[k].Select(v => $"0x{v:x}"))}: 0x{actual:x}, expected 0x{wanted:x} (EQUINORM_SEED={Seed})");
            }
        }
    }

    private static int Width(string type) => int.Parse(type.AsSpan(1), CultureInfo.InvariantCulture);

    private static ulong[] Edges(string type) => type switch
    {
        "f32" => [.. Numbers.Select(v => (ulong)BitConverter.SingleToUInt32Bits((float)v))],
        "f64" => [.. Numbers.Select(BitConverter.DoubleToUInt64Bits)],
        "h16" => [.. Numbers.Select(v => (ulong)BitConverter.HalfToUInt16Bits((Half)v))],
        _ => [.. Integers.Select(v => Width(type) == 64 ? v : v & ((1UL << Width(type)) - 1)).Distinct()],
    };

    private static ulong RandomOf(string type, Random random)
    {
        var bits = (ulong)random.NextInt64() << 1 ^ (ulong)random.NextInt64();
        return type switch
        {
            // Half of them of moderate size, so that sums and conversions have something to do.
            "f32" when random.Next(2) == 0 => BitConverter.SingleToUInt32Bits((float)((random.NextDouble() - 0.5) * Math.Pow(2, random.Next(-20, 70)))),
            "f64" when random.Next(2) == 0 => BitConverter.DoubleToUInt64Bits((random.NextDouble() - 0.5) * Math.Pow(2, random.Next(-20, 70))),
            _ => (Width(type) == 64 ? bits : bits & ((1UL << Width(type)) - 1)) >> (random.Next(3) == 0 ? random.Next(Width(type)) : 0),
        };
    }

    private static void Combine(ulong[][] edges, ulong[] chosen, List<ulong[]> cases)
    {
        if (chosen.Length == edges.Length)
        {
            cases.Add(chosen);
            return;
        }

        foreach (var value in edges[chosen.Length])
        {
            Combine(edges, [.. chosen, value], cases);
        }
    }

    private static bool NaN32(ulong v) => float.IsNaN(F(v));

    private static bool NaN64(ulong v) => double.IsNaN(D(v));

    private static bool NaN16(ulong v) => Half.IsNaN(H(v));

    private static float F(ulong v) => BitConverter.UInt32BitsToSingle((uint)v);

    private static double D(ulong v) => BitConverter.UInt64BitsToDouble(v);

    private static Half H(ulong v) => BitConverter.UInt16BitsToHalf((ushort)v);

    private static ulong U(float v) => BitConverter.SingleToUInt32Bits(v);

    private static ulong U(double v) => BitConverter.DoubleToUInt64Bits(v);

    private static ulong U(Half v) => BitConverter.HalfToUInt16Bits(v);

    /// <summary>The value of an operand of an integer type.</summary>
    private static BigInteger Of(string type, ulong v)
    {
        var width = Width(type);
        BigInteger value = width == 64 ? v : v & ((1UL << width) - 1);
        return type[0] == 's' && value >= BigInteger.One << (width - 1) ? value - (BigInteger.One << width) : value;
    }

    private static ulong Wrap(BigInteger v) => (ulong)(v & ulong.MaxValue);

    private static void Integer2(string op, Func<BigInteger, BigInteger, int, BigInteger> f, params string[] types)
    {
        foreach (var type in types)
        {
            var b = "b" + type[1..];
            Check($"{op}.{type}", b, [b, b], v => Wrap(f(Of(type, v[0]), Of(type, v[1]), Width(type))));
        }
    }

    private static readonly string[] AllIntegers = ["u16", "s16", "u32", "s32", "u64", "s64"];

    [Test]
    public void Integer_sums_differences_and_products_wrap()
    {
        Integer2("add", (a, b, _) => a + b, AllIntegers);
        Integer2("sub", (a, b, _) => a - b, AllIntegers);
        Integer2("mul.lo", (a, b, _) => a * b, AllIntegers);
        Integer2("mul.hi", (a, b, w) => a * b >> w, AllIntegers);
        Check("add.sat.s32", "b32", ["b32", "b32"], v => (ulong)Math.Clamp((long)(int)v[0] + (int)v[1], int.MinValue, int.MaxValue));
        foreach (var type in new[] { "u16", "s16", "u32", "s32" })
        {
            string b = "b" + type[1..], wide = type.EndsWith("16", StringComparison.Ordinal) ? "b32" : "b64";
            Check($"mul.wide.{type}", wide, [b, b], v => Wrap(Of(type, v[0]) * Of(type, v[1])));
            Check($"mad.wide.{type}", wide, [b, b, wide], v => Wrap(Of(type, v[0]) * Of(type, v[1]) + v[2]));
        }
    }

    [TestCase("u32")]
    [TestCase("s32")]
    [TestCase("u64")]
    [TestCase("s64")]
    public void Integer_multiply_add_wraps(string type)
    {
        var b = "b" + type[1..];
        Check($"mad.lo.{type}", b, [b, b, b], v => Wrap(Of(type, v[0]) * Of(type, v[1]) + Of(type, v[2])));
        Check($"mad.hi.{type}", b, [b, b, b], v => Wrap((Of(type, v[0]) * Of(type, v[1]) >> Width(type)) + Of(type, v[2])));
        Check($"sad.{type}", b, [b, b, b], v => Wrap(BigInteger.Abs(Of(type, v[0]) - Of(type, v[1])) + Of(type, v[2])));
    }

    [Test]
    public void Integer_division_truncates_and_survives_zero()
    {
        Integer2("div", (a, b, _) => b == 0 ? -1 : BigInteger.Divide(a, b), AllIntegers);
        Integer2("rem", (a, b, _) => b == 0 ? a : BigInteger.Remainder(a, b), AllIntegers);
    }

    [Test]
    public void Integer_minima_maxima_signs()
    {
        Integer2("min", (a, b, _) => BigInteger.Min(a, b), AllIntegers);
        Integer2("max", (a, b, _) => BigInteger.Max(a, b), AllIntegers);
        foreach (var type in new[] { "s16", "s32", "s64" })
        {
            var b = "b" + type[1..];
            Check($"abs.{type}", b, [b], v => Wrap(BigInteger.Abs(Of(type, v[0]))));
            Check($"neg.{type}", b, [b], v => Wrap(-Of(type, v[0])));
        }
    }

    [Test]
    public void Bits_are_combined_and_counted()
    {
        foreach (var b in new[] { "b16", "b32", "b64" })
        {
            Check($"and.{b}", b, [b, b], v => v[0] & v[1]);
            Check($"or.{b}", b, [b, b], v => v[0] | v[1]);
            Check($"xor.{b}", b, [b, b], v => v[0] ^ v[1]);
            Check($"not.{b}", b, [b], v => ~v[0]);
            Check($"cnot.{b}", b, [b], v => v[0] == 0 ? 1UL : 0);
        }

        foreach (var b in new[] { "b32", "b64" })
        {
            var width = Width(b);
            Check($"popc.{b}", "b32", [b], v => (ulong)Convert.ToString((long)v[0], 2).Count(c => c == '1'));
            Check($"clz.{b}", "b32", [b], v => (ulong)(width - (v[0] == 0 ? 0 : Convert.ToString((long)v[0], 2).Length)));
            Check($"brev.{b}", b, [b], v => Convert.ToUInt64(new string([.. Convert.ToString((long)v[0], 2).PadLeft(width, '0').Reverse()]), 2));
        }

        Check("bfind.u32", "b32", ["b32"], v => v[0] == 0 ? uint.MaxValue : (ulong)BitOperations.Log2((uint)v[0]));
        Check("bfind.s64", "b32", ["b64"], v => (long)v[0] is 0 or -1 ? uint.MaxValue : (ulong)BitOperations.Log2((long)v[0] < 0 ? ~v[0] : v[0]));
        // The majority of three, and a AND NOT c.
        Check("lop3.b32 %d, %a, %b, %c, 0xe8;", "b32", ["b32", "b32", "b32"], v => (v[0] & v[1]) | (v[0] & v[2]) | (v[1] & v[2]));
        Check("lop3.b32 %d, %a, %b, %c, 0x50;", "b32", ["b32", "b32", "b32"], v => v[0] & ~v[2]);
        Check("prmt.b32", "b32", ["b32", "b32", "b32"], v =>
        {
            var bytes = BitConverter.GetBytes(v[0] & uint.MaxValue | v[1] << 32);
            return (ulong)Enumerable.Range(0, 4).Sum(k =>
            {
                var select = (int)(v[2] >> (4 * k)) & 15;
                long value = select < 8 ? bytes[select] : (sbyte)bytes[select & 7] < 0 ? 255 : 0;
                return value << (8 * k);
            });
        });
    }

    [Test]
    public void Shifts_clamp_their_amounts()
    {
        foreach (var type in AllIntegers)
        {
            string b = "b" + type[1..];
            var width = Width(type);
            Check($"shr.{type}", b, [b, "b32"], v => Wrap(Of(type, v[0]) >> (int)Math.Min(v[1], (ulong)width)));
            Check($"shl.{b}", b, [b, "b32"], v => v[1] >= (ulong)width ? 0 : Wrap(Of(type, v[0]) << (int)v[1]));
        }

        Check("shf.l.wrap.b32", "b32", ["b32", "b32", "b32"], v => (v[1] << 32 | v[0]) << (int)(v[2] & 31) >> 32);
        Check("shf.r.clamp.b32", "b32", ["b32", "b32", "b32"], v => (v[1] << 32 | v[0]) >> (int)Math.Min(v[2], 32));
    }

    [Test]
    public void Bit_fields_are_taken_and_put()
    {
        foreach (var type in new[] { "u32", "s32", "u64", "s64" })
        {
            var b = "b" + type[1..];
            var width = Width(type);
            Check($"bfe.{type}", b, [b, "b32", "b32"], v =>
            {
                int position = (int)(v[1] & 255), length = (int)(v[2] & 255);
                // As if the number had endless copies of its sign above it (zeros for unsigned ones).
                var field = (Of(type, v[0]) >> position) & ((BigInteger.One << length) - 1);
                var signed = type[0] == 's' && length > 0 && (v[0] >> Math.Min(position + length - 1, width - 1) & 1) != 0;
                return Wrap(signed ? field - (BigInteger.One << length) : field);
            });
        }
    }

    [TestCase(false)]
    [TestCase(true)]
    public void Float_arithmetic_rounds_once(bool flush)
    {
        var ftz = flush ? ".ftz" : "";
        float Z(float x) => flush && float.IsSubnormal(x) ? MathF.CopySign(0, x) : x;
        void Two(string op, Func<float, float, float> f) =>
            Check($"{op}{ftz}.f32", "f32", ["f32", "f32"], v => U(Z(f(Z(F(v[0])), Z(F(v[1]))))), NaN32);
        Two("add", (a, b) => a + b);
        Two("add.rn", (a, b) => a + b);
        Two("sub", (a, b) => a - b);
        Two("mul", (a, b) => a * b);
        Two("div.rn", (a, b) => a / b);
        Two("min", float.MinNumber);
        Two("max", float.MaxNumber);
        Two("min", (a, b) => float.IsNaN(a) ? b : float.IsNaN(b) ? a : a < b || (a == b && float.IsNegative(a)) ? a : b);
        Two("max", (a, b) => float.IsNaN(a) ? b : float.IsNaN(b) ? a : a > b || (a == b && !float.IsNegative(a)) ? a : b);
        Check($"fma.rn{ftz}.f32", "f32", ["f32", "f32", "f32"], v => U(Z(MathF.FusedMultiplyAdd(Z(F(v[0])), Z(F(v[1])), Z(F(v[2]))))), NaN32);
        Check($"sqrt.rn{ftz}.f32", "f32", ["f32"], v => U(Z(MathF.Sqrt(Z(F(v[0]))))), NaN32);
        Check($"rcp.rn{ftz}.f32", "f32", ["f32"], v => U(Z(1 / Z(F(v[0])))), NaN32);
        Check($"abs{ftz}.f32", "f32", ["f32"], v => U(Z(MathF.Abs(F(v[0])))), NaN32);
        Check($"neg{ftz}.f32", "f32", ["f32"], v => U(Z(-F(v[0]))), NaN32);
    }

    [Test]
    public void A_product_and_a_sum_are_two_roundings_and_fma_is_one()
    {
        Check("mul.f32 %d, %a, %a;\nadd.f32 %d, %d, %b;", "f32", ["f32", "f32"], v => U((float)((double)F(v[0]) * F(v[0])) + F(v[1])), NaN32);
        Check("fma.rn.f64", "f64", ["f64", "f64", "f64"], v => U(Math.FusedMultiplyAdd(D(v[0]), D(v[1]), D(v[2]))), NaN64);
    }

    [Test]
    public void Saturation_and_NaN_modes()
    {
        static float Saturate(float x) => x > 0 ? Math.Min(x, 1) : 0;
        Check("add.sat.f32", "f32", ["f32", "f32"], v => U(Saturate(F(v[0]) + F(v[1]))));
        static float Flushed(float x) => float.IsSubnormal(x) ? MathF.CopySign(0, x) : x;
        Check("mul.ftz.sat.f32", "f32", ["f32", "f32"], v => U(Saturate(Flushed(Flushed(F(v[0])) * Flushed(F(v[1]))))));
        Check("fma.rn.sat.f32", "f32", ["f32", "f32", "f32"], v => U(Saturate(MathF.FusedMultiplyAdd(F(v[0]), F(v[1]), F(v[2])))));
        Check("min.NaN.f32", "f32", ["f32", "f32"], v => U(MathF.Min(F(v[0]), F(v[1]))), NaN32);
        Check("max.NaN.f32", "f32", ["f32", "f32"], v => U(MathF.Max(F(v[0]), F(v[1]))), NaN32);
        Check("copysign.f32", "f32", ["f32", "f32"], v => U(MathF.CopySign(F(v[1]), F(v[0]))));
    }

    [Test]
    public void Double_arithmetic()
    {
        void Two(string op, Func<double, double, double> f) => Check($"{op}.f64", "f64", ["f64", "f64"], v => U(f(D(v[0]), D(v[1]))), NaN64);
        Two("add", (a, b) => a + b);
        Two("sub", (a, b) => a - b);
        Two("mul", (a, b) => a * b);
        Two("div.rn", (a, b) => a / b);
        Two("min", (a, b) => double.IsNaN(a) ? b : double.IsNaN(b) ? a : a < b || (a == b && double.IsNegative(a)) ? a : b);
        Two("max", (a, b) => double.IsNaN(a) ? b : double.IsNaN(b) ? a : a > b || (a == b && !double.IsNegative(a)) ? a : b);
        Check("sqrt.rn.f64", "f64", ["f64"], v => U(Math.Sqrt(D(v[0]))), NaN64);
        Check("rcp.rn.f64", "f64", ["f64"], v => U(1 / D(v[0])), NaN64);
        Check("abs.f64", "f64", ["f64"], v => U(Math.Abs(D(v[0]))), NaN64);
        Check("neg.f64", "f64", ["f64"], v => U(-D(v[0])), NaN64);
    }

    [Test]
    public void Half_arithmetic_rounds_once()
    {
        // Sums and products of halves are exact in double.
        void Two(string op, Func<double, double, double> f) =>
            Check($"{op}.f16", "b16", ["h16", "h16"], v => U((Half)f((double)H(v[0]), (double)H(v[1]))), NaN16);
        Two("add", (a, b) => a + b);
        Two("sub", (a, b) => a - b);
        Two("mul", (a, b) => a * b);
        Two("min", double.MinNumber);
        Two("max", double.MaxNumber);
        Check("neg.f16", "b16", ["h16"], v => v[0] ^ 0x8000);
        Check("abs.f16", "b16", ["h16"], v => v[0] & 0x7fff);
        Check("fma.rn.f16", "b16", ["h16", "h16", "h16"], v => U((Half)Math.FusedMultiplyAdd((double)H(v[0]), (double)H(v[1]), (double)H(v[2]))), NaN16);
    }

    [Test]
    public void Approximate_functions_are_the_rounded_ones()
    {
        Check("ex2.approx.ftz.f32", "f32", ["f32"], v => U((float)Math.Pow(2, F(v[0]))), v => NaN32(v) || Math.Abs(F(v)) < 1e-37f || Math.Abs(F(v) - 1) < 1e-6f);
        Check("lg2.approx.f32", "f32", ["f32"], v => U((float)Math.Log2(F(v[0]))), NaN32);
        Check("rsqrt.approx.f32", "f32", ["f32"], v => U((float)(1 / Math.Sqrt(F(v[0])))), NaN32);
        Check("sin.approx.f32", "f32", ["f32"], v => U((float)Math.Sin(F(v[0]))), NaN32);
        Check("cos.approx.f32", "f32", ["f32"], v => U((float)Math.Cos(F(v[0]))), NaN32);
        Check("tanh.approx.f32", "f32", ["f32"], v => U((float)Math.Tanh(F(v[0]))), NaN32);
    }

    [TestCase("s8")]
    [TestCase("u8")]
    [TestCase("s16")]
    [TestCase("u16")]
    [TestCase("s32")]
    [TestCase("u32")]
    [TestCase("s64")]
    [TestCase("u64")]
    public void Integers_convert_to_integers_and_floats(string from)
    {
        var source = from is "s8" or "u8" ? "b16" : "b" + from[1..];
        foreach (var to in new[] { "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64" })
        {
            var result = to is "s8" or "u8" ? "b32" : "b" + to[1..];
            var low = to[0] == 's' ? -(BigInteger.One << (Width(to) - 1)) : 0;
            var high = (BigInteger.One << (Width(to) - (to[0] == 's' ? 1 : 0))) - 1;
            // A narrow result is extended to the width of its register.
            Check($"cvt.{to}.{from}", result, [source], v => Wrap(Of(to, Wrap(Of(from, v[0])))));
            Check($"cvt.sat.{to}.{from}", result, [source], v => Wrap(BigInteger.Min(high, BigInteger.Max(low, Of(from, v[0])))));
        }

        foreach (var rounding in new[] { "rn", "rz", "rm", "rp" })
        {
            Check($"cvt.{rounding}.f32.{from}", "f32", [source], v => U(RoundTo<float>(Of(from, v[0]), rounding)));
            Check($"cvt.{rounding}.f64.{from}", "f64", [source], v => U(RoundTo<double>(Of(from, v[0]), rounding)));
        }

        Check($"cvt.rn.f16.{from}", "b16", [source], v => U((Half)(double)RoundTo<double>(Of(from, v[0]), "odd")));
    }

    /// <summary>The float beside an integer, found by exact comparison.</summary>
    private static T RoundTo<T>(BigInteger exact, string rounding)
        where T : IFloatingPointIeee754<T>
    {
        if (BigInteger.Abs(exact) <= (typeof(T) == typeof(float) ? 1L << 24 : 1L << 53))
        {
            return T.CreateChecked(exact);
        }

        var guess = T.CreateSaturating(exact);
        while (T.IsFinite(guess) && new BigInteger(double.CreateChecked(guess)) > exact)
        {
            guess = T.BitDecrement(guess);
        }

        while (new BigInteger(double.CreateChecked(T.BitIncrement(guess))) <= exact)
        {
            guess = T.BitIncrement(guess);
        }

        // guess <= exact < next
        var below = new BigInteger(double.CreateChecked(guess));
        if (below == exact)
        {
            return exact == 0 ? T.Zero : guess;
        }

        var next = T.BitIncrement(guess);
        var above = new BigInteger(double.CreateChecked(next));
        var isEven = (BitConverter.DoubleToUInt64Bits(double.CreateChecked(guess)) >> (typeof(T) == typeof(float) ? 29 : 0) & 1) == 0;
        return rounding switch
        {
            "rm" => guess,
            "rp" => next,
            "rz" => exact < 0 ? next : guess,
            // Keeps what a later rounding to fewer digits needs.
            "odd" => isEven ? next : guess,
            _ => (exact - below).CompareTo(above - exact) switch { < 0 => guess, > 0 => next, _ => isEven ? guess : next },
        };
    }

    [Test]
    public void Floats_convert_to_integers_with_saturation()
    {
        foreach (var to in new[] { "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64" })
        {
            var result = to is "s8" or "u8" ? "b16" : "b" + to[1..];
            foreach (var rounding in new[] { "rni", "rzi", "rmi", "rpi" })
            {
                ulong Expected(double x)
                {
                    if (double.IsNaN(x))
                    {
                        return 0;
                    }

                    var low = to[0] == 's' ? -(BigInteger.One << (Width(to) - 1)) : 0;
                    var high = (BigInteger.One << (Width(to) - (to[0] == 's' ? 1 : 0))) - 1;
                    if (double.IsInfinity(x))
                    {
                        return Wrap(x > 0 ? high : low);
                    }

                    var integer = rounding switch
                    {
                        "rni" => Math.Round(x, MidpointRounding.ToEven),
                        "rzi" => Math.Truncate(x),
                        "rmi" => Math.Floor(x),
                        _ => Math.Ceiling(x),
                    };
                    return Wrap(BigInteger.Min(high, BigInteger.Max(low, new BigInteger(integer))));
                }

                Check($"cvt.{rounding}.{to}.f32", result, ["f32"], v => Expected(F(v[0])));
                Check($"cvt.{rounding}.{to}.f64", result, ["f64"], v => Expected(D(v[0])));
                Check($"cvt.{rounding}.{to}.f16", result, ["h16"], v => Expected((double)H(v[0])));
            }
        }
    }

    [Test]
    public void Floats_convert_to_floats()
    {
        Check("cvt.f64.f32", "f64", ["f32"], v => U((double)F(v[0])), NaN64);
        Check("cvt.f32.f16", "f32", ["h16"], v => U((float)H(v[0])), NaN32);
        Check("cvt.f64.f16", "f64", ["h16"], v => U((double)H(v[0])), NaN64);
        Check("cvt.rn.f32.f64", "f32", ["f64"], v => U((float)D(v[0])), NaN32);
        Check("cvt.rn.f16.f32", "b16", ["f32"], v => U((Half)F(v[0])), NaN16);
        Check("cvt.rn.f16.f64", "b16", ["f64"], v => U((Half)D(v[0])), NaN16);
        foreach (var rounding in new[] { "rz", "rm", "rp" })
        {
            Check($"cvt.{rounding}.f32.f64", "f32", ["f64"], v => U(Directed(D(v[0]), rounding)), NaN32);
        }

        Check("cvt.ftz.f32.f32", "f32", ["f32"], v => float.IsSubnormal(F(v[0])) ? v[0] & 0x80000000 : v[0], NaN32);
        Check("cvt.sat.f32.f32", "f32", ["f32"], v => U(F(v[0]) > 0 ? Math.Min(F(v[0]), 1) : 0));
        Check("cvt.rni.f32.f32", "f32", ["f32"], v => U(MathF.Round(F(v[0]), MidpointRounding.ToEven)), NaN32);
        Check("cvt.rzi.f64.f64", "f64", ["f64"], v => U(Math.Truncate(D(v[0]))), NaN64);
        Check("cvt.rmi.f32.f32", "f32", ["f32"], v => U(MathF.Floor(F(v[0]))), NaN32);
        Check("cvt.rpi.f64.f64", "f64", ["f64"], v => U(Math.Ceiling(D(v[0]))), NaN64);
        Check("cvt.rn.bf16x2.f32", "b32", ["f32", "f32"], v => Brain(v[0]) << 16 | Brain(v[1]), v => Brain16NaN(v) || Brain16NaN(v >> 16));
        Check("cvt.rn.f16x2.f32", "b32", ["f32", "f32"], v => U((Half)F(v[0])) << 16 | U((Half)F(v[1])), v => NaN16(v) || NaN16(v >> 16));
    }

    private static bool Brain16NaN(ulong v) => (v & 0x7fff) > 0x7f80;

    private static ulong Brain(ulong v)
    {
        var x = F(v);
        if (!float.IsFinite(x))
        {
            return float.IsNaN(x) ? 0x7fff : v >> 16;
        }

        ulong down = v >> 16, up = down + 1;
        var distance = (long)(v & 0xffff) - 0x8000;
        return distance < 0 || (distance == 0 && (down & 1) == 0) ? down : up;
    }

    private static float Directed(double x, string rounding)
    {
        var nearest = (float)x;
        if (!double.IsFinite(x))
        {
            return nearest;
        }

        var down = nearest > x ? MathF.BitDecrement(nearest) : nearest;
        var up = nearest < x ? MathF.BitIncrement(nearest) : nearest;
        return rounding == "rm" || (rounding == "rz" && x > 0) ? down : up;
    }

    [Test]
    public void Comparisons_know_NaN()
    {
        var comparisons = new (string Name, Func<double, double, bool> Holds)[]
        {
            ("eq", (a, b) => a == b), ("ne", (a, b) => a < b || a > b), ("lt", (a, b) => a < b), ("le", (a, b) => a <= b), ("gt", (a, b) => a > b), ("ge", (a, b) => a >= b),
            ("equ", (a, b) => a == b || Unordered(a, b)), ("neu", (a, b) => a != b), ("ltu", (a, b) => a < b || Unordered(a, b)), ("leu", (a, b) => a <= b || Unordered(a, b)),
            ("gtu", (a, b) => a > b || Unordered(a, b)), ("geu", (a, b) => a >= b || Unordered(a, b)), ("num", (a, b) => !Unordered(a, b)), ("nan", Unordered),
        };
        foreach (var (name, holds) in comparisons)
        {
            Check($"setp.{name}.f32 %p1, %a, %b;\nselp.b32 %d, 1, 0, %p1;", "b32", ["f32", "f32"], v => holds(F(v[0]), F(v[1])) ? 1UL : 0);
            Check($"setp.{name}.f64 %p1, %a, %b;\nselp.b32 %d, 1, 0, %p1;", "b32", ["f64", "f64"], v => holds(D(v[0]), D(v[1])) ? 1UL : 0);
            Check($"setp.{name}.f16 %p1, %a, %b;\nselp.b32 %d, 1, 0, %p1;", "b32", ["h16", "h16"], v => holds((double)H(v[0]), (double)H(v[1])) ? 1UL : 0);
        }

        foreach (var (name, holds) in new (string, Func<float, bool>)[]
                 {
                     ("finite", float.IsFinite), ("infinite", float.IsInfinity), ("number", v => !float.IsNaN(v)), ("notanumber", float.IsNaN),
                     ("normal", float.IsNormal), ("subnormal", float.IsSubnormal),
                 })
        {
            Check($"testp.{name}.f32 %p1, %a;\nselp.b32 %d, 1, 0, %p1;", "b32", ["f32"], v => holds(F(v[0])) ? 1UL : 0);
        }

        static bool Unordered(double a, double b) => double.IsNaN(a) || double.IsNaN(b);
    }

    [Test]
    public void Comparisons_of_integers_combine()
    {
        foreach (var type in AllIntegers)
        {
            var b = "b" + type[1..];
            foreach (var (name, holds) in new (string, Func<int, bool>)[]
                     {
                         ("eq", c => c == 0), ("ne", c => c != 0), ("lt", c => c < 0), ("le", c => c <= 0), ("gt", c => c > 0), ("ge", c => c >= 0),
                     })
            {
                Check($"setp.{name}.{type} %p1, %a, %b;\nselp.{b} %d, %a, %b, !%p1;", b, [b, b], v => holds(Of(type, v[0]).CompareTo(Of(type, v[1]))) ? v[1] : v[0]);
            }
        }

        const string both = "setp.hi.u32 %p1, %a, 7;\n";
        Check(both + "setp.lo.and.u32 %p2|%p3, %b, 100, !%p1;\nselp.b32 %r40, 1, 0, %p2;\nselp.b32 %r41, 2, 0, %p3;\nor.b32 %d, %r40, %r41;", "b32", ["b32", "b32"], v =>
            v[0] > 7 ? 0UL : v[1] < 100 ? 1UL : 2);
        Check(both + "setp.ls.or.u32 %p2, %b, 100, %p1;\nselp.b32 %d, 1, 0, %p2;", "b32", ["b32", "b32"], v => v[0] > 7 || v[1] <= 100 ? 1UL : 0);
        Check(both + "setp.hs.xor.u32 %p2, %b, 100, %p1;\nselp.b32 %d, 1, 0, %p2;", "b32", ["b32", "b32"], v => v[0] > 7 != v[1] >= 100 ? 1UL : 0);
        Check(both + "setp.hi.u32 %p2, %b, 7;\nxor.pred %p3, %p1, !%p2;\nnot.pred %p4, %p3;\nand.pred %p5, %p4, %p1;\nor.pred %p6, %p5, 0;\nmov.pred %p7, %p6;\nselp.b32 %d, 1, 0, %p7;", "b32", ["b32", "b32"], v =>
            v[0] > 7 && v[1] <= 7 ? 1UL : 0);
    }

    [Test]
    public void Registers_are_packed_and_unpacked()
    {
        Check("mov.b64 %d, {%a, %b};", "b64", ["b32", "b32"], v => v[1] << 32 | v[0]);
        Check("mov.b64 {%r40, %r41}, %a;\nmov.b64 %d, {%r41, %r40};", "b64", ["b64"], v => BitOperations.RotateLeft(v[0], 32));
        Check("mov.b32 {%rs40, %rs41}, %a;\nmov.b32 %d, {%rs41, %rs40};", "b32", ["b32"], v => BitOperations.RotateLeft((uint)v[0], 16));
        Check("mov.b32 %r40, %a;\nmov.f32 %d, %r40;", "f32", ["f32"], v => v[0]);
        Check("mov.b64 %rd40, %a;\nmov.f64 %d, %rd40;", "f64", ["f64"], v => v[0]);
        Check("bfi.b32 %d, %a, %b, 5, 9;", "b32", ["b32", "b32"], v => (v[1] & ~(511UL << 5)) | (v[0] & 511) << 5);
    }

    [Test]
    public void Narrow_loads_extend()
    {
        using var device = new PtxDevice();
        var address = device.Upload<byte>([0x80, 0xff, 0x7f, 0x81, 0xfe, 0xff, 0xff, 0xff]);
        var result = device.Allocate(64);
        device.Run(
            Snippet.Kernel(
                """
                ld.global.s8 %r4, [%rd0];
                st.global.b32 [%rd1], %r4;
                ld.global.u8 %r4, [%rd0];
                st.global.b32 [%rd1+4], %r4;
                ld.global.s16 %r4, [%rd0];
                st.global.b32 [%rd1+8], %r4;
                ld.global.u16 %r4, [%rd0];
                st.global.b32 [%rd1+12], %r4;
                ld.global.s32 %rd11, [%rd0+4];
                st.global.b64 [%rd1+16], %rd11;
                ld.global.u32 %rd11, [%rd0+4];
                st.global.b64 [%rd1+24], %rd11;
                """), 1, 1, address, result);
        Assert.That(
            device.Read<int>(result, 8), Is.EqualTo(new[] { -128, 128, -128, 0xff80, -2, -1, -2, 0 }));
    }
}
