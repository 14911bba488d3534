// Software prefetch. The hardware follows a stream only inside a 4 KB page and only after a few misses, while the kernels
// walk tiles in runs of a few pages; asking for a line well ahead covers the beginnings of the runs.
// A prefetch never faults, so addresses past the end of a tensor are harmless.

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace EquiNorm.Backends.Cpu;

internal static unsafe class Prefetch
{
    /// <summary>How far ahead a sequential loop asks, in bytes.</summary>
    public const int Distance = 2048;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Line(byte* address)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(address);
        }
    }
}
