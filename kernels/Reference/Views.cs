// Signatures only, see Indices.cs. This file: views of device memory and what makes them from one another.
using ILGPU.Runtime;

namespace ILGPU
{
    // The object keeps a view managed, as the buffer of the real one does: a constraint to unmanaged types must not pass here and fail there.
    public readonly struct ArrayView<T>
        where T : unmanaged
    {
        public ArrayView(MemoryBuffer source, long index, long length) => throw Stub.NotRunnable;

        internal object Buffer { get; }

        public bool IsValid => throw Stub.NotRunnable;

        public LongIndex1D Extent => throw Stub.NotRunnable;

        public Index1D IntExtent => throw Stub.NotRunnable;

        public long Length => throw Stub.NotRunnable;

        public int IntLength => throw Stub.NotRunnable;

        public long LengthInBytes => throw Stub.NotRunnable;

        public ref T this[Index1D index] => throw Stub.NotRunnable;

        public ref T this[LongIndex1D index] => throw Stub.NotRunnable;

        public ref T this[int index] => throw Stub.NotRunnable;

        public ref T this[long index] => throw Stub.NotRunnable;

        public ArrayView<T> SubView(long index) => throw Stub.NotRunnable;

        public ArrayView<T> SubView(int index, int subViewLength) => throw Stub.NotRunnable;

        public ArrayView<T> SubView(long index, long subViewLength) => throw Stub.NotRunnable;

        public ArrayView<TOther> Cast<TOther>()
            where TOther : unmanaged => throw Stub.NotRunnable;

        public static implicit operator ArrayView1D<T, Stride1D.Dense>(ArrayView<T> view) => throw Stub.NotRunnable;

        public static implicit operator ArrayView<T>(ArrayView1D<T, Stride1D.Dense> view) => throw Stub.NotRunnable;
    }

    public interface IArrayView
    {
    }

    public interface IStride1D
    {
    }

    public static class Stride1D
    {
        public readonly struct Dense : IStride1D
        {
        }
    }
}

namespace ILGPU.Runtime
{
    public readonly struct ArrayView1D<T, TStride> : IArrayView
        where T : unmanaged
        where TStride : struct, IStride1D
    {
        public ArrayView<T> BaseView => throw Stub.NotRunnable;

        public LongIndex1D Extent => throw Stub.NotRunnable;

        public Index1D IntExtent => throw Stub.NotRunnable;

        public long Length => throw Stub.NotRunnable;

        public int IntLength => throw Stub.NotRunnable;

        public ref T this[Index1D index] => throw Stub.NotRunnable;

        public ref T this[LongIndex1D index] => throw Stub.NotRunnable;

        public ArrayView1D<T, TStride> SubView(Index1D index, Index1D extent) => throw Stub.NotRunnable;

        public ArrayView1D<T, TStride> SubView(LongIndex1D index, LongIndex1D extent) => throw Stub.NotRunnable;
    }

    public static class ArrayViewExtensions
    {
        public static IntPtr LoadEffectiveAddressAsPtr<T>(this ArrayView<T> view)
            where T : unmanaged => throw Stub.NotRunnable;

        public static MemoryBuffer1D<T, Stride1D.Dense> Allocate1D<T>(this Accelerator accelerator, T[] data)
            where T : unmanaged => throw Stub.NotRunnable;

        public static T[] GetAsArray1D<T>(this MemoryBuffer<ArrayView1D<T, Stride1D.Dense>> buffer)
            where T : unmanaged => throw Stub.NotRunnable;

        public static ArrayView<T> AsAligned<T>(this ArrayView<T> view, int alignmentInBytes)
            where T : unmanaged => throw Stub.NotRunnable;

        public static ArrayView1D<T, Stride1D.Dense> AsAligned<T>(this ArrayView1D<T, Stride1D.Dense> view, int alignmentInBytes)
            where T : unmanaged => throw Stub.NotRunnable;
    }
}
