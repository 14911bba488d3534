// Logarithm and exponential of float64 vectors, within two units in the last place. The runtime has both, but compiles them without
// optimisation when they are first met, and a solve is over before it looks again; these are inlined into loops that ask for optimised
// code at once. The order of operations is the same in every lane, so a result does not depend on its neighbours.

using System.Numerics;
using System.Runtime.CompilerServices;

namespace EquiNorm.Problem;

internal static class VectorMath
{
    /// <summary><see cref="Exp"/> is defined up to this magnitude: neither overflow nor denormal numbers.</summary>
    public const double LargestExponent = 700;

    /// <summary><see cref="Log"/> is defined from here to the largest finite number.</summary>
    public const double SmallestNormal = 2.2250738585072014e-308;

    // log 2 in two parts: the first has its last 32 bits zero, so that its product with an exponent is exact.
    private const double Log2High = 0.6931471803691238;
    private const double Log2Low = 1.9082149292705877e-10;

    private const double Ln2 = 0.6931471805599453;

    // exp(k ln 2) is a few units off 2^k in the last place.
    private const double PowerOfTwoTolerance = 1e-12;

    private const double TwoTo52 = 1L << 52;

    // Adding it rounds a float64 below 2^51 to an integer.
    private const double Rounder = 1.5 * (1L << 52);

    /// <summary>Whether all are positive and neither too small nor too large for <see cref="Log"/>; false for NaN.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool AreNormal(Vector<double> x) =>
        Vector.GreaterThanOrEqualAll(x, new Vector<double>(SmallestNormal)) && Vector.LessThanOrEqualAll(x, new Vector<double>(double.MaxValue));

    /// <summary>log x of normal positive numbers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<double> Log(Vector<double> x)
    {
        // x = 2^n m with m in [sqrt(1/2), sqrt(2)): the exponent is taken of x / sqrt(1/2), and the mantissa moved back.
        var half = new Vector<long>(BitConverter.DoubleToInt64Bits(Math.Sqrt(0.5)));
        var bits = Vector.AsVectorInt64(x) - half;
        var exponent = Vector.BitwiseAnd(bits, new Vector<long>(unchecked((long)0xFFF0_0000_0000_0000)));
        var m = Vector.AsVectorDouble(Vector.AsVectorInt64(x) - exponent);
        var n = Vector.ConvertToDouble(Vector.ShiftRightArithmetic(exponent, 52));

        // log m = 2 artanh s = 2 (s + s^3 / 3 + s^5 / 5 + ...) with s = (m - 1) / (m + 1), |s| < 0.172. The first term is split off
        // f = m - 1, which is exact: 2 s = f - s f.
        var f = m - Vector<double>.One;
        var s = f / (f + new Vector<double>(2));
        var z = s * s;
        var series = new Vector<double>(2.0 / 21);
        series = Vector.MultiplyAddEstimate(series, z, new Vector<double>(2.0 / 19));
        series = Vector.MultiplyAddEstimate(series, z, new Vector<double>(2.0 / 17));
        series = Vector.MultiplyAddEstimate(series, z, new Vector<double>(2.0 / 15));
        series = Vector.MultiplyAddEstimate(series, z, new Vector<double>(2.0 / 13));
        series = Vector.MultiplyAddEstimate(series, z, new Vector<double>(2.0 / 11));
        series = Vector.MultiplyAddEstimate(series, z, new Vector<double>(2.0 / 9));
        series = Vector.MultiplyAddEstimate(series, z, new Vector<double>(2.0 / 7));
        series = Vector.MultiplyAddEstimate(series, z, new Vector<double>(2.0 / 5));
        series = Vector.MultiplyAddEstimate(series, z, new Vector<double>(2.0 / 3));
        var rest = s * (z * series - f) + n * new Vector<double>(Log2Low);
        return n * new Vector<double>(Log2High) + (f + rest);
    }

    /// <summary>exp x for |x| up to <see cref="LargestExponent"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<double> Exp(Vector<double> x)
    {
        // x = k log 2 + r, |r| <= log(2) / 2, exp x = 2^k exp r, exp r by its power series.
        var k = Vector.MultiplyAddEstimate(x, new Vector<double>(1 / Ln2), new Vector<double>(Rounder)) - new Vector<double>(Rounder);
        return PowerOfTwo(k, x - k * new Vector<double>(Log2High) - k * new Vector<double>(Log2Low));
    }

    /// <summary>exp x as <see cref="Exp"/>, and exactly 2^k where x is k log 2 but for rounding: powers of two scale without rounding.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<double> ExpOrPowerOfTwo(Vector<double> x)
    {
        var exponent = x * new Vector<double>(1 / Ln2);
        var k = (exponent + new Vector<double>(Rounder)) - new Vector<double>(Rounder);
        var slack = new Vector<double>(PowerOfTwoTolerance) * Vector.Max(Vector<double>.One, Vector.Abs(k));
        var isPower = Vector.LessThanOrEqual(Vector.Abs(exponent - k), slack);
        var r = x - k * new Vector<double>(Log2High) - k * new Vector<double>(Log2Low);
        return PowerOfTwo(k, Vector.ConditionalSelect(isPower, Vector<double>.Zero, r));
    }

    /// <summary>
    /// factors[i] = exp((logs[i] - offset) * exponent), exactly a power of two where the argument is a multiple of log 2 but for rounding.
    /// A factor depends on its own logarithm only.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Factors(ReadOnlySpan<double> logs, double exponent, double offset, Span<double> factors)
    {
        var (offsets, exponents) = (new Vector<double>(offset), new Vector<double>(exponent));
        var i = 0;
        for (; i <= logs.Length - Vector<double>.Count; i += Vector<double>.Count)
        {
            Factor((new Vector<double>(logs[i..]) - offsets) * exponents).CopyTo(factors[i..]);
        }

        for (; i < logs.Length; i++)
        {
            factors[i] = Factor(new Vector<double>((logs[i] - offset) * exponent))[0];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<double> Factor(Vector<double> x) =>
        Vector.LessThanOrEqualAll(Vector.Abs(x), new Vector<double>(LargestExponent)) ? ExpOrPowerOfTwo(x) : FarFactor(x);

    // Some lane is beyond the range of the vector's exponential, or NaN.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Vector<double> FarFactor(Vector<double> x)
    {
        var near = ExpOrPowerOfTwo(x);
        Span<double> factors = stackalloc double[Vector<double>.Count];
        for (var lane = 0; lane < factors.Length; lane++)
        {
            var exponent = x[lane] / Ln2;
            var nearest = Math.Round(exponent);
            factors[lane] = Math.Abs(x[lane]) <= LargestExponent ? near[lane]
                : Math.Abs(exponent - nearest) <= PowerOfTwoTolerance * Math.Max(1, Math.Abs(nearest)) ? Math.ScaleB(1.0, (int)nearest)
                : Math.Exp(x[lane]);
        }

        return new Vector<double>(factors);
    }

    // 2^k exp r.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<double> PowerOfTwo(Vector<double> k, Vector<double> r)
    {
        var series = new Vector<double>(1.0 / 6227020800);
        series = Vector.MultiplyAddEstimate(series, r, new Vector<double>(1.0 / 479001600));
        series = Vector.MultiplyAddEstimate(series, r, new Vector<double>(1.0 / 39916800));
        series = Vector.MultiplyAddEstimate(series, r, new Vector<double>(1.0 / 3628800));
        series = Vector.MultiplyAddEstimate(series, r, new Vector<double>(1.0 / 362880));
        series = Vector.MultiplyAddEstimate(series, r, new Vector<double>(1.0 / 40320));
        series = Vector.MultiplyAddEstimate(series, r, new Vector<double>(1.0 / 5040));
        series = Vector.MultiplyAddEstimate(series, r, new Vector<double>(1.0 / 720));
        series = Vector.MultiplyAddEstimate(series, r, new Vector<double>(1.0 / 120));
        series = Vector.MultiplyAddEstimate(series, r, new Vector<double>(1.0 / 24));
        series = Vector.MultiplyAddEstimate(series, r, new Vector<double>(1.0 / 6));
        series = Vector.MultiplyAddEstimate(series, r, new Vector<double>(0.5));
        var power = Vector<double>.One + (r + r * r * series);

        // The integer sits in the low bits of 2^52 + 1023 + k; shifted up it is the exponent field.
        var scale = Vector.ShiftLeft(Vector.AsVectorInt64(k + new Vector<double>(TwoTo52 + 1023)), 52);
        return power * Vector.AsVectorDouble(scale);
    }
}
