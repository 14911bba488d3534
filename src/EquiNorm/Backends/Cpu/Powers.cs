// The formulas behind PowerLaw as struct type arguments, one vector of elements at a time: energy = |w * 2^e|^p.

using System.Runtime.CompilerServices;

namespace EquiNorm.Backends.Cpu;

internal interface IPower
{
    static abstract PowerKind Kind { get; }

    TVector Energy<TLanes, TVector>(TVector element)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged;

    /// <summary>sum + energy; the larger one at p = infinity.</summary>
    TVector AddEnergy<TLanes, TVector>(TVector sum, TVector element)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged;

    /// <summary>The lanes' energies together.</summary>
    static virtual double Total<TLanes, TVector>(TVector energies)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged => TLanes.Sum(energies);

    /// <summary>Lane r of the result is the total of rows[r], r in [0, Count).</summary>
    static unsafe virtual TVector TotalEach<TLanes, TVector>(TVector* rows)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged => TLanes.SumEach(rows);
}

internal readonly struct AbsolutePower : IPower
{
    public static PowerKind Kind => PowerKind.Absolute;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TVector Energy<TLanes, TVector>(TVector element)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged => TLanes.Abs(element);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TVector AddEnergy<TLanes, TVector>(TVector sum, TVector element)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged => TLanes.Add(sum, TLanes.Abs(element));
}

internal readonly struct SquarePower : IPower
{
    public static PowerKind Kind => PowerKind.Square;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TVector Energy<TLanes, TVector>(TVector element)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged => TLanes.Multiply(element, element);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TVector AddEnergy<TLanes, TVector>(TVector sum, TVector element)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged => TLanes.MultiplyAdd(element, element, sum);
}

/// <summary>p = n / 2 by binary powering; every factor is exact or rounded once, so the error is a few units in the last place.</summary>
internal readonly struct HalfIntegerPower(PowerLaw law) : IPower
{
    private readonly double _scale = Math.ScaleB(1, law.Prescale);
    private readonly int _whole = (int)law.Exponent;
    private readonly bool _root = law.Exponent != Math.Floor(law.Exponent);

    public static PowerKind Kind => PowerKind.HalfInteger;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TVector Energy<TLanes, TVector>(TVector element)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector power = TLanes.Multiply(TLanes.Abs(element), TLanes.Create(_scale));
        TVector result = _root ? TLanes.Sqrt(power) : TLanes.Create(1);
        for (int bits = _whole; bits != 0;)
        {
            result = (bits & 1) != 0 ? TLanes.Multiply(result, power) : result;
            bits >>= 1;

            // Squared only if it will be used: the last square might overflow where the result does not.
            power = bits != 0 ? TLanes.Multiply(power, power) : power;
        }

        return Clamp.KeepAlive<TLanes, TVector>(result, element);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TVector AddEnergy<TLanes, TVector>(TVector sum, TVector element)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged => TLanes.Add(sum, Energy<TLanes, TVector>(element));
}

/// <summary>
/// |w| = m 2^n with m in [1, 2): p log2|w| = k + f with k an integer and |f| at most 1/2, energy = 2^k exp(f log 2). Only log m is
/// multiplied by p, so the error does not grow with the magnitude of w as that of exp(p log|w|) does; the prescale is added to n.
/// </summary>
internal readonly struct GeneralPower(PowerLaw law) : IPower
{
    // Adding it rounds a float64 below 2^51 to an integer.
    private const double Rounder = 1.5 * (1L << 52);
    private const double TwoTo52 = 1L << 52;

    // The widest k that two normal powers of two reach; beyond it the energy overflows or is clamped anyway.
    private const double LargestBinaryExponent = 2040;

    private readonly double _exponent = law.Exponent;
    private readonly double _bias = 1023 - law.Prescale;

    public static PowerKind Kind => PowerKind.General;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TVector Energy<TLanes, TVector>(TVector element)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector magnitude = TLanes.Abs(element);
        TVector tiny = TLanes.LessThan(magnitude, TLanes.Create(Clamp.SmallestNormal));
        TVector normal = TLanes.Multiply(
            magnitude, TLanes.Select(tiny, TLanes.Create(1L << 54), TLanes.Create(1)));
        TVector two52 = TLanes.Create(TwoTo52);
        TVector n = TLanes.Subtract(TLanes.Or(TLanes.ShiftRight52(normal), two52), two52);
        n = TLanes.Subtract(n, TLanes.Select(tiny, TLanes.Create(_bias + 54), TLanes.Create(_bias)));
        TVector m = TLanes.And(normal, TLanes.Create(BitConverter.UInt64BitsToDouble(0x000F_FFFF_FFFF_FFFF)));
        TVector log = TLanes.Log(TLanes.Or(m, TLanes.Create(1)));

        TVector p = TLanes.Create(_exponent);
        TVector log2 = TLanes.MultiplyAdd(log, TLanes.Create(1 / Math.Log(2)), n);
        TVector k = TLanes.Subtract(
            TLanes.Add(TLanes.Multiply(p, log2), TLanes.Create(Rounder)), TLanes.Create(Rounder));
        TVector f = TLanes.MultiplyAdd(p, n, TLanes.Subtract(TLanes.Create(0), k));
        TVector small = TLanes.Exp(
            TLanes.MultiplyAdd(p, log, TLanes.Multiply(f, TLanes.Create(Math.Log(2)))));
        TVector energy = TimesPowerOfTwo<TLanes, TVector>(small, k);

        // Infinity and NaN have no exponent to take apart.
        TVector finite = TLanes.LessThan(magnitude, TLanes.Create(double.PositiveInfinity));
        return Clamp.KeepAlive<TLanes, TVector>(TLanes.Select(finite, energy, magnitude), element);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TVector AddEnergy<TLanes, TVector>(TVector sum, TVector element)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged => TLanes.Add(sum, Energy<TLanes, TVector>(element));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector TimesPowerOfTwo<TLanes, TVector>(TVector value, TVector k)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector limit = TLanes.Create(LargestBinaryExponent);
        k = TLanes.Select(TLanes.LessThan(k, limit), k, limit);
        k = TLanes.Max(k, TLanes.Create(-LargestBinaryExponent));
        TVector rounder = TLanes.Create(Rounder);
        TVector half = TLanes.Subtract(TLanes.MultiplyAdd(k, TLanes.Create(0.5), rounder), rounder);

        // The integer sits in the low bits of 2^52 + 1023 + k; shifted up it is the exponent field.
        TVector offset = TLanes.Create(TwoTo52 + 1023);
        TVector low = TLanes.ShiftLeft52(TLanes.Add(half, offset));
        TVector high = TLanes.ShiftLeft52(TLanes.Add(TLanes.Subtract(k, half), offset));
        return TLanes.Multiply(TLanes.Multiply(value, low), high);
    }
}

/// <summary>
/// p = infinity: |w 2^e|, combined by taking the largest. Comparisons lose a NaN, so what is not finite becomes infinite, which no
/// comparison loses.
/// </summary>
internal readonly struct LargestPower(PowerLaw law) : IPower
{
    private readonly double _scale = Math.ScaleB(1, law.Prescale);

    public static PowerKind Kind => PowerKind.Largest;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TVector Energy<TLanes, TVector>(TVector element)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector infinity = TLanes.Create(double.PositiveInfinity);
        TVector magnitude = TLanes.Abs(element);
        TVector energy = Clamp.KeepAlive<TLanes, TVector>(TLanes.Multiply(magnitude, TLanes.Create(_scale)), element);
        return TLanes.Select(TLanes.LessThan(magnitude, infinity), energy, infinity);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TVector AddEnergy<TLanes, TVector>(TVector sum, TVector element)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged => TLanes.Max(sum, Energy<TLanes, TVector>(element));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double Total<TLanes, TVector>(TVector energies)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged => TLanes.MaxLane(energies);

    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe TVector TotalEach<TLanes, TVector>(TVector* rows)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        // In place: the rows are scratch of the caller's, and lane r is written behind the last use of row r.
        var totals = (double*)rows;
        for (var r = 0; r < TLanes.Count; r++)
        {
            totals[r] = TLanes.MaxLane(rows[r]);
        }

        return TLanes.LoadFloat64((byte*)totals);
    }
}

internal static class Clamp
{
    public const double SmallestNormal = 2.2250738585072014e-308;

    /// <summary>At least the smallest normal number where <paramref name="source"/> is not zero, 0 where it is; NaN stays.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector KeepAlive<TLanes, TVector>(TVector energy, TVector source)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        TLanes.And(
            TLanes.Max(TLanes.Create(SmallestNormal), energy),
            TLanes.NotEqual(source, TLanes.Create(0)));
}
