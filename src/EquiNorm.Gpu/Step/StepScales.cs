using EquiNorm.Backends;
using EquiNorm.Gpu.Layout;
using EquiNorm.Gpu.State;
using EquiNorm.Gpu.Tables;
using EquiNorm.Model;

namespace EquiNorm.Gpu.Step;

/// <summary>The last pass of a step: every tensor and every companion is multiplied by its factors, one launch for each storage type.</summary>
internal sealed class StepScales : IDisposable
{
    private readonly IDeviceQueue _queue;
    private readonly List<IDisposable> _owned = [];
    private readonly List<ScaleLaunch> _launches = [];

    /// <param name="network">The network.</param>
    /// <param name="tensors">Device addresses, companions too; what is not bound is left out.</param>
    /// <param name="gains">d of each channel.</param>
    /// <param name="inverseGains">1/d of each channel.</param>
    /// <param name="status">Nothing is written unless its word is zero; may be empty.</param>
    /// <param name="queue">The device.</param>
    public StepScales(
        Network network,
        NetworkTensors tensors,
        DeviceView<double> gains,
        DeviceView<double> inverseGains,
        DeviceView<int> status,
        IDeviceQueue queue)
    {
        _queue = queue;
        try
        {
            Prepare(network, tensors, gains, inverseGains, status);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Number of launches.</summary>
    public int Launches => _launches.Count;

    /// <summary>What is launched.</summary>
    public IEnumerable<KernelId> Kernels => _launches.Select(l => l.Kernel);

    /// <summary>Multiplies all tensors.</summary>
    public void Launch()
    {
        foreach (var launch in _launches)
        {
            _queue.Launch(launch.Kernel, (int)launch.Parameters.Tiles.Length, KernelPolicy.GroupSize, launch.Parameters);
        }
    }

    /// <summary>Waits, and tells how many elements left their range in the last pass.</summary>
    public ApplyReport ReadCounts()
    {
        long overflowed = 0;
        long underflowed = 0;
        foreach (var launch in _launches)
        {
            var counts = new ScaleCounts[launch.Counts.Length];
            launch.Counts.Download(counts);
            foreach (var count in counts)
            {
                overflowed += count.Overflowed;
                underflowed += count.Underflowed;
            }
        }

        return new ApplyReport(overflowed, underflowed);
    }

    public void Dispose()
    {
        foreach (var part in _owned)
        {
            part.Dispose();
        }

        _owned.Clear();
    }

    private void Prepare(
        Network network,
        NetworkTensors tensors,
        DeviceView<double> gains,
        DeviceView<double> inverseGains,
        DeviceView<int> status)
    {
        var channels = new List<int>();
        var tiles = new Dictionary<ElementType, List<ScaleTile>>();
        foreach (var weight in network.Weights.Where(w => w.Layout.Elements > 0))
        {
            var moving = tensors.Companions.Where(c => c.Weight.Index == weight.Index).ToArray();
            if (!tensors.IsBound(weight.Index) && moving.Length == 0)
            {
                continue;
            }

            var outputs = channels.Count;
            channels.AddRange(weight.Outputs.ToChannels(network.Groups));
            var inputs = channels.Count;
            channels.AddRange(weight.Inputs.ToChannels(network.Groups));
            if (tensors.IsBound(weight.Index))
            {
                Add(tensors[weight.Index], weight.Layout, 1);
            }

            foreach (var companion in moving)
            {
                Add(companion.Memory, companion.Layout, companion.Power);
            }

            void Add(TensorMemory memory, WeightLayout layout, int power)
            {
                DeviceWeights.RequireReachable(_queue, weight.Name, memory, layout);
                DeviceWeights.CheckAlignment(weight.Name, memory.ElementType, memory.Address);
                var list = tiles.TryGetValue(memory.ElementType, out var known) ? known : tiles[memory.ElementType] = [];
                foreach (var tile in ScaleLayout.Tiles(layout, memory.ElementType, (ulong)memory.Address, (ulong)memory.Address, outputs, inputs, power))
                {
                    list.Add(tile with { Counts = list.Count });
                }
            }
        }

        var table = Buffer(channels.ToArray());
        foreach (var (type, list) in tiles)
        {
            var counts = Own(new DeviceBuffer<ScaleCounts>(_queue, list.Count));
            counts.Clear();
            _launches.Add(new ScaleLaunch(KernelCatalog.Scale(type), counts, new ScaleParameters
            {
                Tiles = Buffer(list.ToArray()).View,
                Elements = DeviceView<byte>.Everywhere,
                Quads = DeviceView<byte>.Everywhere,
                Channels = table.View,
                OutputFactors = gains,
                InputFactors = inverseGains,
                Counts = counts.View,
                Status = status,
            }));
        }
    }

    private DeviceBuffer<T> Buffer<T>(T[] contents)
        where T : unmanaged => Own(new DeviceBuffer<T>(_queue, contents));

    private T Own<T>(T part)
        where T : IDisposable
    {
        _owned.Add(part);
        return part;
    }

    private sealed record ScaleLaunch(KernelId Kernel, DeviceBuffer<ScaleCounts> Counts, ScaleParameters Parameters);
}
