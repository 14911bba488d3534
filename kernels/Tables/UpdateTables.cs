using System.Runtime.InteropServices;

namespace EquiNorm.Gpu.Tables;

/// <summary>Consecutive channels of one free group, updated by one group of threads.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct UpdateChunk
{
    /// <summary>First channel among all channels of the network.</summary>
    public int FirstChannel;

    /// <summary>Number of channels.</summary>
    public int Count;

    /// <summary>Index of the channel group.</summary>
    public int Group;

    /// <summary>First of the chunk's sources in the table of terms.</summary>
    public int Sources;

    /// <summary>Number of sources.</summary>
    public int SourceCount;

    /// <summary>First of the chunk's sinks in the table of terms (for a pair: of the group behind the depthwise weight).</summary>
    public int Sinks;

    /// <summary>Number of sinks.</summary>
    public int SinkCount;

    /// <summary>The group behind a depthwise weight that is updated together with this one, or -1.</summary>
    public int Behind;

    /// <summary>First channel of the group behind that belongs to this chunk.</summary>
    public int BehindChannel;

    /// <summary>Index of the energies of the depthwise weight for the first channel.</summary>
    public int Energies;

    /// <summary>Index of the depthwise weight in the plan.</summary>
    public int Depthwise;

    /// <summary>Where the chunk's residual and range go.</summary>
    public int Index;

    /// <summary>The one group on the other side of all sources, or -1 if there are several.</summary>
    public int SourceGroup;

    /// <summary>The one group on the other side of all sinks, or -1 if there are several.</summary>
    public int SinkGroup;
}

/// <summary>A vector of sums that contributes to a chunk's channels, in parts that are added in order.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct SumTerm
{
    /// <summary>The channel of position 0; the channel of position i is this + i, unless there is a map.</summary>
    public int FirstChannel;

    /// <summary>Number of positions.</summary>
    public int Count;

    /// <summary>Index of the chunk's first channel in the table of positions, or -1: one position for each channel, -1 for none.</summary>
    public int Positions;

    /// <summary>Index of the first part's first sum.</summary>
    public int Sums;

    /// <summary>Sums from part to part.</summary>
    public int PartStride;

    /// <summary>Number of parts.</summary>
    public int Parts;

    /// <summary>The group on the other axis of the block, whose reference scales the sums; -1 for none.</summary>
    public int FarGroup;

    /// <summary>Index of the weight in the plan.</summary>
    public int Weight;
}

/// <summary>What the update of a chunk reports.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct ChunkReport
{
    /// <summary>The largest |log(a/b)| / p before the update.</summary>
    public double Residual;

    /// <summary>The smallest v after the update, or +infinity if nothing in the chunk moves.</summary>
    public double Lowest;

    /// <summary>The largest v after the update, or -infinity.</summary>
    public double Highest;
}

/// <summary>A term N exp(p (s_out - s_in)) of the coarse problem: the norm of one block.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct CoarseTerm
{
    /// <summary>First of the block's tiles among all norms.</summary>
    public int Tiles;

    /// <summary>Number of tiles.</summary>
    public int TileCount;

    /// <summary>Index of the weight in the plan.</summary>
    public int Weight;

    /// <summary>Group on the output axis.</summary>
    public int OutputGroup;

    /// <summary>Group on the input axis.</summary>
    public int InputGroup;

    /// <summary>Unknown on the output axis, or -1 for a pinned group.</summary>
    public int Output;

    /// <summary>Unknown on the input axis, or -1.</summary>
    public int Input;

    /// <summary>Unused.</summary>
    public int Reserved;
}
