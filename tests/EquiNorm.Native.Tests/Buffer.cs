// A tensor as a C program has one: memory that does not move, a shape, strides if they are needed.
using System.Runtime.CompilerServices;
using EquiNorm.Native.Abi;
using EquiNorm.Native.Failures;

namespace EquiNorm.Native.Tests;

internal sealed unsafe class Buffer<T>
    where T : unmanaged
{
    private readonly long[] _shape;
    private readonly long[]? _strides;

    public Buffer(int type, T[] elements, long[] shape, long[]? strides = null)
    {
        Type = type;
        Elements = GC.AllocateArray<T>(elements.Length, pinned: true);
        elements.CopyTo(Elements, 0);
        _shape = Pinned(shape);
        _strides = strides is null ? null : Pinned(strides);
    }

    public T[] Elements { get; }

    public int Type { get; }

    public TensorStruct Tensor => new()
    {
        Size = (uint)sizeof(TensorStruct),
        Type = Type,
        DeviceKind = DeviceKinds.Cpu,
        Data = Unsafe.AsPointer(ref Elements[0]),
        Dimensions = _shape.Length,
        Shape = (long*)Unsafe.AsPointer(ref _shape[0]),
        Strides = _strides is null ? null : (long*)Unsafe.AsPointer(ref _strides[0]),
    };

    public Status Bind(nint session, string name) => Bind(session, name, Tensor);

    public Status BindCompanion(nint session, string name, int kind, int slot = 0)
    {
        var tensor = Tensor;
        fixed (byte* text = C.Name(name))
        {
            return C.BindCompanion(session, text, kind, slot, &tensor);
        }
    }

    public static Status Bind(nint session, string name, TensorStruct tensor)
    {
        fixed (byte* text = C.Name(name))
        {
            return C.Bind(session, text, &tensor);
        }
    }

    private static long[] Pinned(long[] numbers)
    {
        var pinned = GC.AllocateArray<long>(numbers.Length, pinned: true);
        numbers.CopyTo(pinned, 0);
        return pinned;
    }
}
