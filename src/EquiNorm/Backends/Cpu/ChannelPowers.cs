using System.Numerics;
using System.Runtime.CompilerServices;
using EquiNorm.Model;
using EquiNorm.Problem;

namespace EquiNorm.Backends.Cpu;

/// <summary>
/// Powers of the factors of all channels, d^q = exp(q u), each computed once for all the axes that carry the channel: q = 1 and -1, and
/// 2 and -2 if there are second moments.
/// </summary>
internal sealed unsafe class ChannelPowers
{
    // Every tensor is multiplied by a product of two powers, at most squares: exp(2 * 300) and its like are far from the ends of float64.
    // The threshold is that of Scalings, behind which it moves powers of two from one axis to the other.
    private const double LargestPlainLogFactor = 300;

    private readonly Network _network;
    private readonly (int First, int Count)[] _pinned;
    private readonly double[]?[] _powers = new double[5][];

    /// <param name="network">The network whose channels they are.</param>
    /// <param name="squares">Whether squares are wanted.</param>
    public ChannelPowers(Network network, bool squares)
    {
        _network = network;
        _pinned = [.. network.Groups.Where(g => g.IsPinned && g.Count > 0).Select(g => (g.FirstChannel, g.Count))];
        foreach (var power in squares ? (ReadOnlySpan<int>)[1, -1, 2, -2] : [1, -1])
        {
            // Pinned for good: axes of consecutive channels read them where they are.
            _powers[power + 2] = GC.AllocateArray<double>(network.ChannelCount + 1, pinned: true);
        }
    }

    /// <summary>d^power of the first channel; the others follow.</summary>
    public double* Of(int power) => (double*)Unsafe.AsPointer(ref _powers[power + 2]![0]);

    /// <summary>Computes the powers.</summary>
    /// <returns>Null, or the factors as something that can hold extreme ones: what is computed here would leave the range of float64.</returns>
    /// <exception cref="ArgumentException">There is not one finite logarithm per channel, or a pinned channel's is not 0.</exception>
    public Scalings? Set(ReadOnlySpan<double> logFactors)
    {
        if (logFactors.Length != _network.ChannelCount || !IsPlain(logFactors))
        {
            return new Scalings(_network, logFactors);
        }

        foreach (var (first, count) in _pinned)
        {
            if (logFactors.Slice(first, count).ContainsAnyExcept(0.0))
            {
                _ = new Scalings(_network, logFactors); // throws
            }
        }

        for (var power = -2; power <= 2; power++)
        {
            if (_powers[power + 2] is { } factors)
            {
                VectorMath.Factors(logFactors, power, 0, factors);
            }
        }

        return null;
    }

    // False for NaN too.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool IsPlain(ReadOnlySpan<double> logFactors)
    {
        var largest = new Vector<double>(LargestPlainLogFactor);
        var i = 0;
        for (; i <= logFactors.Length - Vector<double>.Count; i += Vector<double>.Count)
        {
            if (!Vector.LessThanAll(Vector.Abs(new Vector<double>(logFactors[i..])), largest))
            {
                return false;
            }
        }

        for (; i < logFactors.Length; i++)
        {
            if (!(Math.Abs(logFactors[i]) < LargestPlainLogFactor))
            {
                return false;
            }
        }

        return true;
    }
}
