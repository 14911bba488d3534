using System.Numerics;
using System.Runtime.CompilerServices;
using EquiNorm.Model;

namespace EquiNorm.Solve;

/// <summary>Whether the factor s = d_out / d_in of each tensor, to the tensor's power, is a number of float64.</summary>
internal static class FactorRange
{
    // exp(700) = 1e304.
    private const double LargestLogFactor = 700;

    /// <summary>The first weight whose factor, or that of what moves with it, leaves the range; null if there is none.</summary>
    public static Weight? Beyond(NetworkTensors tensors, ReadOnlySpan<double> logFactors)
    {
        // As a rule no pair of channels is anywhere near: one pass over the channels instead of one over every weight's.
        if (Largest(logFactors) <= LargestLogFactor / 4)
        {
            return null;
        }

        var network = tensors.Network;
        for (var w = 0; w < network.Weights.Count; w++)
        {
            var weight = network.Weights[w];
            if (tensors.IsBound(weight.Index) && Spread(network, weight, logFactors) is var spread && !(spread <= LargestLogFactor))
            {
                return weight;
            }
        }

        for (var n = 0; n < tensors.Companions.Count; n++)
        {
            var companion = tensors.Companions[n];
            var weight = network.Weights[companion.Weight.Index];
            if (Math.Abs(companion.Power) != 1 && !(Math.Abs(companion.Power) * Spread(network, weight, logFactors) <= LargestLogFactor))
            {
                return weight;
            }
        }

        return null;
    }

    public static TensorException Refusal(Weight weight) => new(
        TensorError.OutOfRange,
        $"Weight '{weight.Name}': its factors, or their powers for what moves with it, leave the range of float64. Nothing was changed; solve once instead, or choose a milder penalty.");

    // The largest magnitude; NaN if there is one.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static double Largest(ReadOnlySpan<double> numbers)
    {
        var largest = Vector<double>.Zero;
        var n = 0;
        for (; n <= numbers.Length - Vector<double>.Count; n += Vector<double>.Count)
        {
            largest = Vector.Max(largest, Vector.Abs(new Vector<double>(numbers[n..])));
        }

        var result = 0.0;
        for (var lane = 0; lane < Vector<double>.Count; lane++)
        {
            result = Math.Max(result, largest[lane]);
        }

        for (; n < numbers.Length; n++)
        {
            result = Math.Max(result, Math.Abs(numbers[n]));
        }

        return result;
    }

    // The largest |u_out - u_in| that can be.
    private static double Spread(Network network, Weight weight, ReadOnlySpan<double> logFactors)
    {
        var outputs = Range(network, weight.Outputs, logFactors);
        var inputs = Range(network, weight.Inputs, logFactors);
        return Math.Max(outputs.High - inputs.Low, inputs.High - outputs.Low);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static (double Low, double High) Range(Network network, ChannelMap map, ReadOnlySpan<double> logFactors)
    {
        var (low, high) = (double.PositiveInfinity, double.NegativeInfinity);
        for (var r = 0; r < map.Ranges.Count; r++)
        {
            var range = map.Ranges[r];
            foreach (var u in logFactors.Slice(network.Groups[range.Group].FirstChannel + range.Start, range.Count))
            {
                low = Math.Min(low, u);
                high = Math.Max(high, u);
            }
        }

        return low <= high || double.IsNaN(low) ? (low, high) : (0, 0);
    }
}
