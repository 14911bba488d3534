using EquiNorm.Model;

namespace EquiNorm.Description;

/// <summary>Storage types as a description names them.</summary>
internal static class ElementTypeWords
{
    /// <summary>Reads a name.</summary>
    public static ElementType Read(JsonPlace place) => place.Word(
        ("float32", ElementType.Float32), ("float64", ElementType.Float64), ("float16", ElementType.Float16), ("bfloat16", ElementType.BFloat16));

    /// <summary>The name of a type.</summary>
    public static string Of(ElementType type) => type switch
    {
        ElementType.Float32 => "float32",
        ElementType.Float64 => "float64",
        ElementType.Float16 => "float16",
        _ => "bfloat16",
    };
}
