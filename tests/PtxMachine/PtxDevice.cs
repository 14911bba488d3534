using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace EquiNorm.PtxMachine;

/// <summary>Groups that changed a granule by atomics, and groups whose earlier writes they hand on.</summary>
internal sealed class AtomicCell
{
    public HashSet<int> Groups { get; } = [];

    public HashSet<int> Released { get; } = [];
}

/// <summary>What all groups of a launch share.</summary>
internal sealed class LaunchState
{
    public required PtxDeviceOptions Options { get; init; }

    public required GlobalMemory Memory { get; init; }

    public required int Groups { get; init; }

    public required int GroupSize { get; init; }

    /// <summary>Group g of this launch is FirstStamp + g in the shadows; no other launch uses these numbers.</summary>
    public required int FirstStamp { get; init; }

    public required bool Parallel { get; init; }

    public Dictionary<ulong, AtomicCell> Atomics { get; } = [];
}

/// <summary>
/// A device made of C#: it executes PTX warp by warp, 32 lanes in lockstep, checks every access and counts the work. It is deterministic.
/// mul and add are never contracted to fma, as ptxas may do; the approximate functions are computed in double and rounded.
/// </summary>
public sealed class PtxDevice : IDisposable
{
    private readonly PtxDeviceOptions _options;
    private readonly GlobalMemory _memory = new();
    private readonly Dictionary<string, KernelCounts> _counts = [];
    private int _nextStamp = 1;

    /// <summary>A device without allocations.</summary>
    public PtxDevice(PtxDeviceOptions? options = null)
    {
        _options = options ?? new();
        ArgumentOutOfRangeException.ThrowIfLessThan(_options.Threads, 1, nameof(options));
    }

    /// <summary>Work of all kernels since the counts were reset.</summary>
    public KernelCounts Total { get; private set; } = KernelCounts.None;

    /// <summary>Work of the last launch that ended without a fault.</summary>
    public KernelCounts LastLaunch { get; private set; } = KernelCounts.None;

    /// <summary>Bytes that are allocated now.</summary>
    public long AllocatedBytes => _memory.Allocations.Where(a => !a.Freed).Sum(a => a.Size);

    /// <summary>Allocates; the address is a multiple of 256, the contents count as uninitialised. Traffic is counted by label.</summary>
    public ulong Allocate(long bytes, string label = "") => _memory.Allocate(bytes, label).Base;

    /// <summary>Frees; the address range is never used again.</summary>
    public void Free(ulong address)
    {
        var allocation = _memory.Owner(address, 0);
        if (allocation.Base != address)
        {
            throw new ArgumentException("the address is not the start of an allocation", nameof(address));
        }

        allocation.Free();
    }

    /// <summary>Copies to the device.</summary>
    public unsafe void Write(ulong address, ReadOnlySpan<byte> data)
    {
        var allocation = _memory.Owner(address, data.Length);
        var offset = (long)(address - allocation.Base);
        data.CopyTo(new(allocation.Data + offset, data.Length));
        allocation.MarkValid(offset, data.Length);
    }

    /// <summary>Copies numbers to the device.</summary>
    public void Write<T>(ulong address, ReadOnlySpan<T> data)
        where T : unmanaged => Write(address, MemoryMarshal.AsBytes(data));

    /// <summary>Copies from the device. Bytes that nobody has written read as 0xff.</summary>
    public unsafe void Read(ulong address, Span<byte> data)
    {
        var allocation = _memory.Owner(address, data.Length);
        new ReadOnlySpan<byte>(allocation.Data + (long)(address - allocation.Base), data.Length).CopyTo(data);
    }

    /// <summary>Copies numbers from the device.</summary>
    public void Read<T>(ulong address, Span<T> data)
        where T : unmanaged => Read(address, MemoryMarshal.AsBytes(data));

    /// <summary>Copies numbers from the device.</summary>
    public T[] Read<T>(ulong address, int count)
        where T : unmanaged
    {
        var data = new T[count];
        Read(address, data.AsSpan());
        return data;
    }

    /// <summary>Writes zeros.</summary>
    public unsafe void Clear(ulong address, long bytes)
    {
        var allocation = _memory.Owner(address, bytes);
        var offset = (long)(address - allocation.Base);
        NativeMemory.Clear(allocation.Data + offset, (nuint)bytes);
        allocation.MarkValid(offset, bytes);
    }

    /// <summary>Whether the range has been written since it was allocated.</summary>
    public bool IsInitialized(ulong address, long bytes)
    {
        var allocation = _memory.Owner(address, bytes);
        return allocation.IsValid((long)(address - allocation.Base), bytes);
    }

    /// <summary>
    /// Runs a kernel to its end. A fault of the kernel is a <see cref="PtxFaultException"/>; of several it is that of the group that
    /// comes first.
    /// </summary>
    public void Launch(PtxModule module, string entry, int groups, int groupSize, ReadOnlySpan<byte> parameters)
    {
        ArgumentNullException.ThrowIfNull(module);
        var kernel = module.Entry(entry);
        ArgumentOutOfRangeException.ThrowIfLessThan(groups, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(groupSize, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(groupSize, kernel.MaxThreads > 0 ? kernel.MaxThreads : 1024);
        if (parameters.Length != kernel.ParameterBytes)
        {
            throw new ArgumentException($"{parameters.Length} bytes of parameters instead of {kernel.ParameterBytes}", nameof(parameters));
        }

        if (_nextStamp > int.MaxValue - groups - 1)
        {
            foreach (var allocation in _memory.Allocations.Where(a => !a.Freed))
            {
                allocation.ForgetShadows();
            }

            _nextStamp = 1;
        }

        var threads = kernel.Program.HasGlobalAtomics ? 1 : Math.Min(_options.Threads, groups);
        var launch = new LaunchState
        {
            Options = _options,
            Memory = _memory,
            Groups = groups,
            GroupSize = groupSize,
            FirstStamp = _nextStamp,
            Parallel = threads > 1,
        };
        _nextStamp += groups;
        var runners = new GroupRunner[threads];
        try
        {
            for (var k = 0; k < threads; k++)
            {
                runners[k] = new(kernel.Program, launch);
            }

            Run(kernel.Program, launch, runners, parameters);
            Collect(entry, runners);
        }
        finally
        {
            foreach (var runner in runners)
            {
                runner?.Dispose();
            }

            foreach (var allocation in _memory.Allocations)
            {
                if (allocation.Touched)
                {
                    // Nothing is left to take but after a fault.
                    allocation.TakeSectors();
                }
            }
        }
    }

    /// <summary>Work of one kernel since the counts were reset.</summary>
    public KernelCounts Counts(string entry) => _counts.GetValueOrDefault(entry, KernelCounts.None);

    /// <summary>Forgets all counts.</summary>
    public void ResetCounts()
    {
        _counts.Clear();
        Total = KernelCounts.None;
        LastLaunch = KernelCounts.None;
    }

    /// <inheritdoc/>
    public void Dispose() => _memory.Dispose();

    private static unsafe void Run(Program program, LaunchState launch, GroupRunner[] runners, ReadOnlySpan<byte> parameters)
    {
        fixed (Instruction* code = program.Code)
        {
            fixed (byte* bytes = parameters)
            {
                if (runners.Length == 1)
                {
                    for (var k = 0; k < launch.Groups; k++)
                    {
                        runners[0].Run(launch.Options.ReverseGroups ? launch.Groups - 1 - k : k, code, bytes);
                    }

                    return;
                }

                RunParallel(launch, runners, (nint)code, (nint)bytes);
            }
        }
    }

    /// <summary>
    /// Groups are handed out in order. After a fault the groups before it still run, because one of them may be at fault too: which
    /// fault is reported does not depend on the threads.
    /// </summary>
    private static unsafe void RunParallel(LaunchState launch, GroupRunner[] runners, nint code, nint parameters)
    {
        var next = -1;
        var faultOrder = int.MaxValue;
        Exception? fault = null;
        var sync = new Lock();
        var threads = runners.Select(runner => new Thread(() =>
        {
            while (true)
            {
                var k = Interlocked.Increment(ref next);
                if (k >= launch.Groups || k > Volatile.Read(ref faultOrder))
                {
                    return;
                }

                try
                {
                    runner.Run(launch.Options.ReverseGroups ? launch.Groups - 1 - k : k, (Instruction*)code, (byte*)parameters);
                }
                catch (Exception e)
                {
                    lock (sync)
                    {
                        if (k < faultOrder)
                        {
                            faultOrder = k;
                            fault = e;
                        }
                    }

                    return;
                }
            }
        })).ToList();
        threads.ForEach(t => t.Start());
        threads.ForEach(t => t.Join());
        if (fault != null)
        {
            ExceptionDispatchInfo.Throw(fault);
        }
    }

    private void Collect(string entry, GroupRunner[] runners)
    {
        if (!_options.Counting)
        {
            return;
        }

        var counts = runners.Select(r => r.Tally.ToCounts()).Aggregate((a, b) => a + b);
        var labels = new Dictionary<string, LabelTraffic>();
        long read = 0, written = 0;
        foreach (var allocation in _memory.Allocations.Where(a => a.Touched))
        {
            var (sectorsRead, sectorsWritten) = allocation.TakeSectors();
            read += sectorsRead;
            written += sectorsWritten;
            var traffic = runners.Aggregate(
                new LabelTraffic(0, 0, 0, 0, sectorsRead, sectorsWritten), (sum, runner) => sum + runner.Traffic[allocation.Index]);
            labels[allocation.Label] = labels.GetValueOrDefault(allocation.Label) + traffic;
        }

        LastLaunch = counts with { Launches = 1, UniqueSectorsRead = read, UniqueSectorsWritten = written, Labels = labels };
        _counts[entry] = Counts(entry) + LastLaunch;
        Total += LastLaunch;
    }
}
