// The kernels' parameter blocks, field by field as kernels/Grid declares them. A test compares their layouts.
using System.Runtime.InteropServices;
using EquiNorm.Gpu.Tables;

namespace EquiNorm.Gpu;

/// <summary>Parameters of the fused pass.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct SumParameters
{
    public DeviceView<SumTile> Tiles;
    public DeviceView<byte> Elements;
    public DeviceView<byte> Quads;
    public DeviceView<int> Channels;
    public DeviceView<double> OutputFactors;
    public DeviceView<double> InputFactors;
    public DeviceView<double> Scales;
    public DeviceView<double> Energies;
    public DeviceView<double> Sums;
    public DeviceView<double> Norms;
    public DeviceView<double> SelfEnergies;
    public DeviceView<int> Condition;
    public DeviceView<long> Reset;
    public double Exponent;
    public int FactorStride;
    public int SumStride;
    public int NormStride;
    public int TileCount;
}

/// <summary>Sums over the weights that meet a channel; part of other blocks.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ChannelSumParameters
{
    public DeviceView<SumTerm> Terms;
    public DeviceView<int> Positions;
    public DeviceView<double> Sums;
    public DeviceView<double> LogScales;
    public DeviceView<double> References;
    public DeviceView<int> Condition;
    public int TakesLargest;
    public int Reserved;
}

/// <summary>Parameters of the closed-form update.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct UpdateParameters
{
    public DeviceView<UpdateChunk> Chunks;
    public ChannelSumParameters Sums;
    public DeviceView<double> Energies;
    public DeviceView<double> Logs;
    public DeviceView<double> OutputFactors;
    public DeviceView<double> InputFactors;
    public DeviceView<int> Live;
    public DeviceView<double> Gains;
    public DeviceView<double> InverseGains;
    public DeviceView<double> Totals;
    public DeviceView<ChunkReport> Reports;
    public DeviceView<int> Status;
    public DeviceView<int> Steep;
    public double Norm;
    public double LargestLogFactor;
    public double Limit;
    public double Damping;
    public int Updates;
    public int ChannelCount;
    public int Limited;
    public int Reserved;
}

/// <summary>Parameters of the search for dead channels.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct DeadParameters
{
    public DeviceView<UpdateChunk> Chunks;
    public ChannelSumParameters Sums;
    public DeviceView<double> OutputFactors;
    public DeviceView<double> InputFactors;
    public DeviceView<int> Live;
    public DeviceView<double> Totals;
    public DeviceView<int> Condition;
    public int FactorStride;
    public int Reserved;
}

/// <summary>Parameters of the coarse correction.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct CoarseParameters
{
    public DeviceView<CoarseTerm> Terms;
    public DeviceView<double> Norms;
    public DeviceView<int> Condition;
    public DeviceView<double> LogScales;
    public DeviceView<double> SelfEnergies;
    public DeviceView<double> References;
    public DeviceView<int> Groups;
    public DeviceView<int> IncidentStarts;
    public DeviceView<int> Incidents;
    public DeviceView<int> Diagonals;
    public DeviceView<int> FirstColumns;
    public DeviceView<double> Matrix;
    public DeviceView<double> LogNorms;
    public DeviceView<double> Report;
    public DeviceView<int> Status;
    public double Norm;
    public int NormStride;
    public int Unknowns;
    public int TermCount;
    public int Reserved;
}

/// <summary>Parameters of scaling.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ScaleParameters
{
    public DeviceView<ScaleTile> Tiles;
    public DeviceView<byte> Elements;
    public DeviceView<byte> Quads;
    public DeviceView<int> Channels;
    public DeviceView<double> OutputFactors;
    public DeviceView<double> InputFactors;
    public DeviceView<ScaleCounts> Counts;
    public DeviceView<int> Status;
}

/// <summary>Parameters of the search for the largest magnitude.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct LargestParameters
{
    public DeviceView<SumTile> Tiles;
    public DeviceView<byte> Elements;
    public DeviceView<double> Results;
}
