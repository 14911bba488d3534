using System.Buffers.Binary;

namespace EquiNorm.Fuzz;

/// <summary>Changes that know nothing of a format: bits, runs, truncation, splices, extreme numbers.</summary>
internal static class ByteMutations
{
    private static readonly ulong[] Extremes =
    [
        0, 1, 2, 7, 8, 127, 128, 255, 256, 65535, 65536, 99_999_999, 100_000_000, 100_000_001, int.MaxValue, 1UL << 31, uint.MaxValue, 1UL << 32, (1UL << 40) + 1,
        long.MaxValue / 8, long.MaxValue - 8, long.MaxValue, 1UL << 63, ulong.MaxValue - 7, ulong.MaxValue,
    ];

    /// <summary>A number that readers stumble over.</summary>
    public static ulong Extreme(Random random) => Extremes[random.Next(Extremes.Length)];

    /// <summary>One change.</summary>
    public static byte[] Once(byte[] source, byte[] other, Random random)
    {
        if (source.Length == 0)
        {
            return other;
        }

        int at = random.Next(source.Length), count = Math.Min(random.Next(1, 1 + random.Next(1, 64)), source.Length - at);
        byte[] copy = [.. source];
        switch (random.Next(8))
        {
            case 0:
                copy[at] ^= (byte)(1 << random.Next(8));
                return copy;
            case 1:
                copy[at] = (byte)random.Next(256);
                return copy;
            case 2:
                return copy[..at];
            case 3:
                return [.. copy[..at], .. copy[(at + count)..]];
            case 4:
                return [.. copy[..(at + count)], .. copy[at..]];
            case 5 when source.Length >= 8:
                BinaryPrimitives.WriteUInt64LittleEndian(copy.AsSpan(Math.Min(at, source.Length - 8)), Extreme(random));
                return copy;
            case 6 when other.Length > 0:
                int from = random.Next(other.Length), length = Math.Min(random.Next(1, 256), other.Length - from);
                return [.. copy[..at], .. other[from..(from + length)], .. copy[at..]];
            default:
                copy.AsSpan(at, count).Fill((byte)(random.Next(2) * 255));
                return copy;
        }
    }
}
