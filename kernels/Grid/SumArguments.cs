using EquiNorm.Gpu.Tables;
using ILGPU;

namespace EquiNorm.Gpu.Kernels;

/// <summary>What a pass over tiles reads and writes.</summary>
/// <typeparam name="TScalar">One element.</typeparam>
/// <typeparam name="TQuad">Four elements.</typeparam>
public struct SumArguments<TScalar, TQuad>
    where TScalar : unmanaged
    where TQuad : unmanaged
{
    /// <summary>The tiles; one group of threads for each.</summary>
    public ArrayView<SumTile> Tiles;

    /// <summary>All memory, by element.</summary>
    public ArrayView<TScalar> Elements;

    /// <summary>All memory, by four elements.</summary>
    public ArrayView<TQuad> Quads;

    /// <summary>The channel of each position of each axis; -1 for positions that belong to another segment.</summary>
    public ArrayView<int> Channels;

    /// <summary>Factor of each channel on output axes; empty if all are 1.</summary>
    public ArrayView<double> OutputFactors;

    /// <summary>Factor of each channel on input axes; empty if all are 1.</summary>
    public ArrayView<double> InputFactors;

    /// <summary>Output scales to the power p.</summary>
    public ArrayView<double> Scales;

    /// <summary>Receives energies, where a tile stores them.</summary>
    public ArrayView<double> Energies;

    /// <summary>Receives the sums of rows and columns, without the factors of the row or column itself.</summary>
    public ArrayView<double> Sums;

    /// <summary>Receives the norm of each tile: the sum of all energies with both factors.</summary>
    public ArrayView<double> Norms;

    /// <summary>Receives the energies between a channel and itself of each tile.</summary>
    public ArrayView<double> SelfEnergies;

    /// <summary>If not empty: run only if its word is not zero.</summary>
    public ArrayView<int> Condition;

    /// <summary>Words that become zero.</summary>
    public ArrayView<long> Reset;

    /// <summary>p.</summary>
    public double Exponent;

    /// <summary>Channels from one set of factors to the next. The grid holds all tiles once for each set.</summary>
    public int FactorStride;

    /// <summary>Sums from one set of results to the next.</summary>
    public int SumStride;

    /// <summary>Norms from one set of results to the next.</summary>
    public int NormStride;

    /// <summary>Number of tiles.</summary>
    public int TileCount;
}
