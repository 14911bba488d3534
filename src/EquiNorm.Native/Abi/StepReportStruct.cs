namespace EquiNorm.Native.Abi;

/// <summary>en_step_report.</summary>
internal struct StepReportStruct
{
    public uint Size;
    public int Applied;
    public double ObjectiveBefore;
    public double Residual;
    public long FrozenChannels;
    public long Overflowed;
    public long Underflowed;

    /// <summary>Nothing was written.</summary>
    public static StepReportStruct Nothing => new() { ObjectiveBefore = double.NaN, Residual = double.NaN };
}
