// The energy of one element, |w * 2^e|^p in float64. A power of two in front keeps energies in range (float64 1e200 at
// p = 2, float32 at p = 8) without touching a bit of the significand; the caller divides 2^(e p) out of sums.
// An element that is not zero never has an energy below the smallest normal number: a channel is dead only if all its
// weights are. Zero gives 0, infinity gives infinity, NaN gives NaN.

using EquiNorm.Model;

namespace EquiNorm.Backends.Cpu;

/// <summary>Which formula computes |w|^p.</summary>
internal enum PowerKind
{
    /// <summary>p = 1 without prescale on a type whose energies cannot vanish.</summary>
    Absolute,

    /// <summary>p = 2 without prescale on a type whose energies cannot vanish.</summary>
    Square,

    /// <summary>2p a small integer: multiplications and at most one square root.</summary>
    HalfInteger,

    /// <summary>Any p: exp(p log|w|), exponent and significand apart.</summary>
    General,

    /// <summary>p = infinity: the magnitude, and the largest instead of the sum.</summary>
    Largest,
}

/// <summary>The exponent p and the prescale e of the energies |w * 2^e|^p; of |w * 2^e| at p = infinity.</summary>
internal readonly record struct PowerLaw
{
    /// <summary>2^e has to be a normal float64.</summary>
    public const int PrescaleLimit = 1022;

    // Beyond p = 32 repeated squaring has no more precision than the exponential.
    private const int LargestTwiceP = 64;

    public PowerLaw(double exponent, int prescale = 0)
    {
        if (!(exponent > 0))
        {
            throw new ArgumentOutOfRangeException(nameof(exponent), exponent, "The exponent p must be positive.");
        }

        if (Math.Abs(prescale) > PrescaleLimit)
        {
            throw new ArgumentOutOfRangeException(
                nameof(prescale), prescale, $"The prescale exponent must lie in [-{PrescaleLimit}, {PrescaleLimit}].");
        }

        Exponent = exponent;
        Prescale = prescale;
    }

    /// <summary>p.</summary>
    public double Exponent { get; }

    /// <summary>Whether energies are combined by taking the largest.</summary>
    public bool TakesLargest => double.IsPositiveInfinity(Exponent);

    /// <summary>e.</summary>
    public int Prescale { get; }

    /// <summary>The formula for elements of a type. 16- and 32-bit elements squared stay above 2^-298: no clamp needed.</summary>
    public PowerKind KindFor(ElementType type) => (Exponent, Prescale, type) switch
    {
        (double.PositiveInfinity, _, _) => PowerKind.Largest,
        (1, 0, not ElementType.Float64) => PowerKind.Absolute,
        (2, 0, not ElementType.Float64) => PowerKind.Square,
        ( <= LargestTwiceP / 2, _, _) when Exponent * 2 == Math.Floor(Exponent * 2) => PowerKind.HalfInteger,
        _ => PowerKind.General,
    };
}
