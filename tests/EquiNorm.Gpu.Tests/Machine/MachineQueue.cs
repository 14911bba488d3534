using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using System.Text;
using EquiNorm.PtxMachine;

namespace EquiNorm.Gpu.Tests.Machine;

/// <summary>
/// The PTX machine as a queue: the kernels that ship, executed and checked on the CPU. Other projects compile this file too: it knows no
/// test framework.
/// </summary>
internal sealed class MachineQueue : IDeviceQueue
{
    // Parsing takes longer than most launches.
    private static readonly ConcurrentDictionary<string, PtxModule> Modules = new();

    private QueueCounters _counters;

    public MachineQueue(PtxDeviceOptions? options = null) => Device = new PtxDevice(options ?? new PtxDeviceOptions { Threads = 2 });

    public PtxDevice Device { get; }

    public string Name => "ptx machine";

    public QueueCounters Counters => _counters;

    public DeviceMemory Allocate(long bytes) => Allocate(bytes, "");

    public DeviceMemory Allocate(long bytes, string purpose)
    {
        _counters = _counters with { Allocations = _counters.Allocations + 1 };
        return new DeviceMemory(Device.Allocate(bytes, purpose), bytes);
    }

    public void Free(DeviceMemory memory) => Device.Free(memory.Address);

    public void Upload(ReadOnlySpan<byte> source, ulong destination)
    {
        _counters = _counters with { Copies = _counters.Copies + 1 };
        Device.Write(destination, source);
    }

    public void Download(ulong source, Span<byte> destination)
    {
        _counters = _counters with { Copies = _counters.Copies + 1, Synchronizations = _counters.Synchronizations + 1 };
        if (!Device.IsInitialized(source, destination.Length))
        {
            throw new InvalidOperationException($"{destination.Length} bytes at 0x{source:x} are downloaded that nobody has written.");
        }

        Device.Read(source, destination);
    }

    public void Clear(ulong destination, long bytes)
    {
        _counters = _counters with { Copies = _counters.Copies + 1 };
        Device.Clear(destination, bytes);
    }

    public void Launch<TArguments>(KernelId kernel, int groups, int groupSize, in TArguments arguments)
        where TArguments : unmanaged
    {
        _counters = _counters with { Launches = _counters.Launches + 1 };
        var module = Modules.GetOrAdd(kernel.Name, _ => PtxModule.Parse(Encoding.ASCII.GetString(KernelImages.Ptx(kernel).AsSpan()[..^1])));
        Device.Launch(module, module.Entries[0].Name, groups, groupSize, MemoryMarshal.AsBytes(new ReadOnlySpan<TArguments>(in arguments)));
    }

    public void Synchronize() => _counters = _counters with { Synchronizations = _counters.Synchronizations + 1 };

    public void Dispose() => Device.Dispose();
}
