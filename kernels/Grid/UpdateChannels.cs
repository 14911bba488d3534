using EquiNorm.Gpu.Tables;
using ILGPU;
using ILGPU.Backends.EntryPoints;

namespace EquiNorm.Gpu.Kernels;

/// <summary>What the closed-form update reads and writes.</summary>
public struct UpdateArguments
{
    /// <summary>The chunks; one group of threads for each, one thread for each channel.</summary>
    public ArrayView<UpdateChunk> Chunks;

    /// <summary>The sums.</summary>
    public ChannelSums Sums;

    /// <summary>Energies of depthwise weights.</summary>
    public ArrayView<double> Energies;

    /// <summary>v of each channel: p u less the reference of its group. Empty with the factors: then v is 0, and only d is written.</summary>
    public ArrayView<double> Logs;

    /// <summary>exp(v), 0 for frozen channels.</summary>
    public ArrayView<double> OutputFactors;

    /// <summary>exp(-v), 0 for frozen channels.</summary>
    public ArrayView<double> InputFactors;

    /// <summary>1 for channels that may move.</summary>
    public ArrayView<int> Live;

    /// <summary>If not empty: receives d of each channel.</summary>
    public ArrayView<double> Gains;

    /// <summary>If not empty: receives 1/d of each channel.</summary>
    public ArrayView<double> InverseGains;

    /// <summary>
    /// If not empty: what <see cref="FindDeadChannels"/> found at references of 0. Saves the sums from being read again where one group
    /// alone is on the other side, and no channel is frozen.
    /// </summary>
    public ArrayView<double> Totals;

    /// <summary>Receives a report from each chunk.</summary>
    public ArrayView<ChunkReport> Reports;

    /// <summary>If not empty: nothing is done unless its word is zero.</summary>
    public ArrayView<int> Status;

    /// <summary>If not empty: its word becomes 1 if some |log d| is larger than <see cref="LargestLogFactor"/>.</summary>
    public ArrayView<int> Steep;

    /// <summary>p.</summary>
    public double Norm;

    /// <summary>Beyond it products of factors leave the range of float64.</summary>
    public double LargestLogFactor;

    /// <summary>If <see cref="Limited"/>: the largest |p u|.</summary>
    public double Limit;

    /// <summary>If <see cref="Limited"/>: how much of its way to the closed form a channel goes.</summary>
    public double Damping;

    /// <summary>1 to update, 0 to measure the residual only.</summary>
    public int Updates;

    /// <summary>Number of channels.</summary>
    public int ChannelCount;

    /// <summary>1 for a limit and a damping, 0 for the closed form.</summary>
    public int Limited;

    /// <summary>Unused.</summary>
    public int Reserved;
}

/// <summary>
/// The closed form: with a the sum of a channel's incoming and b of its outgoing energies at the current u, p u += (log b - log a) / 2.
/// Around a depthwise weight e, with incoming r and outgoing g both without their own factors: r x_A = e x_B / x_A = g / x_B.
/// </summary>
public static class UpdateChannels
{
    /// <summary>Updates the channels of all chunks at once.</summary>
    [KernelName("UpdateChannels")]
    public static void Run(UpdateArguments a)
    {
        var scratch = SharedMemory.Allocate<double>(TileLimits.GroupSize / 32);
        if (a.Status.Length > 0 && a.Status[0] != 0)
        {
            return;
        }

        var chunk = a.Chunks[Grid.IdxX];
        int place = Group.IdxX;
        double residual = 0.0;
        double lowest = 1.0 / 0.0;
        double highest = -1.0 / 0.0;
        if (place < chunk.Count)
        {
            int channel = chunk.FirstChannel + place;
            if (chunk.Behind < 0)
            {
                if (a.Live[channel] != 0)
                {
                    bool known = a.Totals.Length > 0 && a.Sums.Condition[0] == 0;
                    double incoming;
                    double outgoing;
                    if (known && chunk.SourceGroup >= 0)
                    {
                        incoming = a.Totals[channel] - a.Sums.References[chunk.SourceGroup];
                    }
                    else
                    {
                        incoming = a.Sums.Log(chunk.Sources, chunk.SourceCount, channel, place, -1.0);
                    }

                    if (known && chunk.SinkGroup >= 0)
                    {
                        outgoing = a.Totals[channel + a.ChannelCount] + a.Sums.References[chunk.SinkGroup];
                    }
                    else
                    {
                        outgoing = a.Sums.Log(chunk.Sinks, chunk.SinkCount, channel, place, 1.0);
                    }

                    double old = (a.Logs.Length > 0 ? a.Logs[channel] : 0.0) + a.Sums.References[chunk.Group];
                    double target = 0.5 * (outgoing - incoming);
                    if (a.Limited != 0 && IsFinite(target))
                    {
                        residual = 2.0 * Math.Abs(Inside(a, target) - old) / a.Norm;
                        target = Inside(a, old + a.Damping * (target - old));
                    }
                    else
                    {
                        residual = Finite(Math.Abs(outgoing - incoming - 2.0 * old) / a.Norm);
                    }

                    Write(a, chunk.Group, channel, target, ref lowest, ref highest);
                }
                else
                {
                    WriteFrozen(a, channel);
                }
            }
            else
            {
                UpdatePair(a, chunk, place, ref residual, ref lowest, ref highest);
            }
        }

        residual = GroupSums.Max(residual, scratch);
        highest = GroupSums.Max(highest, scratch);
        lowest = -GroupSums.Max(-lowest, scratch);
        if (place == 0)
        {
            a.Reports[chunk.Index] = new ChunkReport { Residual = residual, Lowest = lowest, Highest = highest };
        }
    }

    private static void UpdatePair(
        UpdateArguments a, in UpdateChunk chunk, int place, ref double residual, ref double lowest, ref double highest)
    {
        int front = chunk.FirstChannel + place;
        int back = chunk.BehindChannel + place;
        bool frontLive = a.Live[front] != 0;
        bool backLive = a.Live[back] != 0;
        double energy = Transcendental.Log(a.Energies[chunk.Energies + place]) + a.Sums.LogScales[chunk.Depthwise];
        double frontOld = frontLive ? a.Logs[front] + a.Sums.References[chunk.Group] : 0.0;
        double backOld = backLive ? a.Logs[back] + a.Sums.References[chunk.Behind] : 0.0;
        double through = energy + backOld - frontOld;
        double incoming = 0.0;
        double outgoing = 0.0;
        if (frontLive)
        {
            incoming = a.Sums.Log(chunk.Sources, chunk.SourceCount, front, place, -1.0);
            residual = Finite(Math.Abs(incoming + frontOld - through) / a.Norm);
            if (a.Limited != 0)
            {
                residual = Finite(2.0 * Math.Abs(Front(a, backOld, incoming, energy) - frontOld) / a.Norm);
            }
        }

        if (backLive)
        {
            outgoing = a.Sums.Log(chunk.Sinks, chunk.SinkCount, back, place, 1.0);
            double back2 = a.Limited != 0
                ? 2.0 * Math.Abs(Back(a, frontOld, energy, outgoing) - backOld) : Math.Abs(through - (outgoing - backOld));
            residual = Math.Max(residual, Finite(back2 / a.Norm));
        }

        double common = (incoming + energy + outgoing) / 3.0;
        double frontNew = backLive ? common - incoming : 0.5 * (energy - incoming);
        double backNew = frontLive ? outgoing - common : 0.5 * (outgoing - energy);
        if (a.Limited != 0)
        {
            Limit(a, incoming, energy, outgoing, frontLive, backLive, frontOld, backOld, ref frontNew, ref backNew);
        }

        if (frontLive)
        {
            Write(a, chunk.Group, front, frontNew, ref lowest, ref highest);
        }
        else
        {
            WriteFrozen(a, front);
        }

        if (backLive)
        {
            Write(a, chunk.Behind, back, backNew, ref lowest, ref highest);
        }
        else
        {
            WriteFrozen(a, back);
        }
    }

    // The minimum of exp(r + x) + exp(e + y - x) + exp(g - y) over |x|, |y| <= limit: where it is outside, it lies on an edge, on which the
    // other channel has its own closed form and from which the channel on the edge does not want to leave inwards.
    private static void Limit(
        UpdateArguments a, double r, double e, double g, bool frontLive, bool backLive, double frontOld, double backOld, ref double front, ref double back)
    {
        bool both = frontLive && backLive;
        if (!IsFinite(front + back))
        {
            return;
        }

        if (!both)
        {
            front = Inside(a, front);
            back = Inside(a, back);
        }
        else if (Math.Abs(front) > a.Limit || Math.Abs(back) > a.Limit)
        {
            double x = Inside(a, front);
            double y = Back(a, x, e, g);
            x = Front(a, y, r, e);
            for (int edge = 0; edge < 4; edge++)
            {
                double bound = (edge & 1) == 0 ? a.Limit : -a.Limit;
                double other = edge < 2 ? Back(a, bound, e, g) : Front(a, bound, r, e);
                double again = edge < 2 ? Front(a, other, r, e) : Back(a, other, e, g);
                if (again == bound)
                {
                    x = edge < 2 ? bound : other;
                    y = edge < 2 ? other : bound;
                    break;
                }
            }

            front = x;
            back = y;
        }

        front = frontOld + a.Damping * (front - frontOld);
        back = backOld + a.Damping * (back - backOld);
    }

    private static double Front(UpdateArguments a, double back, double incoming, double energy) => Inside(a, 0.5 * (energy + back - incoming));

    private static double Back(UpdateArguments a, double front, double energy, double outgoing) => Inside(a, 0.5 * (outgoing - energy + front));

    private static double Inside(UpdateArguments a, double value) => Math.Max(-a.Limit, Math.Min(a.Limit, value));

    private static bool IsFinite(double value) => Math.Abs(value) <= 1.7976931348623157e308;

    // Writes p u of a channel.
    private static void Write(UpdateArguments a, int group, int channel, double value, ref double lowest, ref double highest)
    {
        if (a.Updates == 0)
        {
            return;
        }

        if (!(Math.Abs(value) <= 1.7976931348623157e308))
        {
            // A side whose energies all vanish in float64 says nothing.
            WriteFrozen(a, channel);
            return;
        }

        double v = value - a.Sums.References[group];
        if (a.Logs.Length > 0)
        {
            double factor = Transcendental.Exp(v);
            a.Logs[channel] = v;
            a.OutputFactors[channel] = factor;
            a.InputFactors[channel] = 1.0 / factor;
        }

        lowest = Math.Min(lowest, v);
        highest = Math.Max(highest, v);
        if (a.Gains.Length > 0)
        {
            double logFactor = value / a.Norm;
            if (a.Steep.Length > 0 && Math.Abs(logFactor) > a.LargestLogFactor)
            {
                Atomic.Max(ref a.Steep[0], 1);
            }

            double gain = Transcendental.Exp(logFactor);
            a.Gains[channel] = gain;
            a.InverseGains[channel] = 1.0 / gain;
        }
    }

    private static double Finite(double value) => value <= 1.7976931348623157e308 ? value : 0.0;

    private static void WriteFrozen(UpdateArguments a, int channel)
    {
        if (a.Updates != 0 && a.Gains.Length > 0)
        {
            a.Gains[channel] = 1.0;
            a.InverseGains[channel] = 1.0;
        }
    }
}
