using System.Runtime.InteropServices;
using System.Text;
using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Gpu.Tests.Cuda;

// Devices and contexts.
internal sealed unsafe partial class FakeCuda
{
    private readonly Dictionary<nint, FakeContext> _contexts = [];
    private readonly Dictionary<int, nint> _primaries = [];
    private ulong _nextContextId = 1;

    public CudaResult InitResult { get; set; }

    /// <summary>A context that a caller makes, current on this thread; a handle may be used again after its context's end.</summary>
    public nint CreateContext(int device = 0, nint handle = 0)
    {
        handle = handle == 0 ? NewHandle() : handle;
        _contexts.Add(handle, new FakeContext(handle, _nextContextId++, device));
        _current.Value!.Push(handle);
        return handle;
    }

    /// <summary>Ends a context with all that is in it.</summary>
    public void DestroyContext(nint handle)
    {
        _contexts.Remove(handle);
        foreach (var (address, block) in _memory.Where(m => m.Value.Context == handle).ToArray())
        {
            NativeMemory.AlignedFree((void*)block.Allocated);
            _memory.Remove(address);
        }

        foreach (var (address, _) in _host.Where(h => h.Value.Context == handle).ToArray())
        {
            NativeMemory.Free((void*)address);
            _host.Remove(address);
        }

        Drop(_streams, s => s.Context == handle);
        Drop(_events, e => e.Context == handle);
        Drop(_modules, m => m.Context == handle);
        Drop(_graphs, g => g.Context == handle);
        Drop(_executables, e => e.Context == handle);
        var stack = _current.Value!.Where(c => c != handle).Reverse().ToArray();
        _current.Value!.Clear();
        foreach (var context in stack)
        {
            _current.Value!.Push(context);
        }

        static void Drop<T>(Dictionary<nint, T> handles, Func<T, bool> isIn)
        {
            foreach (var (key, _) in handles.Where(h => isIn(h.Value)).ToArray())
            {
                handles.Remove(key);
            }
        }
    }

    /// <summary>Makes a context current on this thread, as a caller does.</summary>
    public void Push(nint context) => _current.Value!.Push(context);

    public void Pop() => _current.Value!.Pop();

    /// <summary>Retains the primary context of a device, as another library in the process does.</summary>
    public nint RetainPrimary(int device)
    {
        lock (_gate)
        {
            if (!_primaries.TryGetValue(device, out var handle))
            {
                handle = NewHandle();
                _primaries[device] = handle;
                _contexts.Add(handle, new FakeContext(handle, _nextContextId++, device));
            }

            _contexts[handle].Retained++;
            return handle;
        }
    }

    public bool Exists(nint context) => _contexts.ContainsKey(context);

    [UnmanagedCallersOnly]
    private static CudaResult Init(uint flags)
    {
        var error = Begin("cuInit", needsContext: false);
        return error != 0 ? error : flags != 0 ? CudaResult.InvalidValue : _active!.InitResult;
    }

    [UnmanagedCallersOnly]
    private static CudaResult DriverGetVersion(int* version)
    {
        *version = _active!.Version;
        return Begin("cuDriverGetVersion", needsContext: false);
    }

    [UnmanagedCallersOnly]
    private static CudaResult GetErrorName(CudaResult error, byte** text)
    {
        var names = _active!._names;
        if (!names.TryGetValue(error, out var name))
        {
            // In CUDA's way of writing: CUDA_ERROR_OUT_OF_MEMORY.
            var words = string.Concat(error.ToString().Select((c, i) => i > 0 && char.IsUpper(c) ? $"_{c}" : $"{char.ToUpperInvariant(c)}"));
            names[error] = name = Marshal.StringToCoTaskMemUTF8("CUDA_ERROR_" + words.ToUpperInvariant());
        }

        *text = (byte*)name;
        return CudaResult.Success;
    }

    [UnmanagedCallersOnly]
    private static CudaResult DeviceGetCount(int* count)
    {
        *count = _active!.Devices.Count;
        return Begin("cuDeviceGetCount", needsContext: false);
    }

    [UnmanagedCallersOnly]
    private static CudaResult DeviceGet(int* device, int index)
    {
        *device = index;
        var error = Begin("cuDeviceGet", needsContext: false);
        return error != 0 ? error : (uint)index < _active!.Devices.Count ? CudaResult.Success : CudaResult.InvalidDevice;
    }

    [UnmanagedCallersOnly]
    private static CudaResult DeviceGetName(byte* name, int length, int device)
    {
        var bytes = Encoding.UTF8.GetBytes(_active!.Devices[device].Name + "\0");
        bytes.CopyTo(new Span<byte>(name, length));
        return Begin("cuDeviceGetName", needsContext: false);
    }

    [UnmanagedCallersOnly]
    private static CudaResult DeviceTotalMem(nuint* bytes, int device)
    {
        *bytes = (nuint)_active!.Devices[device].Bytes;
        return Begin("cuDeviceTotalMem_v2", needsContext: false);
    }

    [UnmanagedCallersOnly]
    private static CudaResult DeviceGetAttribute(int* value, DeviceAttribute attribute, int device)
    {
        var d = _active!.Devices[device];

        // Numbers, not names: a test of the names would agree with any number.
        *value = (int)attribute switch
        {
            16 => d.Multiprocessors,
            75 => d.Major,
            76 => d.Minor,
            _ => -1,
        };
        return Begin("cuDeviceGetAttribute", needsContext: false);
    }

    [UnmanagedCallersOnly]
    private static CudaResult DevicePrimaryCtxRetain(nint* context, int device)
    {
        var error = Begin("cuDevicePrimaryCtxRetain", needsContext: false);
        if (error != 0)
        {
            return error;
        }

        *context = _active!.RetainPrimary(device);
        return CudaResult.Success;
    }

    [UnmanagedCallersOnly]
    private static CudaResult DevicePrimaryCtxRelease(int device)
    {
        var fake = _active!;
        var error = Begin("cuDevicePrimaryCtxRelease_v2", needsContext: false);
        lock (fake._gate)
        {
            var handle = fake._primaries[device];
            if (--fake._contexts[handle].Retained == 0)
            {
                fake._primaries.Remove(device);
                fake._contexts.Remove(handle);
            }

            return error;
        }
    }

    [UnmanagedCallersOnly]
    private static CudaResult CtxGetCurrent(nint* context)
    {
        *context = _active!.CurrentContext;
        return Begin("cuCtxGetCurrent", needsContext: false);
    }

    [UnmanagedCallersOnly]
    private static CudaResult CtxPushCurrent(nint context)
    {
        var error = Begin("cuCtxPushCurrent_v2", needsContext: false);
        if (error != 0 || !_active!._contexts.ContainsKey(context))
        {
            return error != 0 ? error : CudaResult.InvalidContext;
        }

        _active._current.Value!.Push(context);
        return CudaResult.Success;
    }

    [UnmanagedCallersOnly]
    private static CudaResult CtxPopCurrent(nint* context)
    {
        // Gives an error, and has popped all the same: "may also return error codes from previous, asynchronous launches".
        var error = Begin("cuCtxPopCurrent_v2");
        *context = _active!._current.Value!.Pop();
        return error;
    }

    [UnmanagedCallersOnly]
    private static CudaResult CtxGetDevice(int* device)
    {
        var error = Begin("cuCtxGetDevice");
        *device = error == 0 ? _active!.Context.Device : -1;
        return error;
    }

    [UnmanagedCallersOnly]
    private static CudaResult CtxGetId(nint context, ulong* id)
    {
        var error = Begin("cuCtxGetId", needsContext: false);
        if (error == 0 && _active!._contexts.TryGetValue(context, out var known))
        {
            *id = known.Id;
            return CudaResult.Success;
        }

        return error != 0 ? error : CudaResult.ContextIsDestroyed;
    }

    private sealed class FakeContext(nint handle, ulong id, int device)
    {
        public nint Handle { get; } = handle;

        public ulong Id { get; } = id;

        public int Device { get; } = device;

        public int Retained { get; set; }

        public CudaResult Sticky { get; set; }

        public long Time { get; set; }
    }
}
