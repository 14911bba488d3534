using EquiNorm.Gpu.Layout;
using EquiNorm.Gpu.Tables;
using EquiNorm.Model;
using EquiNorm.Plan;

namespace EquiNorm.Gpu.Step;

/// <summary>Memory of a step on the device, released together.</summary>
internal abstract class DeviceParts(IDeviceQueue queue) : IDisposable
{
    private readonly List<IDisposable> _owned = [];

    public DeviceBuffer<T> Buffer<T>(T[] contents)
        where T : unmanaged => Own(new DeviceBuffer<T>(queue, contents));

    public DeviceBuffer<T> Numbers<T>(long count)
        where T : unmanaged => Own(new DeviceBuffer<T>(queue, count));

    public T Own<T>(T part)
        where T : IDisposable
    {
        _owned.Add(part);
        return part;
    }

    public void Dispose()
    {
        for (var n = _owned.Count - 1; n >= 0; n--)
        {
            _owned[n].Dispose();
        }

        _owned.Clear();
    }
}

/// <summary>What a step needs wherever the tensors are.</summary>
internal sealed class StepWorkspace(IDeviceQueue queue) : DeviceParts(queue)
{
    /// <summary>Live and frozen channels make four combinations of what is summed.</summary>
    public const int Sets = 4;

    public StepControl Control { get; set; } = null!;

    public DeviceBuffer<int> Live { get; set; } = null!;

    public DeviceBuffer<double> Gains { get; set; } = null!;

    public DeviceBuffer<double> InverseGains { get; set; } = null!;

    public DeviceBuffer<ChunkReport> Reports { get; set; } = null!;

    public DeviceBuffer<double> CoarseReport { get; set; } = null!;

    public DeviceBuffer<double> Sums { get; set; } = null!;

    public DeviceBuffer<double> Norms { get; set; } = null!;

    public DeviceBuffer<double> SelfEnergies { get; set; } = null!;

    public DeviceBuffer<int> Channels { get; set; } = null!;

    public DeviceBuffer<double> Outputs { get; set; } = null!;

    public DeviceBuffer<double> Inputs { get; set; } = null!;

    /// <summary>Waits, and finds the weight of the first tile whose norm is not finite.</summary>
    public Weight? FirstNonFinite(RescalingPlan plan, CoarseTables tables)
    {
        var norms = new double[Norms.Length / Sets];
        Norms.Download(norms);
        foreach (var term in tables.Terms)
        {
            foreach (var norm in norms.AsSpan(term.Tiles, term.TileCount))
            {
                if (!double.IsFinite(norm))
                {
                    return plan.Weights[term.Weight].Weight;
                }
            }
        }

        return null;
    }

    public static double[] Ones(int count)
    {
        var ones = new double[count];
        Array.Fill(ones, 1.0);
        return ones;
    }

    // Free channels are live until they are found dead.
    public static int[] LiveChannels(RescalingPlan plan)
    {
        var live = new int[plan.Problem.Network.ChannelCount];
        foreach (var group in plan.Groups.Where(g => !g.Group.IsPinned))
        {
            live.AsSpan(group.Group.FirstChannel, group.Group.Count).Fill(1);
        }

        return live;
    }

    // Sets of factors while no channel is dead: 1 in the sets in which the axis counts what is live or pinned, else 0.
    public static double[] FactorSets(int channels, int firstLive, int secondLive)
    {
        var sets = new double[channels * Sets];
        sets.AsSpan(firstLive * channels, channels).Fill(1);
        sets.AsSpan(secondLive * channels, channels).Fill(1);
        return sets;
    }
}

/// <summary>The tables of the two passes over the tensors, which hold their addresses.</summary>
internal sealed class BoundTensors(IDeviceQueue queue) : DeviceParts(queue)
{
    public List<SumLaunch> Sums { get; } = [];

    public StepScales Scales { get; set; } = null!;
}

/// <summary>The pass over all weights of one storage type: once, and again where channels are dead.</summary>
internal sealed class SumLaunch(KernelId kernel)
{
    // A field, so that launches pass it by reference.
    public SumParameters First;

    public KernelId Kernel { get; } = kernel;

    public required SumParameters Again { get; init; }
}
