using EquiNorm.Model;

namespace EquiNorm.Quantization;

/// <summary>What 8 bits lose of one weight.</summary>
/// <param name="Weight">The weight.</param>
/// <param name="Range">The largest |w|.</param>
/// <param name="ChannelSpread">The largest over the smallest range of an output channel; channels of zeros do not count. 1 if all are zero.</param>
/// <param name="PerTensor">With one scale for the tensor.</param>
/// <param name="PerChannel">With one scale for each output channel.</param>
public sealed record Int8Noise(Weight Weight, double Range, double ChannelSpread, SignalToNoise PerTensor, SignalToNoise PerChannel)
{
    // The sums behind the ratios, in units of Range^2, for the totals of the network.
    internal (double Signal, double TensorNoise, double ChannelNoise) Energies { get; init; }
}

/// <summary>What 8 bits lose of all weights of a network, with scales of one kind.</summary>
/// <param name="Total">Noise of all weights over signal of all weights: layers with large weights decide.</param>
/// <param name="MeanDecibels">The mean of the weights' ratios in decibels, each weight counting once; without those of zeros and those that lose nothing. Null if none is left.</param>
/// <param name="Worst">The weight with the smallest ratio; null if no weight has a signal.</param>
public sealed record Int8Summary(SignalToNoise Total, double? MeanDecibels, Int8Noise? Worst);
