namespace EquiNorm.Onnx.Rescaling;

/// <summary>Rounding to bfloat16, the upper half of a binary32.</summary>
internal static class BFloat16
{
    /// <summary>The bits of the nearest bfloat16, ties to even.</summary>
    public static ushort Round(double value)
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
