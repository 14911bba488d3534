using System.Runtime.InteropServices;

namespace EquiNorm.Testing;

/// <summary>Memory of the host outside the managed heap, aligned to 256 bytes.</summary>
public sealed unsafe class AlignedBytes : IDisposable
{
    private readonly byte* _bytes;
    private readonly long _count;

    public AlignedBytes(long count)
    {
        _count = count;
        _bytes = (byte*)NativeMemory.AlignedAlloc((nuint)Math.Max(1, count), 256);
    }

    public nint Address => (nint)_bytes;

    public void Fill(byte value) => NativeMemory.Fill(_bytes, (nuint)_count, value);

    public long CountOtherThan(byte value)
    {
        long count = 0;
        for (long n = 0; n < _count; n++)
        {
            count += _bytes[n] != value ? 1 : 0;
        }

        return count;
    }

    public void Dispose() => NativeMemory.AlignedFree(_bytes);
}
