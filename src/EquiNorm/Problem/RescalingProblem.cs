using EquiNorm.Model;

namespace EquiNorm.Problem;

/// <summary>
/// What is minimised: F(u) = sum_t lambda_t sum |W_t[o,i,k]|^p exp(p (u_out[o] - u_in[i])) over the log-factors u of all free channels.
/// At p = infinity nothing is minimised: wanted is a point at which, for every channel, the largest lambda_t |W_t[o,i,k]| exp(u_out[o] -
/// u_in[i]) over all that writes it equals the largest over all that reads it (cross-layer equalization).
/// </summary>
/// <param name="Network">The network.</param>
public sealed record RescalingProblem(Network Network)
{
    /// <summary>The exponent p > 0 of the norm; 2 by default. <see cref="double.PositiveInfinity"/> takes the largest magnitude.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not positive.</exception>
    public double Norm
    {
        get;
        init => field = value > 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(Norm), value, "The exponent of the norm must be positive.");
    } = 2;

    /// <summary>Whether p is infinite: energies are combined by taking the largest, not by adding them up.</summary>
    public bool TakesLargest => double.IsPositiveInfinity(Norm);

    /// <summary>The power of the factors d in an energy: p, and 1 at p = infinity, where energies are magnitudes.</summary>
    public double FactorExponent => TakesLargest ? 1 : Norm;

    /// <summary>The weight penalties lambda_t; uniform by default.</summary>
    public WeightPenalty Penalty { get; init; } = WeightPenalty.Uniform;

    /// <summary>Which biases count in F; none by default. They are rescaled with their channels in any case.</summary>
    public BiasNorm BiasNorm { get; init; } = BiasNorm.Excluded;

    /// <summary>Whether weight <paramref name="weight"/> counts in F.</summary>
    public bool IsInNorm(Weight weight) => weight.Role == WeightRole.Weight || BiasNorm == BiasNorm.Included;
}

/// <summary>Whether biases count in the norm.</summary>
public enum BiasNorm
{
    /// <summary>Biases are rescaled but not counted.</summary>
    Excluded,

    /// <summary>A bias counts like a weight from a constant input.</summary>
    Included,
}
