using EquiNorm.Problem;

namespace EquiNorm.Backends;

/// <summary>A backend, or a stepper, cannot do what is asked for; another can. Nothing was read or written.</summary>
public sealed class UnsupportedProblemException(string message) : NotSupportedException(message)
{
    /// <summary>Steps need a finite exponent.</summary>
    /// <exception cref="UnsupportedProblemException">p is infinite.</exception>
    public static void ThrowIfLargest(RescalingProblem problem)
    {
        if (problem.TakesLargest)
        {
            throw new UnsupportedProblemException(
                "Steps need a finite exponent of the norm: at p = infinity nothing is minimised. Solve and apply instead.");
        }
    }
}
