namespace EquiNorm.Onnx.Rescaling;

/// <summary>Conversion of one stored element to float64 and back, rounded once to nearest even.</summary>
internal interface IStorage<T>
    where T : unmanaged
{
    static abstract double Read(T stored);

    static abstract T Write(double value);
}

internal readonly struct Float32Storage : IStorage<float>
{
    public static double Read(float stored) => stored;

    public static float Write(double value) => (float)value;
}

internal readonly struct Float64Storage : IStorage<double>
{
    public static double Read(double stored) => stored;

    public static double Write(double value) => value;
}

internal readonly struct Float16Storage : IStorage<Half>
{
    public static double Read(Half stored) => (double)stored;

    public static Half Write(double value) => (Half)value;
}

/// <summary>The upper half of a binary32.</summary>
internal readonly struct BFloat16Storage : IStorage<ushort>
{
    public static double Read(ushort stored) => BitConverter.UInt32BitsToSingle((uint)stored << 16);

    public static ushort Write(double value)
    {
        float single = (float)value;
        uint bits = BitConverter.SingleToUInt32Bits(single);
        if (float.IsNaN(single))
        {
            return (ushort)(bits >> 16 | 0x40);
        }

        // Round to odd first: the second rounding then sees on which side of a tie the float64 was.
        if (single != value && (bits & 1) == 0 && float.IsFinite(single))
        {
            bits += Math.Abs((double)single) > Math.Abs(value) ? uint.MaxValue : 1;
        }

        return (ushort)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
    }
}
