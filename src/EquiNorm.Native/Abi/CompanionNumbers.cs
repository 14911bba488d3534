using EquiNorm.Model;
using EquiNorm.Native.Failures;

namespace EquiNorm.Native.Abi;

/// <summary>en_companion.</summary>
internal static class CompanionNumbers
{
    public const int Copy = 0;
    public const int FirstMoment = 1;
    public const int SecondMoment = 2;

    /// <summary>The kind of a number.</summary>
    public static CompanionKind Read(int kind) => kind switch
    {
        Copy => CompanionKind.Copy,
        FirstMoment => CompanionKind.FirstMoment,
        SecondMoment => CompanionKind.SecondMoment,
        _ => throw NativeException.Argument($"{kind} is no kind of companion (en_companion)."),
    };
}
