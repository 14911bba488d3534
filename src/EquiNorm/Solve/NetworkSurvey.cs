using EquiNorm.Model;
using EquiNorm.Problem;

namespace EquiNorm.Solve;

/// <summary>
/// Where a network stands at given factors: the norm of every weight, N_t = (sum |W_t[o,i,k] d_out / d_in|^p)^(1/p), and for every
/// channel the sum of the powers that come in and that go out. One plain pass over the weights in float64, no sweeps: what a report
/// shows before and after, and a check on the solver that shares no code with it.
/// </summary>
public sealed class NetworkSurvey
{
    private readonly double[] _incoming;
    private readonly double[] _outgoing;

    private NetworkSurvey(Network network, double norm, Tally[] tallies)
    {
        Network = network;
        Norm = norm;
        _incoming = new double[network.ChannelCount];
        _outgoing = new double[network.ChannelCount];
        var norms = new double[tallies.Length];
        for (var t = 0; t < tallies.Length; t++)
        {
            norms[t] = Math.Pow(tallies[t].Total, 1 / norm);
            Objective += tallies[t].Total;
            Gather(network.Weights[t].Outputs, tallies[t].Rows, _incoming);
            Gather(network.Weights[t].Inputs, tallies[t].Columns, _outgoing);
        }

        WeightNorms = norms;
    }

    /// <summary>The network.</summary>
    public Network Network { get; }

    /// <summary>The exponent p.</summary>
    public double Norm { get; }

    /// <summary>The norm of every weight of the network, by index; 0 for biases, which do not count.</summary>
    public IReadOnlyList<double> WeightNorms { get; }

    /// <summary>F with penalty 1 on every weight: the sum of the p-th powers of <see cref="WeightNorms"/>.</summary>
    public double Objective { get; }

    /// <summary>Sum of |w|^p over the weights that write each channel, self-edges left out.</summary>
    public ReadOnlySpan<double> Incoming => _incoming;

    /// <summary>Sum of |w|^p over the weights that read each channel, self-edges left out.</summary>
    public ReadOnlySpan<double> Outgoing => _outgoing;

    /// <summary>max |log(incoming / outgoing)| / p over the channels of free groups that have both.</summary>
    public double Residual => Network.Groups.Where(g => !g.IsPinned).Select(ResidualOf).DefaultIfEmpty(0).Max();

    /// <summary>Channels of free groups that no non-zero weight writes, or none reads.</summary>
    public int DeadChannels => Network.Groups.Where(g => !g.IsPinned)
        .Sum(g => Enumerable.Range(g.FirstChannel, g.Count).Count(c => _incoming[c] == 0 || _outgoing[c] == 0));

    /// <summary>The largest |log(incoming / outgoing)| / p of a group's channels.</summary>
    public double ResidualOf(ChannelGroup group)
    {
        double largest = 0;
        for (var c = group.FirstChannel; c < group.FirstChannel + group.Count; c++)
        {
            if (_incoming[c] > 0 && _outgoing[c] > 0)
            {
                largest = Math.Max(largest, Math.Abs(Math.Log(_incoming[c]) - Math.Log(_outgoing[c])) / Norm);
            }
        }

        return largest;
    }

    /// <summary>Reads all weights once.</summary>
    /// <param name="tensors">The elements.</param>
    /// <param name="norm">The exponent p.</param>
    /// <param name="scalings">Factors; null for factors of 1. May belong to a network with other groups frozen.</param>
    /// <param name="threads">Threads; 0 for one per processor. The result has the same bits for every number.</param>
    public static NetworkSurvey Take(NetworkTensors tensors, double norm, Scalings? scalings = null, int threads = 0)
    {
        var network = tensors.Network;
        scalings ??= Scalings.Identity(network);
        var tallies = new Tally[network.Weights.Count];
        var parallel = new ParallelOptions { MaxDegreeOfParallelism = threads > 0 ? threads : Environment.ProcessorCount };
        Parallel.For(0, tallies.Length, parallel, t =>
        {
            var weight = network.Weights[t];
            tallies[t] = new Tally(weight.Layout.Outputs, weight.Layout.Inputs);
            if (weight.Role == WeightRole.Weight && weight.Layout.Elements > 0)
            {
                tallies[t].Add(weight, network.Groups, tensors[t], norm, scalings);
            }
        });
        return new NetworkSurvey(network, norm, tallies);
    }

    private void Gather(ChannelMap map, double[] sums, double[] into)
    {
        var channels = map.ToChannels(Network.Groups);
        for (var n = 0; n < sums.Length; n++)
        {
            into[channels[n]] += sums[n];
        }
    }

    /// <summary>The sums of one weight.</summary>
    private sealed unsafe class Tally(int outputs, int inputs)
    {
        public double Total { get; private set; }

        public double[] Rows { get; } = new double[outputs];

        public double[] Columns { get; } = new double[inputs];

        public void Add(Weight weight, IReadOnlyList<ChannelGroup> groups, TensorMemory memory, double norm, Scalings scalings)
        {
            var layout = weight.Layout;
            var written = weight.Outputs.ToChannels(groups);
            var read = weight.Inputs.ToChannels(groups);
            var output = scalings.FactorsOf(weight.Outputs, norm);
            var input = scalings.FactorsOf(weight.Inputs, -norm);
            for (var o = 0; o < weight.OutputScale.Length; o++)
            {
                output[o] *= Math.Pow(Math.Abs(weight.OutputScale.Span[o]), norm);
            }

            // The axis with the larger stride is the outer loop: memory is read in order.
            var (outer, inner) = layout.IsOutputMajor ? (layout.OutputsPerGroup, layout.InputsPerGroup) : (layout.InputsPerGroup, layout.OutputsPerGroup);
            for (var g = 0; g < layout.Groups; g++)
            {
                for (var a = 0; a < outer; a++)
                {
                    for (var b = 0; b < inner; b++)
                    {
                        var (o, i) = layout.IsOutputMajor ? (a, b) : (b, a);
                        var start = layout.Offset + g * layout.GroupStride + o * layout.OutputStride + i * layout.InputStride;
                        var (row, column) = (g * layout.OutputsPerGroup + o, g * layout.InputsPerGroup + i);
                        var energy = Energy(memory, start, layout, norm) * output[row] * input[column];
                        Total += energy;
                        if (written[row] != read[column])
                        {
                            Rows[row] += energy;
                            Columns[column] += energy;
                        }
                    }
                }
            }
        }

        private static double Energy(TensorMemory memory, long start, WeightLayout layout, double norm)
        {
            double sum = 0;
            for (var k = 0; k < layout.Kernel; k++)
            {
                var at = start + k * layout.KernelStride;
                var value = memory.ElementType switch
                {
                    ElementType.Float32 => ((float*)memory.Address)[at],
                    ElementType.Float64 => ((double*)memory.Address)[at],
                    ElementType.Float16 => (double)((Half*)memory.Address)[at],
                    _ => BitConverter.UInt32BitsToSingle((uint)((ushort*)memory.Address)[at] << 16),
                };
                sum += norm == 2 ? value * value : norm == 1 ? Math.Abs(value) : Math.Pow(Math.Abs(value), norm);
            }

            return sum;
        }
    }
}
