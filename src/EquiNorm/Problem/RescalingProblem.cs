using EquiNorm.Model;

namespace EquiNorm.Problem;

/// <summary>
/// What is minimised: F(u) = sum_t lambda_t sum |W_t[o,i,k]|^p exp(p (u_out[o] - u_in[i])) over the log-factors u of all free channels.
/// </summary>
/// <param name="Network">The network.</param>
public sealed record RescalingProblem(Network Network)
{
    /// <summary>The exponent p > 0 of the norm; 2 by default.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not positive and finite.</exception>
    public double Norm
    {
        get;
        init => field = double.IsFinite(value) && value > 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(Norm), value, "The exponent of the norm must be positive and finite.");
    } = 2;

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
