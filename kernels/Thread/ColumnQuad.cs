using ILGPU;

namespace EquiNorm.Gpu.Kernels;

/// <summary>The four columns of one thread: where they are, and their factors.</summary>
public struct ColumnQuad
{
    /// <summary>The first column.</summary>
    public int First;

    /// <summary>Columns from each to the next.</summary>
    public int Step;

    /// <summary>The first column that is not there.</summary>
    public int End;

    /// <summary>Their factors, 0 where there is no channel.</summary>
    public double FactorA, FactorB, FactorC, FactorD;

    /// <summary>Their output scales to the power p, 1 where there are none.</summary>
    public double ScaleA, ScaleB, ScaleC, ScaleD;

    /// <summary>Their channels, or -2.</summary>
    public int ChannelA, ChannelB, ChannelC, ChannelD;

    /// <summary>Whether the first column is there.</summary>
    public readonly bool HasA => First < End;

    /// <summary>Whether the second column is there.</summary>
    public readonly bool HasB => First + Step < End;

    /// <summary>Whether the third column is there.</summary>
    public readonly bool HasC => First + 2 * Step < End;

    /// <summary>Whether the fourth column, and so all, are there.</summary>
    public readonly bool HasD => First + 3 * Step < End;

    /// <summary>The factor of a channel: 0 for none, 1 where no factors are given.</summary>
    public static double Factor(ArrayView<double> factors, int channel)
    {
        if (channel < 0)
        {
            return 0.0;
        }

        return factors.Length > 0 ? factors[channel] : 1.0;
    }

    /// <summary>Looks up channels, factors and scales.</summary>
    public void Gather(ArrayView<int> channels, int firstChannel, ArrayView<double> factors, ArrayView<double> scales, int firstScale)
    {
        ChannelA = Channel(channels, firstChannel, First);
        ChannelB = Channel(channels, firstChannel, First + Step);
        ChannelC = Channel(channels, firstChannel, First + 2 * Step);
        ChannelD = Channel(channels, firstChannel, First + 3 * Step);
        FactorA = Factor(factors, ChannelA);
        FactorB = Factor(factors, ChannelB);
        FactorC = Factor(factors, ChannelC);
        FactorD = Factor(factors, ChannelD);
        ScaleA = firstScale >= 0 && HasA ? scales[firstScale + First] : 1.0;
        ScaleB = firstScale >= 0 && HasB ? scales[firstScale + First + Step] : 1.0;
        ScaleC = firstScale >= 0 && HasC ? scales[firstScale + First + 2 * Step] : 1.0;
        ScaleD = firstScale >= 0 && HasD ? scales[firstScale + First + 3 * Step] : 1.0;
    }

    /// <summary>Writes one number per column that is there.</summary>
    /// <param name="values">The numbers.</param>
    /// <param name="target">Where to.</param>
    /// <param name="start">Index of column 0.</param>
    public readonly void Store(Energy4 values, ArrayView<double> target, long start)
    {
        if (HasA)
        {
            target[start + First] = values.A;
        }

        if (HasB)
        {
            target[start + First + Step] = values.B;
        }

        if (HasC)
        {
            target[start + First + 2 * Step] = values.C;
        }

        if (HasD)
        {
            target[start + First + 3 * Step] = values.D;
        }
    }

    /// <summary>Moves the energies between a channel and itself elsewhere.</summary>
    /// <param name="energies">The energies of one row; those of self-edges become zero.</param>
    /// <param name="row">The channel of the row.</param>
    /// <param name="channels">The table of channels.</param>
    /// <param name="outputs">For a diagonal: where the channels of its output axis start; otherwise -1.</param>
    /// <returns>What was moved, zero elsewhere.</returns>
    public readonly Energy4 RemoveSelf(ref Energy4 energies, int row, ArrayView<int> channels, int outputs)
    {
        bool isA = HasA && ChannelA >= 0 && ChannelA == (outputs >= 0 ? channels[outputs + First] : row);
        bool isB = HasB && ChannelB >= 0 && ChannelB == (outputs >= 0 ? channels[outputs + First + Step] : row);
        bool isC = HasC && ChannelC >= 0 && ChannelC == (outputs >= 0 ? channels[outputs + First + 2 * Step] : row);
        bool isD = HasD && ChannelD >= 0 && ChannelD == (outputs >= 0 ? channels[outputs + First + 3 * Step] : row);
        var own = new Energy4
        {
            A = isA ? energies.A : 0.0,
            B = isB ? energies.B : 0.0,
            C = isC ? energies.C : 0.0,
            D = isD ? energies.D : 0.0,
        };
        energies.A = isA ? 0.0 : energies.A;
        energies.B = isB ? 0.0 : energies.B;
        energies.C = isC ? 0.0 : energies.C;
        energies.D = isD ? 0.0 : energies.D;
        return own;
    }

    private readonly int Channel(ArrayView<int> channels, int firstChannel, int column)
    {
        if (column >= End)
        {
            return -2;
        }

        return channels[firstChannel + column];
    }
}
