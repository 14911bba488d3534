using EquiNorm.Model;
using EquiNorm.Problem;

namespace EquiNorm.Quantization;

/// <summary>
/// What is lost if a network's weights are stored in 8 bits, at given factors. Quantisation is symmetric, q(w) = s round(w / s) with
/// s = max |w| / 127, round half to even, one scale s for each tensor or one for each output channel; s is a real number, not rounded to
/// float32. For each weight and for the network: the signal-to-noise ratio 10 log10(sum w^2 / sum (w - q(w))^2).
/// </summary>
/// <remarks>
/// w is the element as it would be written with the factors: W[o,i,k] * scale[o] * d_out[o] / d_in[i] (scale: a folded normalisation),
/// rounded once to the storage type. Nothing is stored on the way: two passes over the weights, a small buffer for each thread. Biases are
/// not quantised here (they are 32-bit integers in practice), and a tied tensor counts once.
/// </remarks>
public sealed class Int8Survey
{
    // The work of one item of the thread pool: some 60 microseconds.
    private const long PieceElements = 1 << 16;

    private readonly Int8Noise?[] _weights;

    private Int8Survey(Network network, Int8Noise?[] weights)
    {
        Network = network;
        _weights = weights;
        PerTensor = Summarise(n => n.PerTensor, n => n.Energies.TensorNoise);
        PerChannel = Summarise(n => n.PerChannel, n => n.Energies.ChannelNoise);
    }

    /// <summary>The network.</summary>
    public Network Network { get; }

    /// <summary>Each weight of the network, by index; null for biases.</summary>
    public IReadOnlyList<Int8Noise?> Weights => _weights;

    /// <summary>All weights, with one scale for each tensor.</summary>
    public Int8Summary PerTensor { get; }

    /// <summary>All weights, with one scale for each output channel.</summary>
    public Int8Summary PerChannel { get; }

    /// <summary>The weight whose output channels differ most in range; null if there is no weight.</summary>
    public Int8Noise? WidestSpread => _weights.Where(n => n is not null).MaxBy(n => n!.ChannelSpread);

    /// <summary>Surveys a network at any number of factors.</summary>
    /// <param name="tensors">The elements, in memory of the host.</param>
    /// <param name="threads">Threads; 0 for one per processor. The result has the same bits for every number.</param>
    /// <param name="scalings">Factors, of this network or one with other groups frozen; identity factors survey the weights as they are.</param>
    /// <returns>One survey for each of <paramref name="scalings"/>.</returns>
    /// <exception cref="NetworkException">A weight has no elements bound to it, or holds a NaN or an infinity, or would with the factors.</exception>
    public static Int8Survey[] Take(NetworkTensors tensors, int threads, params IReadOnlyList<Scalings> scalings) =>
        Take(tensors, threads, CancellationToken.None, scalings);

    /// <inheritdoc cref="Take(NetworkTensors, int, IReadOnlyList{Scalings})"/>
    /// <param name="tensors">The elements, in memory of the host.</param>
    /// <param name="threads">Threads; 0 for one per processor. The result has the same bits for every number.</param>
    /// <param name="cancellation">Ends the survey between pieces of work.</param>
    /// <param name="scalings">Factors.</param>
    /// <exception cref="OperationCanceledException">The survey was cancelled.</exception>
    public static Int8Survey[] Take(
        NetworkTensors tensors, int threads, CancellationToken cancellation, params IReadOnlyList<Scalings> scalings)
    {
        tensors.RequireOn(TensorDevice.Cpu);
        var network = tensors.Network;
        var weights = network.Weights.Where(w => w.Role == WeightRole.Weight).ToList();
        var tallies = new Int8Tally?[scalings.Count, network.Weights.Count];
        foreach (var weight in weights)
        {
            var address = weight.Layout.Elements > 0 ? tensors[weight.Index].Address : 0;
            for (var s = 0; s < scalings.Count; s++)
            {
                tallies[s, weight.Index] = new Int8Tally(weight, address, scalings[s]);
            }
        }

        var pieces = weights.Where(w => w.Layout.Elements > 0).SelectMany(w => Int8Tally.Cut(w, PieceElements)).ToArray();
        var tile = weights.Select(Int8Tally.TileElementsOf).DefaultIfEmpty(0).Max();
        Run((tally, piece, room) => tally.AddRanges(piece, room));
        foreach (var weight in weights)
        {
            for (var s = 0; s < scalings.Count; s++)
            {
                var tally = tallies[s, weight.Index]!;
                tally.EndRanges();
                RequireFinite(tally, weight);
            }
        }

        Run((tally, piece, room) => tally.AddNoise(piece, room));
        return [.. Enumerable.Range(0, scalings.Count).Select(s =>
            new Int8Survey(network, [.. Enumerable.Range(0, network.Weights.Count).Select(w => tallies[s, w]?.ToNoise())]))];

        void Run(Action<Int8Tally, Int8Piece, WidenedTile> pass)
        {
            var parallel = new ParallelOptions
            {
                MaxDegreeOfParallelism = threads > 0 ? threads : Environment.ProcessorCount,
                CancellationToken = cancellation,
            };
            Parallel.For(0, pieces.Length, parallel, () => new WidenedTile(tile), (n, _, room) =>
            {
                for (var s = 0; s < scalings.Count; s++)
                {
                    pass(tallies[s, pieces[n].Weight]!, pieces[n], room);
                }

                return room;
            }, _ => { });
        }
    }

    private static void RequireFinite(Int8Tally tally, Weight weight)
    {
        if (tally.FirstNonFinite() is { } element)
        {
            var place = $"at output {element.Output}, input {element.Input}, kernel position {element.Kernel}";
            throw new NetworkException(double.IsFinite(element.Stored)
                ? $"Weight '{weight.Name}' overflows {weight.ElementType} when it is rescaled, {place}."
                : $"Weight '{weight.Name}' holds {element.Stored} {place}.");
        }
    }

    private Int8Summary Summarise(Func<Int8Noise, SignalToNoise> ratio, Func<Int8Noise, double> noise)
    {
        var present = _weights.Where(n => n is { Range: > 0 }).Select(n => n!).ToList();
        var largest = present.Select(n => n.Range).DefaultIfEmpty(0).Max();
        var (signals, noises) = (0.0, 0.0);
        foreach (var weight in present)
        {
            var relative = weight.Range / largest;
            signals += weight.Energies.Signal * relative * relative;
            noises += noise(weight) * relative * relative;
        }

        var finite = present.Select(n => ratio(n).Decibels!.Value).Where(double.IsFinite).ToList();
        return new Int8Summary(
            SignalToNoise.Of(signals, noises), finite.Count > 0 ? finite.Average() : null, present.MinBy(n => ratio(n).Decibels!.Value));
    }
}
