using EquiNorm.Gpu.Tables;
using ILGPU;
using ILGPU.Backends.EntryPoints;

namespace EquiNorm.Gpu.Kernels;

/// <summary>What the search for dead channels reads and writes.</summary>
public struct DeadArguments
{
    /// <summary>The chunks; one group of threads for each, one thread for each channel.</summary>
    public ArrayView<UpdateChunk> Chunks;

    /// <summary>The sums at factors of 1.</summary>
    public ChannelSums Sums;

    /// <summary>Four sets of factors on output axes: of live channels, live, frozen, frozen.</summary>
    public ArrayView<double> OutputFactors;

    /// <summary>Four sets of factors on input axes: of live channels, frozen, live, frozen.</summary>
    public ArrayView<double> InputFactors;

    /// <summary>1 for channels that may move. Factors are those that belong to it, and are written where it changes.</summary>
    public ArrayView<int> Live;

    /// <summary>Receives the logarithms of the incoming sums of all channels, then of the outgoing sums.</summary>
    public ArrayView<double> Totals;

    /// <summary>Becomes 1 if any channel is dead.</summary>
    public ArrayView<int> Condition;

    /// <summary>Channels from one set of factors to the next.</summary>
    public int FactorStride;

    /// <summary>Unused.</summary>
    public int Reserved;
}

/// <summary>
/// Starts a step at factors of 1: channels that nothing writes or nothing reads keep that factor, all others may move. Frozen channels
/// take part in sums of their own, one for each combination of what is frozen.
/// </summary>
public static class FindDeadChannels
{
    /// <summary>Marks the channels of all chunks.</summary>
    [KernelName("FindDeadChannels")]
    public static void Run(DeadArguments a)
    {
        var chunk = a.Chunks[Grid.IdxX];
        int place = Group.IdxX;
        if (place >= chunk.Count)
        {
            return;
        }

        int channel = chunk.FirstChannel + place;
        double incoming = a.Sums.Log(chunk.Sources, chunk.SourceCount, channel, place, -1.0);
        double outgoing = a.Sums.Log(chunk.Sinks, chunk.SinkCount, channel, place, 1.0);

        // The logarithm of zero is -infinity; NaN is left to the check of norms.
        bool dead = incoming < -1.7976931348623157e308 || outgoing < -1.7976931348623157e308;
        int state = dead ? 0 : 1;
        a.Totals[channel] = incoming;
        a.Totals[channel + a.FactorStride] = outgoing;
        if (a.Live[channel] != state)
        {
            double live = dead ? 0.0 : 1.0;
            double frozen = dead ? 1.0 : 0.0;
            a.Live[channel] = state;
            a.OutputFactors[channel] = live;
            a.InputFactors[channel] = live;
            a.OutputFactors[channel + a.FactorStride] = live;
            a.InputFactors[channel + a.FactorStride] = frozen;
            a.OutputFactors[channel + 2 * a.FactorStride] = frozen;
            a.InputFactors[channel + 2 * a.FactorStride] = live;
            a.OutputFactors[channel + 3 * a.FactorStride] = frozen;
            a.InputFactors[channel + 3 * a.FactorStride] = frozen;
        }

        if (dead)
        {
            Atomic.Max(ref a.Condition[0], 1);
        }
    }
}
