using EquiNorm.Model;
using EquiNorm.Testing;

namespace EquiNorm.Tests.Quantization;

/// <summary>The definition of the survey by plain loops over an array, one weight at a time.</summary>
internal sealed record Int8Oracle(double Signal, double TensorNoise, double ChannelNoise, double Range, double Spread)
{
    public double PerTensor => 10 * Math.Log10(Signal / TensorNoise);

    public double PerChannel => 10 * Math.Log10(Signal / ChannelNoise);

    /// <summary>Rescales (and multiplies by <paramref name="way"/>) and rounds each element of a weight, then quantises it.</summary>
    public static Int8Oracle Of(TestNetwork network, Weight weight, ReadOnlySpan<double> logFactors, double way = 1)
    {
        var outputs = weight.Outputs.ToChannels(network.Network.Groups);
        var inputs = weight.Inputs.ToChannels(network.Network.Groups);
        var channels = Enumerable.Range(0, weight.Layout.Outputs).Select(_ => new List<double>()).ToArray();
        var cell = new TestTensor("cell", weight.ElementType, 1);
        foreach (var (o, i, at) in TestNetwork.Elements(weight.Layout))
        {
            double scale = weight.OutputScale.IsEmpty ? 1 : weight.OutputScale.Span[o];
            double factor = Math.Exp(logFactors[outputs[o]]) * scale * Math.Exp(-logFactors[inputs[i]]);
            cell[0] = network[weight.Name][at] * factor * way;
            channels[o].Add(cell[0]);
        }

        return Of(channels);
    }

    /// <summary>Quantises the elements of each output channel.</summary>
    public static Int8Oracle Of(IReadOnlyList<IReadOnlyList<double>> channels)
    {
        double range = channels.SelectMany(c => c).Select(Math.Abs).DefaultIfEmpty(0).Max();
        double signal = 0, byTensor = 0, byChannel = 0, smallest = range;
        foreach (var channel in channels)
        {
            double own = channel.Select(Math.Abs).DefaultIfEmpty(0).Max();
            smallest = own > 0 ? Math.Min(smallest, own) : smallest;
            foreach (double w in channel)
            {
                signal += w * w;
                byTensor += Squared(w - Quantised(w, range / 127));
                byChannel += Squared(w - Quantised(w, own / 127));
            }
        }

        return new Int8Oracle(signal, byTensor, byChannel, range, range > 0 ? range / smallest : 1);
    }

    private static double Quantised(double w, double scale) => scale == 0 ? 0 : scale * Math.Round(w / scale, MidpointRounding.ToEven);

    private static double Squared(double x) => x * x;
}
