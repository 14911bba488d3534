namespace EquiNorm.Quantization;

/// <summary>
/// How far a quantised tensor is from the tensor: sum (w - q(w))^2 / sum w^2, and its signal-to-noise ratio in decibels,
/// 10 log10(sum w^2 / sum (w - q(w))^2).
/// </summary>
/// <param name="NoiseToSignal">Noise energy over signal energy; 0 if nothing is lost, null if there is no signal (every element is zero).</param>
public readonly record struct SignalToNoise(double? NoiseToSignal)
{
    /// <summary>The ratio in decibels; positive infinity if nothing is lost, null if there is no signal.</summary>
    public double? Decibels => NoiseToSignal is { } ratio ? 0 - 10 * Math.Log10(ratio) : null;

    internal static SignalToNoise Of(double signal, double noise) => new(signal > 0 ? noise / signal : null);
}
