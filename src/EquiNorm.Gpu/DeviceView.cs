using System.Runtime.InteropServices;

namespace EquiNorm.Gpu;

/// <summary>
/// A view of device memory as kernels take it: ILGPU's ArrayView&lt;T&gt; is an address and a number of elements, 16 bytes.
/// </summary>
/// <param name="Address">Address of the first element.</param>
/// <param name="Length">Number of elements.</param>
/// <typeparam name="T">Type of the elements.</typeparam>
[StructLayout(LayoutKind.Sequential)]
public readonly record struct DeviceView<T>(ulong Address, long Length)
    where T : unmanaged
{
    /// <summary>All of the address space, indexed by address / sizeof(T): how kernels reach tensors that lie anywhere.</summary>
    public static DeviceView<T> Everywhere => new(0, 1L << 58);

    /// <summary>Part of the view.</summary>
    public unsafe DeviceView<T> Slice(long start, long length) => new(Address + (ulong)(start * sizeof(T)), length);
}
