// The inner loops of Int8Survey over elements that have been widened to float64. With m the range, in units of which an element is measured:
//     x = w / m        signal += x^2        e = 127 x - round(127 x)        noise += e^2
// so signal is in units of m^2 and noise in units of (m / 127)^2. The division is the point: w = m gives 127 and no noise at all, a reciprocal
// would not, and neither a range below the normal numbers nor one whose square overflows does harm. Two divisions an element, 4 lanes: about
// one nanosecond. Lanes are four on every machine and nothing is fused, so that the sums have the same bits everywhere.

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace EquiNorm.Quantization;

/// <summary>Signal and noise of some elements.</summary>
/// <param name="Signal">sum (w / channel range)^2.</param>
/// <param name="Tensor">Noise with the tensor's scale, in units of its square.</param>
/// <param name="Channel">Noise with the channel's scale, in units of its square.</param>
internal readonly record struct Int8Sums(double Signal, double Tensor, double Channel);

internal static unsafe class Int8Loops
{
    /// <summary>The largest quantised magnitude: the scale is symmetric, -128 is not used.</summary>
    public const double Levels = 127;

    private const int Lanes = 4;

    /// <summary>The largest |w| of a run of elements; NaN if one of them is not finite.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static double Range(double* values, long count)
    {
        // w - w is 0 for a finite w and NaN otherwise, and a NaN in a sum stays.
        var (largest, suspect) = (Vector256<double>.Zero, Vector256<double>.Zero);
        long j = 0;
        for (; j <= count - Lanes; j += Lanes)
        {
            var w = Vector256.Load(values + j);
            largest = Vector256.MaxNative(largest, Vector256.Abs(w));
            suspect += w - w;
        }

        var range = Math.Max(Math.Max(largest[0], largest[1]), Math.Max(largest[2], largest[3])) + Vector256.Sum(suspect);
        for (; j < count; j++)
        {
            range = Math.Max(range, Math.Abs(values[j])) + (values[j] - values[j]);
        }

        return range;
    }

    /// <summary>The same for each column: ranges[j] = max(ranges[j], |values[j]|), NaN where an element is not finite.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void RangeOfColumns(double* values, int count, double* ranges)
    {
        var j = 0;
        for (; j <= count - Lanes; j += Lanes)
        {
            var w = Vector256.Load(values + j);
            // Max keeps a NaN that is there already; MaxNative would not.
            (Vector256.Max(Vector256.Load(ranges + j), Vector256.Abs(w)) + (w - w)).Store(ranges + j);
        }

        for (; j < count; j++)
        {
            ranges[j] = Math.Max(ranges[j], Math.Abs(values[j])) + (values[j] - values[j]);
        }
    }

    /// <summary>Signal and noise of a run of elements of one output channel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Int8Sums Noise(double* values, long count, double channelRange, double tensorRange)
    {
        var (channel, tensor) = (Vector256.Create(channelRange), Vector256.Create(tensorRange));
        var (signal, byTensor, byChannel) = (Vector256<double>.Zero, Vector256<double>.Zero, Vector256<double>.Zero);
        long j = 0;
        for (; j <= count - Lanes; j += Lanes)
        {
            var w = Vector256.Load(values + j);
            var x = w / channel;
            signal += x * x;
            byChannel += Squared(x);
            byTensor += Squared(w / tensor);
        }

        var sums = new Int8Sums(Vector256.Sum(signal), Vector256.Sum(byTensor), Vector256.Sum(byChannel));
        for (; j < count; j++)
        {
            var x = values[j] / channelRange;
            sums = new Int8Sums(sums.Signal + x * x, sums.Tensor + Squared(values[j] / tensorRange), sums.Channel + Squared(x));
        }

        return sums;
    }

    /// <summary>The same for elements of which each has its own channel: column j adds to the sums at j.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void NoiseOfColumns(
        double* values, int count, double* channelRanges, double tensorRange, double* signal, double* byTensor, double* byChannel)
    {
        var tensor = Vector256.Create(tensorRange);
        var j = 0;
        for (; j <= count - Lanes; j += Lanes)
        {
            var w = Vector256.Load(values + j);
            var x = w / Vector256.Load(channelRanges + j);
            (Vector256.Load(signal + j) + x * x).Store(signal + j);
            (Vector256.Load(byChannel + j) + Squared(x)).Store(byChannel + j);
            (Vector256.Load(byTensor + j) + Squared(w / tensor)).Store(byTensor + j);
        }

        for (; j < count; j++)
        {
            var x = values[j] / channelRanges[j];
            signal[j] += x * x;
            byChannel[j] += Squared(x);
            byTensor[j] += Squared(values[j] / tensorRange);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<double> Squared(Vector256<double> x)
    {
        var r = x * Levels;
        var e = r - Vector256.Round(r);
        return e * e;
    }

    // Half to even, as quantisers round; an error of a half is as large either way.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static double Squared(double x)
    {
        var r = x * Levels;
        var e = r - Math.Round(r, MidpointRounding.ToEven);
        return e * e;
    }
}
