using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;

namespace EquiNorm.Gpu.Ilgpu;

/// <summary>
/// Makes ILGPU views of addresses. A view is a buffer, an index and a length; here the buffer is memory that starts at address 0, so the
/// index is the address divided by the size of an element. Nothing is looked up, and foreign memory is like one's own.
/// </summary>
/// <remarks>
/// Kernels have tables of structs whose size is no power of two; where their address is no multiple of it, the buffer starts at the
/// remainder instead. There are as many such buffers as remainders that occurred, a few dozen at most.
/// </remarks>
internal sealed class AddressSpace : IDisposable
{
    private readonly Accelerator _accelerator;
    private readonly CPUMemoryBuffer _host;
    private Memory?[] _origins = new Memory?[128];

    public AddressSpace(Accelerator accelerator)
    {
        _accelerator = accelerator;
        _host = CPUMemoryBuffer.Create(accelerator, 0, Memory.Bytes, sizeof(byte));
    }

    /// <summary>The elements of a view in ILGPU's terms; nothing if it is empty.</summary>
    public unsafe ArrayView<T> View<T>(DeviceView<T> view)
        where T : unmanaged
    {
        var size = (ulong)sizeof(T);
        return view.Length == 0
            ? default
            : new ArrayView<T>(Origin((int)(view.Address % size)), (long)(view.Address / size), view.Length);
    }

    /// <summary>All memory, by elements of some type: what <see cref="DeviceView{T}.Everywhere"/> stands for.</summary>
    public ArrayView<T> Everywhere<T>(DeviceView<byte> everywhere)
        where T : unmanaged
    {
        // The kernels index such a view by address, so it can be nothing else.
        return everywhere == DeviceView<byte>.Everywhere
            ? new ArrayView<T>(Origin(0), 0, everywhere.Length)
            : throw new ArgumentException("Elements are reached through a view of all memory.", nameof(everywhere));
    }

    public unsafe void Upload(AcceleratorStream stream, ReadOnlySpan<byte> source, ulong destination)
    {
        fixed (byte* pointer = source)
        {
            Origin(0).CopyFrom(stream, new ArrayView<byte>(_host, (nint)pointer, source.Length), (long)destination);
        }
    }

    /// <summary>Asks for a copy; it is there once the stream is synchronised, and the target must stay where it is until then.</summary>
    public unsafe void Download(AcceleratorStream stream, ulong source, byte* destination, int bytes) =>
        Origin(0).CopyTo(stream, (long)source, new ArrayView<byte>(_host, (nint)destination, bytes));

    public void Clear(AcceleratorStream stream, ulong destination, long bytes) => Origin(0).MemSet(stream, 0, (long)destination, bytes);

    public void Dispose()
    {
        foreach (var origin in _origins)
        {
            origin?.Dispose();
        }

        _host.Dispose();
    }

    private Memory Origin(int address)
    {
        if (address >= _origins.Length)
        {
            Array.Resize(ref _origins, address + 1);
        }

        return _origins[address] ??= new Memory(_accelerator, address);
    }

    // Memory of the accelerator from some address on; owns none of it.
    private sealed class Memory : MemoryBuffer
    {
        // Beyond any address; ILGPU adds lengths in 64 bits with a sign.
        public const long Bytes = 1L << 62;

        public Memory(Accelerator accelerator, nint address)
            : base(accelerator, Bytes, sizeof(byte)) => NativePtr = address;

        protected override void MemSet(AcceleratorStream stream, byte value, in ArrayView<byte> targetView)
        {
            if (stream is CudaStream cuda)
            {
                CudaMemoryBuffer.CudaMemSet(cuda, value, targetView);
            }
            else
            {
                CPUMemoryBuffer.CPUMemSet(targetView.LoadEffectiveAddressAsPtr(), value, 0, targetView.Length);
            }
        }

        // These look at where the two views are: one of them is host memory.
        protected override void CopyFrom(AcceleratorStream stream, in ArrayView<byte> sourceView, in ArrayView<byte> targetView) =>
            CPUMemoryBuffer.CPUCopy(stream, sourceView, targetView);

        protected override void CopyTo(AcceleratorStream stream, in ArrayView<byte> sourceView, in ArrayView<byte> targetView) =>
            CPUMemoryBuffer.CPUCopy(stream, sourceView, targetView);

        protected override void DisposeAcceleratorObject(bool disposing)
        {
        }
    }
}
