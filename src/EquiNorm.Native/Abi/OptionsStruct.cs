namespace EquiNorm.Native.Abi;

/// <summary>en_options.</summary>
internal struct OptionsStruct
{
    public uint Size;
    public int Penalty;
    public double P;
    public double C;
    public int CountBiases;
    public int CoarseCorrection;
    public int SweepsPerStep;
    public int Every;
    public int Threads;
    public int DeviceKind;
    public int DeviceIndex;
    public int Reserved;

    /// <summary>The defaults of version 1.</summary>
    public static OptionsStruct Default => new()
    {
        Penalty = PenaltyKind.Uniform,
        P = 2,
        C = 1,
        CoarseCorrection = 1,
        SweepsPerStep = 1,
        Every = 1,
        DeviceKind = DeviceKinds.Cpu,
    };
}
