// Native memory for kernel tests: the payload begins off every alignment and lies between two poisoned bands that must
// still be intact afterwards.

using System.Runtime.InteropServices;

using NUnit.Framework;

namespace EquiNorm.Tests.Backends.Cpu;

internal sealed unsafe class GuardedMemory : IDisposable
{
    private const int Band = 256;
    private const byte Poison = 0xA5;
    private readonly byte* _block;
    private readonly int _bytes;
    private readonly int _offset;

    /// <param name="bytes">Payload.</param>
    /// <param name="misalignment">Bytes past a 64-byte boundary at which the payload begins.</param>
    public GuardedMemory(int bytes, int misalignment)
    {
        _bytes = bytes;
        _offset = Band + misalignment;
        _block = (byte*)NativeMemory.AlignedAlloc((nuint)(bytes + _offset + Band), 64);
        new Span<byte>(_block, bytes + _offset + Band).Fill(Poison);
    }

    public byte* Data => _block + _offset;

    public double* Doubles => (double*)Data;

    public Span<byte> Bytes => new(Data, _bytes);

    public Span<double> AsDoubles => new(Data, _bytes / sizeof(double));

    public static GuardedMemory Of(ReadOnlySpan<double> values)
    {
        // Factors and sums are the backend's own arrays: aligned to their size, no further.
        var memory = new GuardedMemory(values.Length * sizeof(double), 8);
        values.CopyTo(memory.AsDoubles);
        return memory;
    }

    public void AssertBandsIntact()
    {
        var before = new ReadOnlySpan<byte>(_block, _offset);
        var after = new ReadOnlySpan<byte>(Data + _bytes, Band);
        Assert.That(before.ContainsAnyExcept(Poison) || after.ContainsAnyExcept(Poison), Is.False, "written outside the payload");
    }

    public void Dispose() => NativeMemory.AlignedFree(_block);
}
