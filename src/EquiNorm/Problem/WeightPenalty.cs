using EquiNorm.Model;

namespace EquiNorm.Problem;

/// <summary>
/// The penalties lambda_t of F = sum_t lambda_t ||W_t||_p^p, kept as logarithms: a penalty by depth reaches 1e300 in deep networks. At
/// p = infinity lambda_t multiplies the magnitudes of a weight wherever the largest is looked for.
/// </summary>
public abstract record WeightPenalty
{
    private WeightPenalty()
    {
    }

    /// <summary>lambda_t = 1 for every weight.</summary>
    public static WeightPenalty Uniform { get; } = new UniformPenalty();

    /// <summary>lambda_t = 1 / (inputs per output * outputs per input), the fan-in times the fan-out: every connection counts the same.</summary>
    public static WeightPenalty Size { get; } = new SizePenalty();

    /// <summary>
    /// The asymmetric penalty of Equi-normalization, section 3.5: lambda_t = c^(p h), h = further weights between this one and the output.
    /// c = 1 is uniform; c > 1 makes early layers smaller. At p = infinity it is c^h.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="c"/> is not positive and finite.</exception>
    public static WeightPenalty Depth(double c) => new DepthPenalty(RequirePositive(c, nameof(c)));

    /// <summary>A penalty per weight by name; weights that are not named have 1.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A penalty is not positive and finite.</exception>
    public static WeightPenalty ByName(IReadOnlyDictionary<string, double> penalties)
    {
        foreach (var (name, value) in penalties)
        {
            RequirePositive(value, name);
        }

        return new NamedPenalty(penalties.ToDictionary(StringComparer.Ordinal));
    }

    /// <summary>log lambda_t of every weight of the network.</summary>
    /// <param name="network">The network.</param>
    /// <param name="norm">The exponent p; infinity for penalties of largest magnitudes.</param>
    /// <exception cref="NetworkException">A named weight does not exist.</exception>
    public abstract double[] LogPenalties(Network network, double norm);

    private static double RequirePositive(double value, string name) => double.IsFinite(value) && value > 0
        ? value
        : throw new ArgumentOutOfRangeException(name, value, "A weight penalty must be positive and finite.");

    private sealed record UniformPenalty : WeightPenalty
    {
        public override double[] LogPenalties(Network network, double norm) => new double[network.Weights.Count];
    }

    private sealed record SizePenalty : WeightPenalty
    {
        public override double[] LogPenalties(Network network, double norm) => [.. network.Weights.Select(w =>
            -Math.Log(Math.Max(1.0, (double)w.Layout.InputsPerGroup * w.Layout.Kernel))
            - Math.Log(Math.Max(1.0, (double)w.Layout.OutputsPerGroup * w.Layout.Kernel)))];
    }

    private sealed record DepthPenalty(double C) : WeightPenalty
    {
        public override double[] LogPenalties(Network network, double norm) =>
            [.. network.Weights.Select(w => (double.IsPositiveInfinity(norm) ? 1 : norm) * w.Height * Math.Log(C))];
    }

    private sealed record NamedPenalty(Dictionary<string, double> Penalties) : WeightPenalty
    {
        public override double[] LogPenalties(Network network, double norm)
        {
            var logs = new double[network.Weights.Count];
            foreach (var (name, value) in Penalties)
            {
                logs[network.Weight(name).Index] = Math.Log(value);
            }

            return logs;
        }
    }
}
