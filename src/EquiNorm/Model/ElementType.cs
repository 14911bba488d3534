namespace EquiNorm.Model;

/// <summary>How one element of a tensor is stored. All arithmetic on elements is done in float64.</summary>
public enum ElementType
{
    /// <summary>IEEE 754 binary32, 4 bytes.</summary>
    Float32,

    /// <summary>IEEE 754 binary64, 8 bytes.</summary>
    Float64,

    /// <summary>IEEE 754 binary16, 2 bytes.</summary>
    Float16,

    /// <summary>The upper half of a binary32, 2 bytes.</summary>
    BFloat16,
}

/// <summary>Sizes and precisions of <see cref="ElementType"/>.</summary>
public static class ElementTypes
{
    /// <summary>Bytes of one element.</summary>
    public static int ByteSize(this ElementType type) => type switch
    {
        ElementType.Float32 => 4,
        ElementType.Float64 => 8,
        ElementType.Float16 or ElementType.BFloat16 => 2,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Unknown element type."),
    };

    /// <summary>The largest relative error of rounding a normal number to this type (half a unit in the last place).</summary>
    public static double UnitRoundoff(this ElementType type) => type switch
    {
        ElementType.Float32 => 1.0 / (1 << 24),
        ElementType.Float64 => 1.0 / (1L << 53),
        ElementType.Float16 => 1.0 / (1 << 11),
        ElementType.BFloat16 => 1.0 / (1 << 8),
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Unknown element type."),
    };
}
