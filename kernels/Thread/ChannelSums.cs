using EquiNorm.Gpu.Tables;
using ILGPU;

namespace EquiNorm.Gpu.Kernels;

/// <summary>What the sums over all weights that meet a channel on one side come to.</summary>
public struct ChannelSums
{
    /// <summary>The terms of all chunks.</summary>
    public ArrayView<SumTerm> Terms;

    /// <summary>Positions of channels, for terms that need a map.</summary>
    public ArrayView<int> Positions;

    /// <summary>Sums of rows and columns.</summary>
    public ArrayView<double> Sums;

    /// <summary>log lambda of each weight, less the prescale of its energies.</summary>
    public ArrayView<double> LogScales;

    /// <summary>The reference of each group.</summary>
    public ArrayView<double> References;

    /// <summary>Whether terms of frozen channels count; an empty view means that they do.</summary>
    public ArrayView<int> Condition;

    /// <summary>1 to take the largest instead of the sum.</summary>
    public int TakesLargest;

    /// <summary>Unused.</summary>
    public int Reserved;

    /// <summary>The logarithm of the sum over terms (of the largest); -infinity if all are zero.</summary>
    /// <param name="first">First term.</param>
    /// <param name="count">Number of terms.</param>
    /// <param name="channel">The channel.</param>
    /// <param name="place">Its place in the chunk.</param>
    /// <param name="sign">-1 for sources, +1 for sinks: how the reference of the other side enters.</param>
    public readonly double Log(int first, int count, int channel, int place, double sign)
    {
        // In units of exp(highest), where highest is the largest scale of a term that adds something to this channel.
        double highest = -1.0 / 0.0;
        double total = 0.0;
        for (int n = first; n < first + count; n++)
        {
            var term = Terms[n];
            int position = term.Positions >= 0 ? Positions[term.Positions + place] : channel - term.FirstChannel;
            if (position < 0 || position >= term.Count || !Counts(term))
            {
                continue;
            }

            double sum = AddParts(term, position);
            if (sum > 0.0)
            {
                double scale = Scale(term, sign);
                bool isHigher = scale > highest;
                double larger = isHigher ? scale : highest;
                double ratio = Transcendental.Exp((isHigher ? highest : scale) - larger);
                if (TakesLargest != 0)
                {
                    double other = isHigher ? sum : sum * ratio;
                    total = Math.Max(isHigher ? total * ratio : total, other);
                }
                else
                {
                    total = isHigher ? total * ratio + sum : total + sum * ratio;
                }

                highest = larger;
            }
        }

        return Transcendental.Log(total) + (total > 0.0 ? highest : 0.0);
    }

    private readonly double AddParts(in SumTerm term, int position)
    {
        double sum = 0.0;
        long at = term.Sums + position;
        int part = 0;
        if (TakesLargest != 0)
        {
            for (; part < term.Parts; part++)
            {
                sum = Math.Max(sum, Sums[at]);
                at += term.PartStride;
            }

            return sum;
        }

        for (; part + 4 <= term.Parts; part += 4)
        {
            double s0 = Sums[at];
            double s1 = Sums[at + term.PartStride];
            double s2 = Sums[at + 2L * term.PartStride];
            double s3 = Sums[at + 3L * term.PartStride];
            sum += s0 + s1 + (s2 + s3);
            at += 4L * term.PartStride;
        }

        for (; part < term.Parts; part++)
        {
            sum += Sums[at];
            at += term.PartStride;
        }

        return sum;
    }

    private readonly bool Counts(in SumTerm term) => term.FarGroup >= 0 || Condition.Length == 0 || Condition[0] != 0;

    private readonly double Scale(in SumTerm term, double sign) =>
        LogScales[term.Weight] + (term.FarGroup >= 0 ? sign * References[term.FarGroup] : 0.0);
}
