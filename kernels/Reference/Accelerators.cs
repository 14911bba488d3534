// Signatures only, see Indices.cs. This file: accelerators, their streams, their memory, and kernels loaded onto them.
using System.Diagnostics.CodeAnalysis;
using ILGPU.Util;

namespace ILGPU.Util
{
    public abstract class DisposeBase : IDisposable
    {
        public bool IsDisposed => throw Stub.NotRunnable;

        [SuppressMessage("Usage", "CA1816", Justification = "A signature.")]
        public void Dispose() => throw Stub.NotRunnable;
    }
}

namespace ILGPU
{
    public readonly struct KernelConfig
    {
        public KernelConfig(Index1D gridDim, Index1D groupDim) => throw Stub.NotRunnable;
    }
}

namespace ILGPU.Runtime
{
    public enum AcceleratorType
    {
        CPU = 0,
        Cuda = 1,
        OpenCL = 2,
    }

    public abstract class Accelerator : DisposeBase
    {
        public AcceleratorType AcceleratorType => throw Stub.NotRunnable;

        public string Name => throw Stub.NotRunnable;

        public int WarpSize => throw Stub.NotRunnable;

        public int MaxNumThreadsPerGroup => throw Stub.NotRunnable;

        public AcceleratorStream DefaultStream => throw Stub.NotRunnable;

        public AcceleratorStream CreateStream() => throw Stub.NotRunnable;

        public MemoryBuffer AllocateRaw(long length, int elementSize) => throw Stub.NotRunnable;

        public MemoryBuffer1D<T, Stride1D.Dense> Allocate1D<T>(long length)
            where T : unmanaged => throw Stub.NotRunnable;

        public void Synchronize() => throw Stub.NotRunnable;
    }

    public abstract class AcceleratorObject : DisposeBase
    {
        protected AcceleratorObject(Accelerator accelerator) => throw Stub.NotRunnable;

        public Accelerator Accelerator => throw Stub.NotRunnable;

        public AcceleratorType AcceleratorType => throw Stub.NotRunnable;

        protected abstract void DisposeAcceleratorObject(bool disposing);
    }

    public abstract class AcceleratorStream : AcceleratorObject
    {
        protected AcceleratorStream(Accelerator accelerator)
            : base(accelerator) => throw Stub.NotRunnable;

        public abstract void Synchronize();
    }

    public abstract class MemoryBuffer : AcceleratorObject
    {
        protected MemoryBuffer(Accelerator accelerator, long length, int elementSize)
            : base(accelerator) => throw Stub.NotRunnable;

        public IntPtr NativePtr
        {
            get => throw Stub.NotRunnable;
            protected set => throw Stub.NotRunnable;
        }

        public void MemSet(AcceleratorStream stream, byte value, long targetOffsetInBytes, long length) => throw Stub.NotRunnable;

        public void CopyTo(AcceleratorStream stream, long sourceOffsetInBytes, in ArrayView<byte> targetView) => throw Stub.NotRunnable;

        public void CopyFrom(AcceleratorStream stream, in ArrayView<byte> sourceView, long targetOffsetInBytes) => throw Stub.NotRunnable;

        protected internal abstract void MemSet(AcceleratorStream stream, byte value, in ArrayView<byte> targetView);

        protected internal abstract void CopyTo(
            AcceleratorStream stream, in ArrayView<byte> sourceView, in ArrayView<byte> targetView);

        protected internal abstract void CopyFrom(
            AcceleratorStream stream, in ArrayView<byte> sourceView, in ArrayView<byte> targetView);
    }

    public class MemoryBuffer<TView> : MemoryBuffer
        where TView : struct, IArrayView
    {
        internal MemoryBuffer(Accelerator accelerator)
            : base(accelerator, 0, 0) => throw Stub.NotRunnable;

        public TView View => throw Stub.NotRunnable;

        protected internal override void MemSet(AcceleratorStream stream, byte value, in ArrayView<byte> targetView) =>
            throw Stub.NotRunnable;

        protected internal override void CopyTo(
            AcceleratorStream stream, in ArrayView<byte> sourceView, in ArrayView<byte> targetView) => throw Stub.NotRunnable;

        protected internal override void CopyFrom(
            AcceleratorStream stream, in ArrayView<byte> sourceView, in ArrayView<byte> targetView) => throw Stub.NotRunnable;

        protected override void DisposeAcceleratorObject(bool disposing) => throw Stub.NotRunnable;
    }

    public class MemoryBuffer1D<T, TStride> : MemoryBuffer<ArrayView1D<T, TStride>>
        where T : unmanaged
        where TStride : struct, IStride1D
    {
        internal MemoryBuffer1D(Accelerator accelerator)
            : base(accelerator) => throw Stub.NotRunnable;
    }

    public readonly struct KernelSpecialization
    {
        public KernelSpecialization(int? maxNumThreadsPerGroup, int? minNumGroupsPerMultiprocessor) => throw Stub.NotRunnable;
    }

    public static class KernelLoaders
    {
        public static Action<AcceleratorStream, KernelConfig, T1> LoadKernel<T1>(
            this Accelerator accelerator, Action<T1> action, KernelSpecialization specialization)
            where T1 : struct => throw Stub.NotRunnable;
    }
}

namespace ILGPU.Runtime.CPU
{
    public sealed class CPUDevice
    {
        public CPUDevice(int numThreadsPerWarp, int numWarpsPerMultiprocessor, int numMultiprocessors) => throw Stub.NotRunnable;

        public CPUAccelerator CreateCPUAccelerator(Context context) => throw Stub.NotRunnable;
    }

    public sealed class CPUAccelerator : Accelerator
    {
        internal CPUAccelerator() => throw Stub.NotRunnable;
    }

    public static class CPUContextExtensions
    {
        public static Context.Builder CPU(this Context.Builder builder, CPUDevice device) => throw Stub.NotRunnable;
    }

    public abstract class CPUMemoryBuffer : MemoryBuffer
    {
        internal CPUMemoryBuffer(Accelerator accelerator)
            : base(accelerator, 0, 0) => throw Stub.NotRunnable;

        public static CPUMemoryBuffer Create(Accelerator accelerator, IntPtr ptr, long length, int elementSize) => throw Stub.NotRunnable;

        public static void CPUMemSet(IntPtr nativePtr, byte value, long offsetInBytes, long lengthInBytes) => throw Stub.NotRunnable;

        public static void CPUCopy<T>(AcceleratorStream stream, in ArrayView<T> sourceView, in ArrayView<T> targetView)
            where T : unmanaged => throw Stub.NotRunnable;
    }
}

namespace ILGPU.Runtime.Cuda
{
    public sealed class CudaStream : AcceleratorStream
    {
        internal CudaStream(Accelerator accelerator)
            : base(accelerator) => throw Stub.NotRunnable;

        public override void Synchronize() => throw Stub.NotRunnable;

        protected override void DisposeAcceleratorObject(bool disposing) => throw Stub.NotRunnable;
    }

    public sealed class CudaAccelerator : Accelerator
    {
        internal CudaAccelerator() => throw Stub.NotRunnable;

        public int DeviceId => throw Stub.NotRunnable;
    }

    public static class CudaContextExtensions
    {
        public static Context.Builder Cuda(this Context.Builder builder) => throw Stub.NotRunnable;

        public static CudaAccelerator CreateCudaAccelerator(this Context context, int cudaDeviceIndex) => throw Stub.NotRunnable;
    }

    public sealed class CudaMemoryBuffer : MemoryBuffer
    {
        internal CudaMemoryBuffer(Accelerator accelerator)
            : base(accelerator, 0, 0) => throw Stub.NotRunnable;

        public static void CudaMemSet<T>(CudaStream? stream, byte value, in ArrayView<T> targetView)
            where T : unmanaged => throw Stub.NotRunnable;

        protected internal override void MemSet(AcceleratorStream stream, byte value, in ArrayView<byte> targetView) =>
            throw Stub.NotRunnable;

        protected internal override void CopyTo(
            AcceleratorStream stream, in ArrayView<byte> sourceView, in ArrayView<byte> targetView) => throw Stub.NotRunnable;

        protected internal override void CopyFrom(
            AcceleratorStream stream, in ArrayView<byte> sourceView, in ArrayView<byte> targetView) => throw Stub.NotRunnable;

        protected override void DisposeAcceleratorObject(bool disposing) => throw Stub.NotRunnable;
    }
}
