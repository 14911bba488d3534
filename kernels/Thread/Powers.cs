// The energy |w|^p of one element. An element that is not zero never has an energy of zero: a channel is dead only if all its weights
// are. Zero gives 0, infinity gives infinity, NaN gives NaN.
using System.Runtime.CompilerServices;

namespace EquiNorm.Gpu.Kernels;

/// <summary>A formula for |w|^p.</summary>
public interface IPower
{
    /// <summary>The energy of an element.</summary>
    /// <param name="element">w.</param>
    /// <param name="prescale">A power of two that w is multiplied by first, where energies could leave the range.</param>
    /// <param name="exponent">p.</param>
    double Energy(double element, double prescale, double exponent);

    /// <summary>Two energies together: their sum, or the larger one.</summary>
    double Combine(double total, double energy);
}

/// <summary>p = 1 on types whose energies cannot leave the range.</summary>
public struct Absolute : IPower
{
    /// <inheritdoc/>
    public readonly double Energy(double element, double prescale, double exponent) => Math.Abs(element);

    /// <inheritdoc/>
    public readonly double Combine(double total, double energy) => total + energy;
}

/// <summary>p = 2 on types whose energies cannot leave the range.</summary>
public struct Square : IPower
{
    /// <inheritdoc/>
    public readonly double Energy(double element, double prescale, double exponent) => element * element;

    /// <inheritdoc/>
    public readonly double Combine(double total, double energy) => total + energy;
}

/// <summary>p = 1 with a prescale.</summary>
public struct ScaledAbsolute : IPower
{
    /// <inheritdoc/>
    public readonly double Energy(double element, double prescale, double exponent) =>
        Clamp.KeepAlive(Math.Abs(element * prescale), element);

    /// <inheritdoc/>
    public readonly double Combine(double total, double energy) => total + energy;
}

/// <summary>p = 2 with a prescale.</summary>
public struct ScaledSquare : IPower
{
    /// <inheritdoc/>
    public readonly double Energy(double element, double prescale, double exponent)
    {
        double scaled = element * prescale;
        return Clamp.KeepAlive(scaled * scaled, element);
    }

    /// <inheritdoc/>
    public readonly double Combine(double total, double energy) => total + energy;
}

/// <summary>Any p > 0, with a prescale: exp(p log |w|), with an error of a few units of 1e-16 (1 + |p log w|).</summary>
public struct Power : IPower
{
    /// <inheritdoc/>
    public readonly double Energy(double element, double prescale, double exponent) => Of(element, prescale, exponent);

    /// <inheritdoc/>
    public readonly double Combine(double total, double energy) => total + energy;

    // Called, not inlined: a kernel has twenty places that need it, and general powers are rare.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static double Of(double element, double prescale, double exponent)
    {
        double scaled = Math.Abs(element * prescale);
        double energy = Transcendental.Exp(exponent * Transcendental.Log(scaled));
        return double.IsNaN(scaled) ? scaled : Clamp.KeepAlive(energy, element);
    }
}

/// <summary>
/// p = infinity with a prescale: the magnitude, and the larger one instead of the sum. Comparisons lose a NaN, so what is not finite becomes
/// infinite, which no comparison loses.
/// </summary>
public struct LargestMagnitude : IPower
{
    /// <inheritdoc/>
    public readonly double Energy(double element, double prescale, double exponent)
    {
        double magnitude = Math.Abs(element);
        return magnitude <= 1.7976931348623157e308 ? Clamp.KeepAlive(magnitude * prescale, element) : 1.0 / 0.0;
    }

    /// <inheritdoc/>
    public readonly double Combine(double total, double energy) => energy > total ? energy : total;
}

/// <summary>Keeps what is not zero from vanishing.</summary>
public static class Clamp
{
    private const double SmallestNormal = 2.2250738585072014e-308;

    /// <summary>The energy, or the smallest normal number if it is less and the element is not zero.</summary>
    public static double KeepAlive(double energy, double element) =>
        energy < SmallestNormal && element != 0.0 ? SmallestNormal : energy;
}
