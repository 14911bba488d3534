using System.Runtime.InteropServices;
using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Gpu.Tests.Cuda;

/// <summary>
/// A driver made of C#, behind the same table of native functions. What is put into a stream runs only when somebody waits for it, so that a
/// buffer used again too early, or memory freed too early, shows. It keeps account of every handle, and fails on demand at any call.
/// Functions that a driver calls are static, so there is one at a time, and the tests that use it do not run in parallel.
/// </summary>
internal sealed unsafe partial class FakeCuda : IDisposable
{
    private static FakeCuda? _active;

    private readonly Lock _gate = new();
    private readonly ThreadLocal<Stack<nint>> _current = new(() => new Stack<nint>(16));
    private readonly HashSet<string> _absent;
    private readonly Dictionary<CudaResult, nint> _names = [];
    private nint _nextHandle = 0x1000;
    private int _failAt = -1;
    private string? _failIn;
    private CudaResult _failure;

    /// <param name="absent">Entries that this driver lacks.</param>
    public FakeCuda(params string[] absent)
    {
        _absent = [.. absent];
        _active = this;
        Driver = new CudaDriver("libfake.so", name => _absent.Contains(name) ? 0 : Find(name));
    }

    public CudaDriver Driver { get; }

    public int Version { get; set; } = 12040;

    public List<FakeDevice> Devices { get; } = [new("Fake H200", 1L << 37, 9, 0, 132)];

    /// <summary>Calls so far.</summary>
    public int Calls { get; private set; }

    /// <summary>Names of the calls so far, while <see cref="IsLogging"/>.</summary>
    public List<string> Log { get; } = [];

    /// <summary>Whether calls and launches are written down; off where managed allocations are counted.</summary>
    public bool IsLogging { get; set; } = true;

    /// <summary>The call that was made to fail, once it did.</summary>
    public string? Failed { get; private set; }

    /// <summary>What the call current on this thread is.</summary>
    public nint CurrentContext => _current.Value!.TryPeek(out var top) ? top : 0;

    public int StackDepth => _current.Value!.Count;

    /// <summary>Handles and memory that nobody gave back, in words; empty if there is nothing.</summary>
    public string Leaks => string.Join(", ", new[]
    {
        ("device memory", _memory.Count), ("host memory", _host.Count), ("streams", _streams.Values.Count(s => !s.IsDefault)),
        ("events", _events.Count), ("modules", _modules.Count), ("graphs", _graphs.Count), ("executables", _executables.Count),
        ("retained contexts", _contexts.Values.Sum(c => c.Retained)),
    }.Where(count => count.Item2 != 0).Select(count => $"{count.Item2} {count.Item1}"));

    /// <summary>Makes one call fail, the first time it is made from now on.</summary>
    public void FailIn(string call, CudaResult failure)
    {
        _failIn = call;
        _failure = failure;
        Failed = null;
    }

    /// <summary>Makes the call with a number (from now on, 0 the next) fail, whichever it is.</summary>
    public void FailAt(int call, CudaResult failure)
    {
        _failAt = Calls + call;
        _failure = failure;
        Failed = null;
    }

    /// <summary>Frees the memory that stands for leaks; tests look at those before.</summary>
    public void Dispose()
    {
        foreach (var block in _memory.Values)
        {
            NativeMemory.AlignedFree((void*)block.Allocated);
        }

        foreach (var block in _host)
        {
            NativeMemory.Free((void*)block.Key);
        }

        foreach (var name in _names.Values)
        {
            Marshal.FreeCoTaskMem(name);
        }

        _current.Dispose();
        _active = null;
    }

    // The beginning of each call: counts it, and says whether it has to fail.
    private static CudaResult Begin(string call, bool needsContext = true) => _active!.Enter(call, needsContext);

    private CudaResult Enter(string call, bool needsContext)
    {
        lock (_gate)
        {
            var number = Calls++;
            if (IsLogging)
            {
                Log.Add(call);
            }

            if (number == _failAt || call == _failIn)
            {
                _failAt = -1;
                _failIn = null;
                Failed = call;
                return _failure;
            }

            if (!needsContext)
            {
                return CudaResult.Success;
            }

            var current = CurrentContext;
            return current == 0 ? CudaResult.InvalidContext
                : !_contexts.TryGetValue(current, out var context) ? CudaResult.ContextIsDestroyed
                : context.Sticky;
        }
    }

    private nint NewHandle() => _nextHandle += 0x10;

    private FakeContext Context => _contexts[CurrentContext];
}

internal sealed record FakeDevice(string Name, long Bytes, int Major, int Minor, int Multiprocessors);

internal sealed record FakeLaunch(string Kernel, uint Groups, uint GroupSize, byte[] Block, nint Stream, nint Context);
