using System.Runtime.InteropServices;
using EquiNorm.Model;

namespace EquiNorm.Embedding;

/// <summary>
/// Tensors as DLPack hands them over (https://dmlc.github.io/dlpack): read only, ownership stays with the producer. The managed tensor must
/// live as long as the view is bound; its deleter is never called here.
/// </summary>
public static unsafe class DLPack
{
    // DLPack sets no limit; every framework has one below.
    private const int MostDimensions = 64;
    private const int SupportedMajor = 1;
    private const ulong ReadOnlyFlag = 1;

    /// <summary>A view of a DLManagedTensor, what a capsule named "dltensor" points to.</summary>
    /// <exception cref="TensorException">It cannot be used: the message says which field and why.</exception>
    public static TensorView View(nint managedTensor)
    {
        RequireAddress(managedTensor, "DLManagedTensor");
        return Of(((ManagedTensor*)managedTensor)->Tensor);
    }

    /// <summary>A view of a DLManagedTensorVersioned, what a capsule named "dltensor_versioned" points to.</summary>
    /// <exception cref="TensorException">It cannot be used: the message says which field and why.</exception>
    public static TensorView ViewVersioned(nint managedTensor)
    {
        RequireAddress(managedTensor, "DLManagedTensorVersioned");
        var managed = (VersionedTensor*)managedTensor;
        if (managed->Major != SupportedMajor)
        {
            throw new TensorException(
                TensorError.WrongType, $"DLPack version {managed->Major}.{managed->Minor} is not known; {SupportedMajor}.x is.");
        }

        if ((managed->Flags & ReadOnlyFlag) != 0)
        {
            throw new TensorException(TensorError.ReadOnly, "The DLPack tensor is read only, and rescaling writes in place.");
        }

        return Of(managed->Tensor);
    }

    private static TensorView Of(in Tensor tensor)
    {
        var dimensions = tensor.Dimensions;
        if (dimensions is < 0 or > MostDimensions || (dimensions > 0 && tensor.Shape == null))
        {
            throw new TensorException(TensorError.WrongShape, $"The DLPack tensor has {dimensions} dimensions and its shape at 0x{(nint)tensor.Shape:x}.");
        }

        var type = (tensor.Code, tensor.Bits, tensor.Lanes) switch
        {
            (TypeCode.Float, 32, 1) => ElementType.Float32,
            (TypeCode.Float, 64, 1) => ElementType.Float64,
            (TypeCode.Float, 16, 1) => ElementType.Float16,
            (TypeCode.BFloat, 16, 1) => ElementType.BFloat16,
            _ => throw new TensorException(
                TensorError.WrongType,
                $"The DLPack tensor has elements of code {(int)tensor.Code}, {tensor.Bits} bits, {tensor.Lanes} lanes; float32, float64, float16 and bfloat16 are known."),
        };

        // Memory of the host that a GPU reaches is used as the host's.
        var device = tensor.DeviceType switch
        {
            DeviceType.Cpu or DeviceType.CudaHost => TensorDevice.Cpu,
            DeviceType.Cuda or DeviceType.CudaManaged => TensorDevice.Cuda(tensor.DeviceId),
            _ => throw new TensorException(
                TensorError.WrongDevice, $"The DLPack tensor is on a device of type {(int)tensor.DeviceType}; the CPU (1, 3) and CUDA (2, 13) are known."),
        };
        var shape = new ReadOnlySpan<long>(tensor.Shape, dimensions).ToArray();
        if (shape.FirstOrDefault(n => n < 0) is var negative and < 0)
        {
            throw new TensorException(TensorError.WrongShape, $"The DLPack tensor has an extent of {negative}.");
        }

        if (tensor.ByteOffset > long.MaxValue - (ulong)Math.Max(0, (long)tensor.Data))
        {
            throw new TensorException(TensorError.WrongShape, $"The DLPack tensor begins {tensor.ByteOffset} bytes behind its data.");
        }

        var isEmpty = tensor.Data == 0 || shape.Contains(0);
        return new TensorView(isEmpty ? tensor.Data : tensor.Data + (nint)tensor.ByteOffset, type, shape)
        {
            Strides = tensor.Strides == null ? null : new ReadOnlySpan<long>(tensor.Strides, dimensions).ToArray(),
            Device = device,
        };
    }

    private static void RequireAddress(nint address, string what)
    {
        if (address == 0)
        {
            throw new TensorException(TensorError.NotBound, $"The address of the {what} is null; was the capsule consumed already?");
        }
    }

    private enum DeviceType
    {
        Cpu = 1,
        Cuda = 2,
        CudaHost = 3,
        CudaManaged = 13,
    }

    private enum TypeCode : byte
    {
        Float = 2,
        BFloat = 4,
    }

    // DLTensor of dlpack.h.
    [StructLayout(LayoutKind.Sequential)]
    private struct Tensor
    {
        public nint Data;
        public DeviceType DeviceType;
        public int DeviceId;
        public int Dimensions;
        public TypeCode Code;
        public byte Bits;
        public ushort Lanes;
        public long* Shape;
        public long* Strides;
        public ulong ByteOffset;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct ManagedTensor
    {
        public Tensor Tensor;
        public nint Context;
        public nint Deleter;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct VersionedTensor
    {
        public uint Major;
        public uint Minor;
        public nint Context;
        public nint Deleter;
        public ulong Flags;
        public Tensor Tensor;
    }
}
