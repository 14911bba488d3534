using EquiNorm.Model;
using EquiNorm.Native.Failures;

namespace EquiNorm.Native.Abi;

/// <summary>en_type.</summary>
internal static class TypeNumbers
{
    public const int Float32 = 0;
    public const int Float64 = 1;
    public const int Float16 = 2;
    public const int BFloat16 = 3;

    /// <summary>The type of a number.</summary>
    public static ElementType Read(int type) => type switch
    {
        Float32 => ElementType.Float32,
        Float64 => ElementType.Float64,
        Float16 => ElementType.Float16,
        BFloat16 => ElementType.BFloat16,
        _ => throw NativeException.Argument($"{type} is no element type (en_type)."),
    };
}
