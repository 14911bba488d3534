// Signatures only: the slice of ILGPU 1.5.3 that EquiNorm.Gpu's kernels use, so that they compile where no package source has ILGPU.
// Written for this project from ILGPU's public API; it contains none of ILGPU's code. Nothing runs on it: every body throws.
// A test compares each public signature here with the real package where that is available. Declare more only when a kernel needs it.
// This file: one-dimensional indices, and the three-dimensional one that Grid and Group return.
namespace ILGPU;

public readonly struct Index1D
{
    public Index1D(int x) => throw Stub.NotRunnable;

    public int X => throw Stub.NotRunnable;

    public static implicit operator int(Index1D idx) => throw Stub.NotRunnable;

    public static implicit operator Index1D(int idx) => throw Stub.NotRunnable;

    public static implicit operator LongIndex1D(Index1D index) => throw Stub.NotRunnable;
}

public readonly struct LongIndex1D
{
    public LongIndex1D(long x) => throw Stub.NotRunnable;

    public long X => throw Stub.NotRunnable;

    public static implicit operator long(LongIndex1D idx) => throw Stub.NotRunnable;

    public static implicit operator LongIndex1D(long idx) => throw Stub.NotRunnable;

    public static explicit operator Index1D(LongIndex1D index) => throw Stub.NotRunnable;
}

public readonly struct Index3D
{
    public Index3D(int x, int y, int z) => throw Stub.NotRunnable;

    public int X => throw Stub.NotRunnable;

    public int Y => throw Stub.NotRunnable;

    public int Z => throw Stub.NotRunnable;
}
