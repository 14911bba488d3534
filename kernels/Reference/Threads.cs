// Signatures only, see Indices.cs. This file: where a thread is, and how threads of a warp and of a group talk to one another.
namespace ILGPU;

public static class Grid
{
    public static int IdxX => throw Stub.NotRunnable;

    public static int IdxY => throw Stub.NotRunnable;

    public static int IdxZ => throw Stub.NotRunnable;

    public static Index3D Index => throw Stub.NotRunnable;

    public static int DimX => throw Stub.NotRunnable;

    public static int DimY => throw Stub.NotRunnable;

    public static int DimZ => throw Stub.NotRunnable;

    public static Index3D Dimension => throw Stub.NotRunnable;
}

public static class Group
{
    public static int IdxX => throw Stub.NotRunnable;

    public static int IdxY => throw Stub.NotRunnable;

    public static int IdxZ => throw Stub.NotRunnable;

    public static Index3D Index => throw Stub.NotRunnable;

    public static int DimX => throw Stub.NotRunnable;

    public static int DimY => throw Stub.NotRunnable;

    public static int DimZ => throw Stub.NotRunnable;

    public static Index3D Dimension => throw Stub.NotRunnable;

    public static bool IsFirstThread => throw Stub.NotRunnable;

    public static void Barrier() => throw Stub.NotRunnable;

    public static bool BarrierAnd(bool predicate) => throw Stub.NotRunnable;

    public static bool BarrierOr(bool predicate) => throw Stub.NotRunnable;

    public static T Broadcast<T>(T value, int groupIndex)
        where T : unmanaged => throw Stub.NotRunnable;
}

public static class Warp
{
    public static int WarpSize => throw Stub.NotRunnable;

    public static int LaneIdx => throw Stub.NotRunnable;

    public static int WarpIdx => throw Stub.NotRunnable;

    public static bool IsFirstLane => throw Stub.NotRunnable;

    public static void Barrier() => throw Stub.NotRunnable;

    public static T Shuffle<T>(T variable, int sourceLane)
        where T : unmanaged => throw Stub.NotRunnable;

    public static T ShuffleDown<T>(T variable, int delta)
        where T : unmanaged => throw Stub.NotRunnable;

    public static T ShuffleUp<T>(T variable, int delta)
        where T : unmanaged => throw Stub.NotRunnable;

    public static T ShuffleXor<T>(T variable, int mask)
        where T : unmanaged => throw Stub.NotRunnable;

    public static T Broadcast<T>(T value, int sourceLane)
        where T : unmanaged => throw Stub.NotRunnable;
}

public static class SharedMemory
{
    public static ref T Allocate<T>()
        where T : unmanaged => throw Stub.NotRunnable;

    public static ArrayView<T> Allocate<T>(int extent)
        where T : unmanaged => throw Stub.NotRunnable;

    public static ArrayView<T> GetDynamic<T>()
        where T : unmanaged => throw Stub.NotRunnable;
}

public static class Atomic
{
    public static int Max(ref int target, int value) => throw Stub.NotRunnable;
}

public static class MemoryFence
{
    public static void GroupLevel() => throw Stub.NotRunnable;

    public static void DeviceLevel() => throw Stub.NotRunnable;

    public static void SystemLevel() => throw Stub.NotRunnable;
}
