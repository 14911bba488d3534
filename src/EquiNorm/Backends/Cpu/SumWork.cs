using EquiNorm.Plan;

namespace EquiNorm.Backends.Cpu;

/// <summary>Vectors of a sum or of a probe: what is summed with what, into where.</summary>
/// <param name="Factors">One factor per summed position, beginning with the segment's first.</param>
/// <param name="Sums">One sum per position of the axis.</param>
internal readonly unsafe record struct SumVectors(nint Factors, nint Sums)
{
    // Not public: a record would print it, and the native compiler does not take ToString of a pointer.
    internal double* FactorsAt => (double*)Factors;

    internal double* SumsAt => (double*)Sums;
}

/// <summary>Where the energies of a read come from.</summary>
internal enum EnergySource
{
    /// <summary>From the weight, and nowhere else.</summary>
    Weight,

    /// <summary>From the weight, and they are stored on the way.</summary>
    WeightAndStore,

    /// <summary>They were stored before.</summary>
    Store,
}

/// <summary>One read of (part of) a weight.</summary>
/// <param name="Weight">The weight.</param>
/// <param name="Grid">The tiles that are read.</param>
/// <param name="Start">First summed position: factors begin there.</param>
/// <param name="Axis">The axis on which <paramref name="First"/> and <paramref name="Second"/> live.</param>
/// <param name="First">The sum.</param>
/// <param name="Second">The probe, or nothing.</param>
/// <param name="Opposite">The sum on the input axis, where both are wanted.</param>
/// <param name="Source">Where the energies come from.</param>
/// <param name="IsUnit">Whether both sums are wanted, and all factors are 1.</param>
internal readonly record struct SumWork(
    CpuWeight Weight, TileGrid Grid, int Start, Axis Axis, SumVectors First, SumVectors Second, SumVectors Opposite, EnergySource Source,
    bool IsUnit = false)
{
    /// <summary>Sums that live on rows of the memory orientation.</summary>
    public (SumVectors First, SumVectors Second) RowVectors => Weight.Blocks.OuterAxis == Axis ? (First, Second) : (Opposite, default);

    /// <summary>Sums that live on columns of the memory orientation.</summary>
    public (SumVectors First, SumVectors Second) ColumnVectors => Weight.Blocks.OuterAxis == Axis ? (Opposite, default) : (First, Second);

    public bool CoversAllPositions => ReferenceEquals(Grid, Weight.Whole);
}
