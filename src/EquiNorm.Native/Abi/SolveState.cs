namespace EquiNorm.Native.Abi;

/// <summary>en_solve_state.</summary>
internal static class SolveState
{
    public const int Converged = 0;
    public const int SweepLimit = 1;
    public const int Stalled = 2;
}
