using EquiNorm.Gpu.Tables;

namespace EquiNorm.Gpu;

/// <summary>Tuning values. They depend on shapes alone, never on the device: the cut decides the order of additions.</summary>
internal static class KernelPolicy
{
    /// <summary>Threads of a group: eight warps, of which each takes rows of its own.</summary>
    public const int GroupSize = TileLimits.GroupSize;

    /// <summary>Channels of a chunk, one for each thread.</summary>
    public const int ChunkChannels = 128;

    /// <summary>
    /// Bytes of a row of a tile. Each row of each tile has a partial sum of 8 bytes that is written and read once: 16 / 1024 = 1.6 % of
    /// one read of the weights, 0.5 % of the three that a step makes.
    /// </summary>
    public const int RowBytes = 1024;

    /// <summary>
    /// Fewest bytes in a column of a tile, with all kernel positions. Each has a partial sum as well: 16 / 512 = 3 % of one read, 1 % of
    /// a step. Fewer rows would cost more, more rows leave small networks too few tiles.
    /// </summary>
    public const int ColumnBytes = 512;

    /// <summary>Tiles to aim at in a whole network: several for each multiprocessor of the largest devices.</summary>
    public const int Tiles = 1024;

    /// <summary>Largest tile in bytes.</summary>
    public const int TileBytes = 512 * 1024;

    /// <summary>Most groups that the device corrects by itself.</summary>
    public const int DeviceCoarseGroups = TileLimits.GroupSize;

    /// <summary>How far the middle of a group's log factors may drift from its reference, as exp(p u) stays within 1e-28 .. 1e28.</summary>
    public const double RecentreBeyond = 64;

    /// <summary>Bytes of a tile that is scaled: reading and writing them takes some microseconds.</summary>
    public const int ScaleTileBytes = 64 * 1024;
}
