// The kernels' arguments from the parameter blocks, field by field: an address and a length become a view.
using EquiNorm.Gpu.Kernels;

namespace EquiNorm.Gpu.Ilgpu;

/// <summary>Makes arguments as the kernels declare them.</summary>
internal static class Arguments
{
    public static SumArguments<TScalar, TQuad> Sum<TScalar, TQuad>(in SumParameters p, AddressSpace space)
        where TScalar : unmanaged
        where TQuad : unmanaged => new()
        {
            Tiles = space.View(p.Tiles),
            Elements = space.Everywhere<TScalar>(p.Elements),
            Quads = space.Everywhere<TQuad>(p.Quads),
            Channels = space.View(p.Channels),
            OutputFactors = space.View(p.OutputFactors),
            InputFactors = space.View(p.InputFactors),
            Scales = space.View(p.Scales),
            Energies = space.View(p.Energies),
            Sums = space.View(p.Sums),
            Norms = space.View(p.Norms),
            SelfEnergies = space.View(p.SelfEnergies),
            Condition = space.View(p.Condition),
            Reset = space.View(p.Reset),
            Exponent = p.Exponent,
            FactorStride = p.FactorStride,
            SumStride = p.SumStride,
            NormStride = p.NormStride,
            TileCount = p.TileCount,
        };

    public static ScaleArguments<TScalar, TQuad> Scale<TScalar, TQuad>(in ScaleParameters p, AddressSpace space)
        where TScalar : unmanaged
        where TQuad : unmanaged => new()
        {
            Tiles = space.View(p.Tiles),
            Elements = space.Everywhere<TScalar>(p.Elements),
            Quads = space.Everywhere<TQuad>(p.Quads),
            Channels = space.View(p.Channels),
            OutputFactors = space.View(p.OutputFactors),
            InputFactors = space.View(p.InputFactors),
            Counts = space.View(p.Counts),
            Status = space.View(p.Status),
        };

    public static LargestArguments<TScalar> Largest<TScalar>(in LargestParameters p, AddressSpace space)
        where TScalar : unmanaged => new()
        {
            Tiles = space.View(p.Tiles),
            Elements = space.Everywhere<TScalar>(p.Elements),
            Results = space.View(p.Results),
        };

    public static UpdateArguments Update(in UpdateParameters p, AddressSpace space) => new()
    {
        Chunks = space.View(p.Chunks),
        Sums = Sums(p.Sums, space),
        Energies = space.View(p.Energies),
        Logs = space.View(p.Logs),
        OutputFactors = space.View(p.OutputFactors),
        InputFactors = space.View(p.InputFactors),
        Live = space.View(p.Live),
        Gains = space.View(p.Gains),
        InverseGains = space.View(p.InverseGains),
        Totals = space.View(p.Totals),
        Reports = space.View(p.Reports),
        Status = space.View(p.Status),
        Steep = space.View(p.Steep),
        Norm = p.Norm,
        LargestLogFactor = p.LargestLogFactor,
        Limit = p.Limit,
        Damping = p.Damping,
        Updates = p.Updates,
        ChannelCount = p.ChannelCount,
        Limited = p.Limited,
    };

    public static DeadArguments Dead(in DeadParameters p, AddressSpace space) => new()
    {
        Chunks = space.View(p.Chunks),
        Sums = Sums(p.Sums, space),
        OutputFactors = space.View(p.OutputFactors),
        InputFactors = space.View(p.InputFactors),
        Live = space.View(p.Live),
        Totals = space.View(p.Totals),
        Condition = space.View(p.Condition),
        FactorStride = p.FactorStride,
    };

    public static CoarseArguments Coarse(in CoarseParameters p, AddressSpace space) => new()
    {
        Terms = space.View(p.Terms),
        Norms = space.View(p.Norms),
        Condition = space.View(p.Condition),
        LogScales = space.View(p.LogScales),
        SelfEnergies = space.View(p.SelfEnergies),
        References = space.View(p.References),
        Groups = space.View(p.Groups),
        IncidentStarts = space.View(p.IncidentStarts),
        Incidents = space.View(p.Incidents),
        Diagonals = space.View(p.Diagonals),
        FirstColumns = space.View(p.FirstColumns),
        Matrix = space.View(p.Matrix),
        LogNorms = space.View(p.LogNorms),
        Report = space.View(p.Report),
        Status = space.View(p.Status),
        Norm = p.Norm,
        NormStride = p.NormStride,
        Unknowns = p.Unknowns,
        TermCount = p.TermCount,
    };

    private static ChannelSums Sums(in ChannelSumParameters p, AddressSpace space) => new()
    {
        Terms = space.View(p.Terms),
        Positions = space.View(p.Positions),
        Sums = space.View(p.Sums),
        LogScales = space.View(p.LogScales),
        References = space.View(p.References),
        Condition = space.View(p.Condition),
        TakesLargest = p.TakesLargest,
    };
}
