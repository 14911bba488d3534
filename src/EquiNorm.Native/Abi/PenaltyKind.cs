namespace EquiNorm.Native.Abi;

/// <summary>en_penalty.</summary>
internal static class PenaltyKind
{
    public const int Uniform = 0;
    public const int Size = 1;
    public const int Depth = 2;
}
