using EquiNorm.Model;
using EquiNorm.Testing;

namespace EquiNorm.Gpu.Tests.Machine;

/// <summary>The tensors of a test network in the memory of a machine, bound by device address.</summary>
internal sealed unsafe class DeviceNetwork : IDisposable
{
    private readonly MachineQueue _queue;
    private readonly TestNetwork _network;
    private readonly NetworkTensors _host;
    private readonly List<DeviceMemory> _memory = [];

    /// <param name="queue">The machine; what is allocated here is for "weights".</param>
    /// <param name="network">The network.</param>
    /// <param name="offset">Bytes by which tensors lie behind the start of their memory.</param>
    public DeviceNetwork(MachineQueue queue, TestNetwork network, int offset = 0)
    {
        _queue = queue;
        _network = network;
        _host = network.Bind();
        Tensors = new NetworkTensors(network.Network);
        foreach (var weight in network.Network.Weights)
        {
            var host = _host[weight.Index];
            var bytes = host.Length * host.ElementType.ByteSize();
            var memory = queue.Allocate(bytes + offset, "weights");
            _memory.Add(memory);
            Tensors.Bind(weight.Name, host with { Address = (nint)memory.Address + offset });
        }

        Upload();
    }

    /// <summary>Device addresses.</summary>
    public NetworkTensors Tensors { get; }

    /// <summary>Copies the elements of the test network to the device.</summary>
    public void Upload()
    {
        foreach (var weight in _network.Network.Weights)
        {
            var host = _host[weight.Index];
            _queue.Upload(new ReadOnlySpan<byte>((void*)host.Address, Bytes(host)), (ulong)Tensors[weight.Index].Address);
        }
    }

    /// <summary>Copies them back.</summary>
    public void Download()
    {
        foreach (var weight in _network.Network.Weights)
        {
            var host = _host[weight.Index];
            _queue.Download((ulong)Tensors[weight.Index].Address, new Span<byte>((void*)host.Address, Bytes(host)));
        }
    }

    public void Dispose()
    {
        foreach (var memory in _memory)
        {
            _queue.Free(memory);
        }

        Tensors.Dispose();
        _host.Dispose();
    }

    private static int Bytes(TensorMemory memory) => (int)memory.Length * memory.ElementType.ByteSize();
}
