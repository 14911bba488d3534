// Scratch on the stack is aligned to 16 bytes only; a 64-byte vector there would straddle two cache lines in three cases
// out of four, and each such load or store costs two.

namespace EquiNorm.Backends.Cpu;

internal static unsafe class CacheLine
{
    public const int Bytes = 64;

    /// <summary>The first cache line at or after an address; reserve <see cref="Bytes"/> more than needed.</summary>
    public static byte* Align(byte* address) => (byte*)(((nuint)address + (Bytes - 1)) & ~(nuint)(Bytes - 1));
}
