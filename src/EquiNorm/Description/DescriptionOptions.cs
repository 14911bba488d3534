using EquiNorm.Model;

namespace EquiNorm.Description;

/// <summary>What becomes of <see cref="Weight.OutputScale"/>, which a description cannot hold.</summary>
public enum OutputScaleHandling
{
    /// <summary>The network is refused: without the scale the optimum would be another one.</summary>
    Refuse,

    /// <summary>It is left out, for a reader who multiplies the stored weights by it.</summary>
    LeaveOut,
}

/// <summary>Options of <see cref="NetworkDescription.Write"/>.</summary>
public sealed record DescriptionOptions
{
    /// <summary>Output scales; refused by default.</summary>
    public OutputScaleHandling OutputScales { get; init; } = OutputScaleHandling.Refuse;

    /// <summary>
    /// Extents of the stored tensors, outermost first, by weight. A layout counts kernel positions only; with the extents known here,
    /// a 3 x 3 kernel is written as such. Extents that do not give the layout are not used.
    /// </summary>
    public IReadOnlyDictionary<string, IReadOnlyList<long>>? Shapes { get; init; }
}
