using EquiNorm.Model;

namespace EquiNorm.Gpu.Bench;

/// <summary>The tensors of a network in device memory, bound by their addresses.</summary>
internal sealed unsafe class DeviceTensors : IDisposable
{
    // One upload or download; spans are limited to 2 GB.
    private const int Chunk = 1 << 26;

    private readonly IDeviceQueue _queue;
    private readonly DeviceMemory[] _memory;

    /// <summary>Allocates; the contents are undefined.</summary>
    /// <param name="network">The network.</param>
    /// <param name="queue">The device.</param>
    /// <param name="lengths">Elements of each weight's tensor.</param>
    /// <param name="misalignment">Bytes that each tensor begins behind its allocation.</param>
    public DeviceTensors(Network network, IDeviceQueue queue, IReadOnlyList<long> lengths, int misalignment = 0)
    {
        _queue = queue;
        _memory = new DeviceMemory[network.Weights.Count];
        Tensors = new NetworkTensors(network);
        try
        {
            foreach (var weight in network.Weights)
            {
                var bytes = lengths[weight.Index] * weight.ElementType.ByteSize();
                if (bytes == 0)
                {
                    continue;
                }

                _memory[weight.Index] = queue.Allocate(bytes + misalignment);
                var address = (nint)_memory[weight.Index].Address + misalignment;
                Tensors.Bind(weight.Name, new TensorMemory(address, lengths[weight.Index], weight.ElementType));
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>A copy of tensors of the host.</summary>
    public DeviceTensors(NetworkTensors host, IDeviceQueue queue, int misalignment = 0)
        : this(host.Network, queue, [.. host.Network.Weights.Select(w => host.IsBound(w.Index) ? host[w.Index].Length : 0)], misalignment) =>
        Upload(host);

    /// <summary>The binding.</summary>
    public NetworkTensors Tensors { get; }

    /// <summary>Copies all tensors from the host.</summary>
    public void Upload(NetworkTensors host)
    {
        foreach (var (weight, bytes) in Bound())
        {
            for (long done = 0; done < bytes; done += Chunk)
            {
                var part = new ReadOnlySpan<byte>((byte*)host[weight].Address + done, (int)Math.Min(Chunk, bytes - done));
                _queue.Upload(part, (ulong)(Tensors[weight].Address + (nint)done));
            }
        }
    }

    /// <summary>Copies all tensors to the host.</summary>
    public void Download(NetworkTensors host)
    {
        foreach (var (weight, bytes) in Bound())
        {
            for (long done = 0; done < bytes; done += Chunk)
            {
                var part = new Span<byte>((byte*)host[weight].Address + done, (int)Math.Min(Chunk, bytes - done));
                _queue.Download((ulong)(Tensors[weight].Address + (nint)done), part);
            }
        }
    }

    public void Dispose()
    {
        Tensors.Dispose();
        foreach (ref var memory in _memory.AsSpan())
        {
            if (memory.Bytes > 0)
            {
                _queue.Free(memory);
                memory = default;
            }
        }
    }

    private IEnumerable<(int Weight, long Bytes)> Bound()
    {
        foreach (var weight in Tensors.Network.Weights)
        {
            if (Tensors.IsBound(weight.Index))
            {
                yield return (weight.Index, Tensors[weight.Index].Length * weight.ElementType.ByteSize());
            }
        }
    }
}
