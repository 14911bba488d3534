namespace EquiNorm.Native.Abi;

/// <summary>en_solve_result.</summary>
internal struct SolveResultStruct
{
    public uint Size;
    public int State;
    public double Sweeps;
    public double ObjectiveBefore;
    public double Objective;
    public double Residual;
    public double GapBound;
    public long FrozenChannels;
}
