// Logarithm and exponential in float64, with the argument reductions and polynomials of fdlibm (e_log.c, e_exp.c):
//   Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved.
//   Developed at SunSoft, a Sun Microsystems, Inc. business. Permission to use, copy, modify, and distribute this
//   software is freely granted, provided that this notice is preserved.
// Errors below 1 unit in the last place. ILGPU's own need a library that is not reproducible or not there.
using ILGPU;

namespace EquiNorm.Gpu.Kernels;

/// <summary>Functions that the closed form needs.</summary>
public static class Transcendental
{
    private const double Ln2High = 6.93147180369123816490e-01;
    private const double Ln2Low = 1.90821492927058770002e-10;
    private const double InverseLn2 = 1.44269504088896338700e+00;
    private const double SmallestNormal = 2.2250738585072014e-308;

    /// <summary>The natural logarithm: of zero -infinity, of infinity infinity, of NaN and negative numbers NaN.</summary>
    public static double Log(double x)
    {
        // One exit: kernels branch as little as they can.
        int k = 0;
        double y = x;
        if (x < SmallestNormal)
        {
            y = x * 18014398509481984.0; // 2^54
            k = -54;
        }

        ulong bits = Interop.FloatAsInt(y);
        uint high = (uint)(bits >> 32);
        k += (int)(high >> 20) - 1023;
        uint mantissa = high & 0x000fffffu;
        uint carry = (mantissa + 0x95f64u) & 0x100000u;
        double m = Interop.IntAsFloat(((ulong)(mantissa | (carry ^ 0x3ff00000u)) << 32) | (bits & 0xffffffffUL));
        k += (int)(carry >> 20);
        double f = m - 1.0;
        double s = f / (2.0 + f);
        double z = s * s;
        double r = z * (6.666666666666735130e-01 + z * (3.999999999940941908e-01 + z * (2.857142874366239149e-01
            + z * (2.222219843214978396e-01 + z * (1.818357216161805012e-01 + z * (1.531383769920937332e-01 + z * 1.479819860511658591e-01))))));
        double half = 0.5 * f * f;
        double result = k * Ln2High - ((half - (s * (half + r) + k * Ln2Low)) - f);
        double special = x == 0.0 ? -1.0 / 0.0 : (x > 0.0 ? x : 0.0 / 0.0);
        return x > 0.0 && x <= 1.7976931348623157e308 ? result : special;
    }

    /// <summary>The exponential: 0 far below, infinity far above.</summary>
    public static double Exp(double x)
    {
        double bounded = x > 710.0 ? 710.0 : (x < -760.0 ? -760.0 : x);
        double rounded = InverseLn2 * bounded + (bounded < 0.0 ? -0.5 : 0.5);
        int k = !double.IsNaN(bounded) ? (int)rounded : 0;
        double high = bounded - k * Ln2High;
        double low = k * Ln2Low;
        double r = high - low;
        double t = r * r;
        double c = r - t * (1.66666666666666019037e-01 + t * (-2.77777777770155933842e-03 + t * (6.61375632143793436117e-05
            + t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08))));
        double y = 1.0 - ((low - (r * c) / (2.0 - c)) - high);

        // In two steps, so that results below the smallest normal number, and those just below infinity, come out right.
        int first = k / 2;
        return y * PowerOfTwo(first) * PowerOfTwo(k - first);
    }

    /// <summary>2^k for k in [-1022, 1023].</summary>
    public static double PowerOfTwo(int k) => Interop.IntAsFloat((ulong)(k + 1023) << 52);
}
