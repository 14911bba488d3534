using System.Runtime.InteropServices;
using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Gpu.Tests.Cuda;

// Device memory is host memory of its own; copies check, when they run, that it is still there.
internal sealed unsafe partial class FakeCuda
{
    private readonly Dictionary<ulong, (nint Allocated, long Bytes, nint Context)> _memory = [];
    private readonly Dictionary<nint, (long Bytes, nint Context)> _host = [];

    /// <summary>Bytes of device memory that nobody has freed.</summary>
    public long MemoryInUse => _memory.Values.Sum(block => block.Bytes);

    /// <summary>Device memory that there is.</summary>
    public long Capacity { get; set; } = 1L << 30;

    /// <summary>Addresses that cuPointerGetAttribute says are managed.</summary>
    public HashSet<ulong> Managed { get; } = [];

    /// <summary>Device memory of the context that is current, as another library in the process allocates it.</summary>
    public ulong AllocateForeign(long bytes)
    {
        var address = (ulong)NativeMemory.AlignedAlloc((nuint)bytes, 256);
        _memory.Add(address, ((nint)address, bytes, CurrentContext));
        return address;
    }

    [UnmanagedCallersOnly]
    private static CudaResult MemAlloc(ulong* address, nuint bytes)
    {
        var fake = _active!;
        var error = Begin("cuMemAlloc_v2");
        if (error != 0 || fake.IsUnsafeInCapture(out error))
        {
            return error;
        }

        if (bytes == 0)
        {
            return CudaResult.InvalidValue;
        }

        if (fake.MemoryInUse + (long)bytes > fake.Capacity)
        {
            return CudaResult.OutOfMemory;
        }

        *address = fake.AllocateForeign((long)bytes);
        return CudaResult.Success;
    }

    [UnmanagedCallersOnly]
    private static CudaResult MemFree(ulong address)
    {
        var fake = _active!;
        var error = Begin("cuMemFree_v2");
        if (fake.IsUnsafeInCapture(out var capture))
        {
            return capture;
        }

        if (!fake._memory.Remove(address, out var block))
        {
            return CudaResult.InvalidValue;
        }

        NativeMemory.AlignedFree((void*)block.Allocated);
        return error;
    }

    [UnmanagedCallersOnly]
    private static CudaResult MemAllocHost(void** address, nuint bytes)
    {
        var fake = _active!;
        var error = Begin("cuMemAllocHost_v2");
        if (error != 0 || fake.IsUnsafeInCapture(out error))
        {
            return error;
        }

        *address = NativeMemory.Alloc(bytes);
        fake._host.Add((nint)(*address), ((long)bytes, fake.CurrentContext));
        return CudaResult.Success;
    }

    [UnmanagedCallersOnly]
    private static CudaResult MemFreeHost(void* address)
    {
        var error = Begin("cuMemFreeHost");
        if (!_active!._host.Remove((nint)address))
        {
            return CudaResult.InvalidValue;
        }

        NativeMemory.Free(address);
        return error;
    }

    [UnmanagedCallersOnly]
    private static CudaResult MemcpyHtoDAsync(ulong destination, void* source, nuint bytes, nint stream)
    {
        var fake = _active!;
        var error = Begin("cuMemcpyHtoDAsync_v2");
        return error != 0 ? error : fake.Put(stream, () => fake.Copy(destination, (ulong)source, (long)bytes, destination));
    }

    [UnmanagedCallersOnly]
    private static CudaResult MemcpyDtoHAsync(void* destination, ulong source, nuint bytes, nint stream)
    {
        var fake = _active!;
        var error = Begin("cuMemcpyDtoHAsync_v2");
        return error != 0 ? error : fake.Put(stream, () => fake.Copy((ulong)destination, source, (long)bytes, source));
    }

    [UnmanagedCallersOnly]
    private static CudaResult MemcpyDtoDAsync(ulong destination, ulong source, nuint bytes, nint stream)
    {
        var fake = _active!;
        var error = Begin("cuMemcpyDtoDAsync_v2");
        return error != 0 ? error : fake.Put(stream, () =>
        {
            if (!fake.IsDeviceMemory(destination, (long)bytes) || !fake.IsDeviceMemory(source, (long)bytes))
            {
                return CudaResult.IllegalAddress;
            }

            Buffer.MemoryCopy((void*)source, (void*)destination, bytes, bytes);
            return CudaResult.Success;
        });
    }

    [UnmanagedCallersOnly]
    private static CudaResult MemsetD8Async(ulong destination, byte value, nuint bytes, nint stream)
    {
        var fake = _active!;
        var error = Begin("cuMemsetD8Async");
        return error != 0 ? error : fake.Put(stream, () =>
        {
            if (!fake.IsDeviceMemory(destination, (long)bytes))
            {
                return CudaResult.IllegalAddress;
            }

            new Span<byte>((void*)destination, (int)bytes).Fill(value);
            return CudaResult.Success;
        });
    }

    [UnmanagedCallersOnly]
    private static CudaResult MemGetInfo(nuint* free, nuint* total)
    {
        var fake = _active!;
        *total = (nuint)fake.Capacity;
        *free = (nuint)(fake.Capacity - fake.MemoryInUse);
        return Begin("cuMemGetInfo_v2");
    }

    [UnmanagedCallersOnly]
    private static CudaResult PointerGetAttribute(void* data, PointerAttribute attribute, ulong address)
    {
        var fake = _active!;
        var error = Begin("cuPointerGetAttribute");
        if (error != 0)
        {
            return error;
        }

        foreach (var (start, block) in fake._memory)
        {
            if (address >= start && address - start < (ulong)block.Bytes)
            {
                switch ((int)attribute)
                {
                    case 1:
                        *(nint*)data = block.Context;
                        return CudaResult.Success;
                    case 2:
                        *(uint*)data = 2;
                        return CudaResult.Success;
                    case 8:
                        *(byte*)data = fake.Managed.Contains(start) ? (byte)1 : (byte)0;
                        return CudaResult.Success;
                    case 9:
                        *(int*)data = fake._contexts[block.Context].Device;
                        return CudaResult.Success;
                }
            }
        }

        return CudaResult.InvalidValue;
    }

    // One end is device memory, the other page-locked host memory; both must still exist.
    private CudaResult Copy(ulong destination, ulong source, long bytes, ulong device)
    {
        var host = device == destination ? source : destination;
        if (!IsDeviceMemory(device, bytes) || !_host.Any(b => host >= (ulong)b.Key && host + (ulong)bytes <= (ulong)(b.Key + b.Value.Bytes)))
        {
            return CudaResult.IllegalAddress;
        }

        Buffer.MemoryCopy((void*)source, (void*)destination, bytes, bytes);
        return CudaResult.Success;
    }

    private bool IsDeviceMemory(ulong address, long bytes) =>
        _memory.Any(b => address >= b.Key && address + (ulong)bytes <= b.Key + (ulong)b.Value.Bytes);
}
