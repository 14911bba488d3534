using EquiNorm.Model;

namespace EquiNorm.Files.Verification;

/// <summary>
/// One factor per channel from two sets of tensors: every element says d_out / d_in = b / a. Starting at the pinned channels, where d = 1,
/// a channel's factor is the MEDIAN of what its elements say, with the factors on their other side known: a wrong element is outvoted, and
/// shows as a deviation later instead of bending the factors. Works in ratios, not logarithms, so that powers of two come out exactly.
/// Independent of the solver and of its factors.
/// </summary>
internal sealed class FactorRecovery
{
    // A channel asks this many elements of a tensor, evenly spread; all of them only if those are all zero.
    private const int Sample = 257;

    private readonly IReadOnlyList<Parameter> _parameters;
    private readonly List<(int Parameter, int Position)>[] _sources;
    private readonly List<(int Parameter, int Position)>[] _sinks;
    private readonly bool[] _known;
    private readonly List<double> _votes = [];

    private FactorRecovery(Network network, IReadOnlyList<Parameter> parameters)
    {
        _parameters = parameters;
        Factors = new double[network.ChannelCount + 1];
        Array.Fill(Factors, 1);
        _known = new bool[Factors.Length];
        _known[^1] = true;
        foreach (var group in network.Groups.Where(g => g.IsPinned))
        {
            Array.Fill(_known, true, group.FirstChannel, group.Count);
        }

        _sources = Index(p => p.Outputs);
        _sinks = Index(p => p.Inputs);
    }

    /// <summary>The factors, one per channel; the last one is that of the constant one, 1.</summary>
    public double[] Factors { get; }

    /// <summary>Channels without a connection to a pinned channel.</summary>
    public int Undetermined { get; private set; }

    /// <summary>A channel most of whose elements agree on a negative factor, or -1.</summary>
    public int NegativeChannel { get; private set; } = -1;

    /// <summary>Recovers the factors.</summary>
    public static FactorRecovery Run(Network network, IReadOnlyList<Parameter> parameters)
    {
        var recovery = new FactorRecovery(network, parameters);
        while (recovery.Spread(Evidence.Weight) || recovery.Spread(Evidence.Bias) || recovery.Choose())
        {
        }

        return recovery;
    }

    // Forth by what writes a channel, back by what reads it. True if anything became known and something is still unknown.
    private bool Spread(Evidence evidence)
    {
        bool any = false;
        for (int c = 0; c < _known.Length; c++)
        {
            any |= !_known[c] && Determine(c, evidence);
        }

        for (int c = _known.Length - 1; c >= 0; c--)
        {
            any |= !_known[c] && Determine(c, evidence);
        }

        return any;
    }

    // Nothing says anything about the rest: any factor does for one channel of it.
    private bool Choose()
    {
        int c = Array.IndexOf(_known, false);
        if (c < 0)
        {
            return false;
        }

        _known[c] = true;
        Undetermined++;
        return true;
    }

    private bool Determine(int channel, Evidence evidence)
    {
        _votes.Clear();
        Ask(_sources[channel], evidence, AskOutput);
        if (_votes.Count == 0)
        {
            Ask(_sinks[channel], evidence, AskInput);
        }

        if (_votes.Count == 0)
        {
            return false;
        }

        double median = Median(_votes);
        if (NegativeChannel < 0 && _votes.Count(v => v < 0 && Math.Abs(v - median) <= 0.01 * Math.Abs(median)) * 2 > _votes.Count)
        {
            NegativeChannel = channel;
        }

        double factor = Math.Abs(median);
        Factors[channel] = double.IsFinite(factor) && factor > 0 ? factor : 1;
        return _known[channel] = true;
    }

    private void Ask(List<(int Parameter, int Position)> places, Evidence evidence, Func<Parameter, int, int, bool> ask)
    {
        foreach (var (index, position) in places)
        {
            var parameter = _parameters[index];
            if (parameter.Evidence != evidence)
            {
                continue;
            }

            // Precise elements first, spread over the tensor; then all of them; then the imprecise ones as well.
            for (int attempt = 0; attempt < 3 && !ask(parameter, position, attempt); attempt++)
            {
            }
        }
    }

    private bool AskOutput(Parameter p, int output, int attempt)
    {
        int inputs = p.Layout.InputsPerGroup, first = p.FirstInput(output);
        return Elements(inputs, p.Layout.Kernel, attempt, (i, k) => _known[p.Inputs[first + i]] && p.Inputs[first + i] != p.Outputs[output]
            && Vote(p, output, first + i, k, attempt, Factors[p.Inputs[first + i]], false));
    }

    private bool AskInput(Parameter p, int input, int attempt)
    {
        int outputs = p.Layout.OutputsPerGroup, first = p.FirstOutput(input);
        return Elements(outputs, p.Layout.Kernel, attempt, (o, k) => _known[p.Outputs[first + o]] && p.Outputs[first + o] != p.Inputs[input]
            && Vote(p, first + o, input, k, attempt, Factors[p.Outputs[first + o]], true));
    }

    private static bool Elements(int others, int kernel, int attempt, Func<int, int, bool> vote)
    {
        long count = (long)others * kernel;
        long step = attempt == 0 ? Math.Max(1, count / Sample) : 1;
        int votes = 0;
        for (long n = 0; n < count && votes < Sample; n += step)
        {
            // The kernel position moves on with each step, too, so that a corner of zeros is not all that is seen.
            votes += vote((int)(n / kernel), (int)(n % kernel)) ? 1 : 0;
        }

        return votes > 0;
    }

    private bool Vote(Parameter p, int output, int input, int k, int attempt, double other, bool isInput)
    {
        long at = p.Index(output, input, k);
        double a = p.A[at], b = p.B[at];
        double smallest = attempt < 2 ? p.B.SmallestNormal : 0;
        if (a == 0 || b == 0 || !double.IsFinite(a) || !double.IsFinite(b) || Math.Abs(b) < smallest || Math.Abs(a) < Precise(p.A, at, attempt))
        {
            return false;
        }

        double ratio = b * p.B.Scale(output) / (a * p.A.Scale(output));
        double vote = isInput ? other / ratio : other * ratio;
        if (!double.IsFinite(vote) || vote == 0)
        {
            return false;
        }

        _votes.Add(vote);
        return true;
    }

    // What folding left over of much larger addends says little.
    private static double Precise(EffectiveTensor tensor, long at, int attempt) =>
        attempt == 2 ? 0 : tensor.Magnitude is { } m ? 1e-3 * m[at] : tensor.SmallestNormal;

    private static double Median(List<double> values)
    {
        values.Sort();
        int half = values.Count / 2;
        return values.Count % 2 == 1 ? values[half] : values[half - 1] / 2 + values[half] / 2;
    }

    private List<(int Parameter, int Position)>[] Index(Func<Parameter, int[]> axis)
    {
        var places = new List<(int, int)>[Factors.Length];
        for (int c = 0; c < places.Length; c++)
        {
            places[c] = [];
        }

        for (int n = 0; n < _parameters.Count; n++)
        {
            int[] channels = axis(_parameters[n]);
            for (int position = 0; position < channels.Length; position++)
            {
                places[channels[position]].Add((n, position));
            }
        }

        return places;
    }
}
