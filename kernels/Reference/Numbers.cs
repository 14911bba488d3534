// Signatures only, see Indices.cs. This file: half precision and the reinterpretation of bits.
namespace ILGPU;

// The field gives the type its two bytes.
public readonly struct Half
{
    internal ushort RawValue { get; }

    public static implicit operator float(Half halfValue) => throw Stub.NotRunnable;

    public static implicit operator double(Half halfValue) => throw Stub.NotRunnable;

    public static explicit operator Half(float floatValue) => throw Stub.NotRunnable;

    public static explicit operator Half(double doubleValue) => throw Stub.NotRunnable;
}

public static class Interop
{
    public static int SizeOf<T>()
        where T : unmanaged => throw Stub.NotRunnable;

    public static ushort FloatAsInt(Half value) => throw Stub.NotRunnable;

    public static uint FloatAsInt(float value) => throw Stub.NotRunnable;

    public static ulong FloatAsInt(double value) => throw Stub.NotRunnable;

    public static Half IntAsFloat(ushort value) => throw Stub.NotRunnable;

    public static float IntAsFloat(uint value) => throw Stub.NotRunnable;

    public static double IntAsFloat(ulong value) => throw Stub.NotRunnable;
}
