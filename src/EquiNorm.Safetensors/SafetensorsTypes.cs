using EquiNorm.Model;

namespace EquiNorm.Safetensors;

// The element types of the format by their names, and the bits of one element. Four of them can be rescaled; the others are carried through.

/// <summary>What the reader must know of an element type.</summary>
internal static class SafetensorsTypes
{
    /// <summary>Bits of one element; 0 for a name that the format does not have.</summary>
    public static int Bits(string type) => type switch
    {
        "F64" or "I64" or "U64" or "C64" => 64,
        "F32" or "I32" or "U32" => 32,
        "F16" or "BF16" or "I16" or "U16" => 16,
        "BOOL" or "U8" or "I8" or "F8_E5M2" or "F8_E4M3" or "F8_E8M0" or "F8_E4M3FNUZ" or "F8_E5M2FNUZ" => 8,
        "F6_E2M3" or "F6_E3M2" => 6,
        "F4" => 4,
        _ => 0,
    };

    /// <summary>The core's name for the type, or null if it is none that can be rescaled.</summary>
    public static ElementType? ElementType(string type) => type switch
    {
        "F64" => Model.ElementType.Float64,
        "F32" => Model.ElementType.Float32,
        "F16" => Model.ElementType.Float16,
        "BF16" => Model.ElementType.BFloat16,
        _ => null,
    };

    /// <summary>The format's name for a type of the core.</summary>
    public static string Name(ElementType type) => type switch
    {
        Model.ElementType.Float64 => "F64",
        Model.ElementType.Float32 => "F32",
        Model.ElementType.Float16 => "F16",
        _ => "BF16",
    };
}
