using System.Runtime.CompilerServices;
using EquiNorm.Model;

namespace EquiNorm.Problem;

/// <summary>
/// One positive factor d per channel, as u = log d. Weights become W[o,i,k] * d_out[o] / d_in[i], biases b[o] * d_out[o].
/// </summary>
public sealed class Scalings
{
    private readonly double[] _logFactors;

    /// <summary>Takes over a copy of <paramref name="logFactors"/>, one natural logarithm per channel of the network.</summary>
    /// <exception cref="ArgumentException">The count differs, a logarithm is not finite, or a pinned channel's is not 0.</exception>
    public Scalings(Network network, ReadOnlySpan<double> logFactors)
    {
        if (logFactors.Length != network.ChannelCount)
        {
            throw new ArgumentException($"The network has {network.ChannelCount} channels, {logFactors.Length} factors are given.", nameof(logFactors));
        }

        foreach (var group in network.Groups)
        {
            var bad = FirstInvalid(logFactors.Slice(group.FirstChannel, group.Count), group.IsPinned);
            if (bad >= 0)
            {
                throw new ArgumentException(
                    $"The log factor of channel {bad} of '{group}' is {logFactors[group.FirstChannel + bad]}.", nameof(logFactors));
            }
        }

        Network = network;
        _logFactors = logFactors.ToArray();
    }

    /// <summary>The network that the factors belong to.</summary>
    public Network Network { get; }

    /// <summary>u = log d of every channel of the network, in the order of the groups.</summary>
    public ReadOnlySpan<double> LogFactors => _logFactors;

    /// <summary>Factors of 1.</summary>
    public static Scalings Identity(Network network) => new(network, new double[network.ChannelCount]);

    /// <summary>The log factors of one group.</summary>
    public ReadOnlySpan<double> LogFactorsOf(ChannelGroup group) => _logFactors.AsSpan(group.FirstChannel, group.Count);

    /// <summary>Writes the factor d (or 1/d) of each position of an axis.</summary>
    /// <param name="map">The axis.</param>
    /// <param name="exponent">1 for d, -1 for 1/d, any other power of d too (-2 for second moments).</param>
    /// <param name="factors">Receives one factor per position.</param>
    public void CopyFactors(ChannelMap map, double exponent, Span<double> factors) => CopyFactors(map, exponent, 0, factors);

    // Index of the first logarithm that is not finite, or not 0 in a pinned group; -1 if there is none.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int FirstInvalid(ReadOnlySpan<double> logFactors, bool isPinned)
    {
        for (var c = 0; c < logFactors.Length; c++)
        {
            if (!double.IsFinite(logFactors[c]) || (isPinned && logFactors[c] != 0))
            {
                return c;
            }
        }

        return -1;
    }

    private void CopyFactors(ChannelMap map, double exponent, double offset, Span<double> factors)
    {
        if (factors.Length != map.Length)
        {
            throw new ArgumentException($"The axis has {map.Length} positions, there is room for {factors.Length}.", nameof(factors));
        }

        var position = 0;
        foreach (var range in map.Ranges)
        {
            VectorMath.Factors(LogFactorsOf(range), exponent, offset, factors[position..]);
            position += range.Count;
        }
    }

    /// <summary>The factor d (or its power) of each position of an axis.</summary>
    public double[] FactorsOf(ChannelMap map, double exponent = 1) => FactorsOf(map, exponent, 0);

    private double[] FactorsOf(ChannelMap map, double exponent, double offset)
    {
        var factors = new double[map.Length];
        CopyFactors(map, exponent, offset, factors);
        return factors;
    }

    // The middle of an axis' log factors, a multiple of ln 2; 0 where all are harmless.
    private double Offset(ChannelMap map)
    {
        var (low, high) = (0.0, 0.0);
        foreach (var range in map.Ranges)
        {
            foreach (var u in LogFactorsOf(range))
            {
                (low, high) = low == 0 && high == 0 ? (u, u) : (Math.Min(low, u), Math.Max(high, u));
            }
        }

        return Math.Max(Math.Abs(low), Math.Abs(high)) < HarmlessLogFactor ? 0 : Math.Round((low + high) / 2 / Ln2) * Ln2;
    }

    private ReadOnlySpan<double> LogFactorsOf(ChannelRange range) =>
        _logFactors.AsSpan(Network.Groups[range.Group].FirstChannel + range.Start, range.Count);

    /// <summary>
    /// The factors of a weight: its elements are multiplied by Outputs[o] * Inputs[i] = scale[o] * d_out[o] / d_in[i]. Where the factors
    /// themselves would leave the range of float64 (steep penalties in deep networks) a power of two is moved from one side to the other.
    /// </summary>
    public (double[] Outputs, double[] Inputs) FactorsOf(Weight weight) => FactorsOf(weight, 1);

    /// <summary>The factors of a weight to a power: 1 for the weight and its copies, -1 for first and -2 for second moments.</summary>
    public (double[] Outputs, double[] Inputs) FactorsOf(Weight weight, int power)
    {
        var offset = Offset(weight.Inputs);
        var outputs = FactorsOf(weight.Outputs, power, offset);
        for (var o = 0; o < weight.OutputScale.Length; o++)
        {
            outputs[o] *= power == 1 ? weight.OutputScale.Span[o] : Math.Pow(Math.Abs(weight.OutputScale.Span[o]), power);
        }

        return (outputs, FactorsOf(weight.Inputs, -power, offset));
    }

    /// <summary>The factors that take this rescaling back. (An output scale that was baked in stays baked in.)</summary>
    public Scalings Inverse()
    {
        var inverse = new double[_logFactors.Length];
        for (var c = 0; c < inverse.Length; c++)
        {
            inverse[c] = -_logFactors[c] + 0.0; // + 0.0: no negative zeros
        }

        return new Scalings(Network, inverse);
    }

    /// <summary>
    /// Every factor rounded to the nearest power of two. At p = 2 the objective is then 13 to 17 % above the optimum, at p = 1 about 4 %;
    /// in exchange multiplying by the factors is exact, barring overflow and underflow.
    /// </summary>
    public Scalings PowerOfTwo()
    {
        var rounded = new double[_logFactors.Length];
        for (var c = 0; c < rounded.Length; c++)
        {
            rounded[c] = Math.Round(_logFactors[c] / Ln2) * Ln2 + 0.0;
        }

        return new Scalings(Network, rounded);
    }

    private const double Ln2 = 0.693147180559945309417;

    // exp(300) = 1e130: products of two such factors are still in range.
    private const double HarmlessLogFactor = 300;
}
