using System.Runtime.CompilerServices;
using EquiNorm.Model;
using EquiNorm.Problem;

namespace EquiNorm.Solve;

/// <summary>
/// Where a network stands at given factors: the norm of every weight, N_t = (sum |W_t[o,i,k] d_out / d_in|^p)^(1/p), and for every
/// channel the sum of the powers that come in and that go out. One plain pass over the weights in float64, no sweeps: what a report
/// shows before and after, and a check on the solver that shares no code with it. At p = infinity the largest magnitude takes the place
/// of every sum.
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
            norms[t] = double.IsPositiveInfinity(norm) ? tallies[t].Total : Math.Pow(tallies[t].Total, 1 / norm);
            Objective += tallies[t].Total;
            Gather(network.Weights[t].Outputs, tallies[t].Rows, _incoming);
            Gather(network.Weights[t].Inputs, tallies[t].Columns, _outgoing);
        }

        WeightNorms = norms;
    }

    /// <summary>The network.</summary>
    public Network Network { get; }

    /// <summary>The exponent p; infinity for largest magnitudes.</summary>
    public double Norm { get; }

    /// <summary>The norm of every weight of the network, by index; 0 for biases, which do not count.</summary>
    public IReadOnlyList<double> WeightNorms { get; }

    /// <summary>
    /// F with penalty 1 on every weight: the sum of the p-th powers of <see cref="WeightNorms"/>, at p = infinity their sum.
    /// </summary>
    public double Objective { get; }

    /// <summary>Sum of |w|^p, at p = infinity the largest |w|, over the weights that write each channel, self-edges left out.</summary>
    public ReadOnlySpan<double> Incoming => _incoming;

    /// <summary>Sum of |w|^p, at p = infinity the largest |w|, over the weights that read each channel, self-edges left out.</summary>
    public ReadOnlySpan<double> Outgoing => _outgoing;

    /// <summary>max |log(incoming / outgoing)| / p (at p = infinity without the division) over the channels of free groups that have both.</summary>
    public double Residual => Network.Groups.Where(g => !g.IsPinned).Select(ResidualOf).DefaultIfEmpty(0).Max();

    /// <summary>Channels of free groups that no non-zero weight writes, or none reads.</summary>
    public int DeadChannels => Network.Groups.Where(g => !g.IsPinned)
        .Sum(g => Enumerable.Range(g.FirstChannel, g.Count).Count(c => _incoming[c] == 0 || _outgoing[c] == 0));

    private bool TakesLargest => double.IsPositiveInfinity(Norm);

    /// <summary>The largest |log(incoming / outgoing)| / p of a group's channels; not divided at p = infinity.</summary>
    public double ResidualOf(ChannelGroup group)
    {
        double largest = 0;
        for (var c = group.FirstChannel; c < group.FirstChannel + group.Count; c++)
        {
            if (_incoming[c] > 0 && _outgoing[c] > 0)
            {
                largest = Math.Max(largest, Math.Abs(Math.Log(_incoming[c]) - Math.Log(_outgoing[c])) / (TakesLargest ? 1 : Norm));
            }
        }

        return largest;
    }

    /// <summary>Reads all weights once, for any number of factors.</summary>
    /// <param name="tensors">The elements.</param>
    /// <param name="norm">The exponent p, which may be infinity.</param>
    /// <param name="threads">Threads; 0 for one per processor. The result has the same bits for every number.</param>
    /// <param name="scalings">Factors, of this network or one with other groups frozen.</param>
    /// <returns>One survey for each of <paramref name="scalings"/>.</returns>
    public static NetworkSurvey[] Take(NetworkTensors tensors, double norm, int threads, params IReadOnlyList<Scalings> scalings)
    {
        var network = tensors.Network;
        var tallies = new Tally[scalings.Count][];
        for (var s = 0; s < tallies.Length; s++)
        {
            tallies[s] = new Tally[network.Weights.Count];
        }

        var parallel = new ParallelOptions { MaxDegreeOfParallelism = threads > 0 ? threads : Environment.ProcessorCount };
        Parallel.For(0, network.Weights.Count, parallel, t =>
        {
            var weight = network.Weights[t];
            var counts = weight.Role == WeightRole.Weight && weight.Layout.Elements > 0;
            var own = new Tally[tallies.Length];
            for (var s = 0; s < own.Length; s++)
            {
                tallies[s][t] = own[s] = new Tally(weight, norm, scalings[s]);
            }

            if (counts)
            {
                new EnergyWalk(weight, network.Groups, tensors[t], norm).Run(own);
            }
        });
        return [.. tallies.Select(t => new NetworkSurvey(network, norm, t))];
    }

    private void Gather(ChannelMap map, double[] sums, double[] into)
    {
        var channels = map.ToChannels(Network.Groups);
        for (var n = 0; n < sums.Length; n++)
        {
            into[channels[n]] = TakesLargest ? Math.Max(into[channels[n]], sums[n]) : into[channels[n]] + sums[n];
        }
    }

    /// <summary>The sums of one weight at some factors.</summary>
    private sealed class Tally
    {
        public Tally(Weight weight, double norm, Scalings scalings)
        {
            Rows = new double[weight.Layout.Outputs];
            Columns = new double[weight.Layout.Inputs];
            TakesLargest = double.IsPositiveInfinity(norm);
            var exponent = TakesLargest ? 1 : norm;
            Output = scalings.FactorsOf(weight.Outputs, exponent);
            Input = scalings.FactorsOf(weight.Inputs, -exponent);
            for (var o = 0; o < weight.OutputScale.Length; o++)
            {
                Output[o] *= Math.Pow(Math.Abs(weight.OutputScale.Span[o]), exponent);
            }
        }

        public double Total { get; private set; }

        public double[] Rows { get; }

        public double[] Columns { get; }

        private bool TakesLargest { get; }

        private double[] Output { get; }

        private double[] Input { get; }

        // The energy of a channel and itself is a constant: in F, not in the balance.
        public void Add(int row, int column, double energy, bool isSelf)
        {
            energy *= Output[row] * Input[column];
            Total = Combined(Total, energy);
            if (!isSelf)
            {
                Rows[row] = Combined(Rows[row], energy);
                Columns[column] = Combined(Columns[column], energy);
            }
        }

        private double Combined(double total, double energy) => TakesLargest ? Math.Max(total, energy) : total + energy;
    }

    /// <summary>The energies of one weight, in the order of memory. Optimised at once: a process is often over before the runtime would do it.</summary>
    private sealed unsafe class EnergyWalk(Weight weight, IReadOnlyList<ChannelGroup> groups, TensorMemory memory, double norm)
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run(Tally[] tallies)
        {
            var layout = weight.Layout;
            var written = weight.Outputs.ToChannels(groups);
            var read = weight.Inputs.ToChannels(groups);

            // The axis with the larger stride is the outer loop.
            var outputMajor = layout.IsOutputMajor;
            var (outer, inner) = outputMajor ? (layout.OutputsPerGroup, layout.InputsPerGroup) : (layout.InputsPerGroup, layout.OutputsPerGroup);
            for (var g = 0; g < layout.Groups; g++)
            {
                for (var n = 0; n < outer * inner; n++)
                {
                    var (o, i) = outputMajor ? (n / inner, n % inner) : (n % inner, n / inner);
                    var start = layout.Offset + g * layout.GroupStride + o * layout.OutputStride + i * layout.InputStride;
                    var energy = Energy(start, layout.Kernel, layout.KernelStride);
                    var (row, column) = (g * layout.OutputsPerGroup + o, g * layout.InputsPerGroup + i);
                    foreach (var tally in tallies)
                    {
                        tally.Add(row, column, energy, written[row] == read[column]);
                    }
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private double Energy(long start, int kernel, long stride)
        {
            double sum = 0;
            if (norm == 2 && memory.ElementType == ElementType.Float32)
            {
                var p = (float*)memory.Address + start;
                for (var k = 0; k < kernel; k++, p += stride)
                {
                    sum += (double)*p * *p;
                }

                return sum;
            }

            for (var k = 0; k < kernel; k++)
            {
                var value = Math.Abs(Element(start + k * stride));
                sum = double.IsPositiveInfinity(norm) ? Math.Max(sum, value)
                    : sum + (norm == 2 ? value * value : norm == 1 ? value : Math.Pow(value, norm));
            }

            return sum;
        }

        private double Element(long at) => memory.ElementType switch
        {
            ElementType.Float32 => ((float*)memory.Address)[at],
            ElementType.Float64 => ((double*)memory.Address)[at],
            ElementType.Float16 => (double)((Half*)memory.Address)[at],
            _ => BitConverter.UInt32BitsToSingle((uint)((ushort*)memory.Address)[at] << 16),
        };
    }
}
