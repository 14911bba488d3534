using System.Globalization;

namespace EquiNorm.PtxMachine;

/// <summary>Literals: integers in four bases, 0f and 0d with the bits of a float or double, decimal fractions.</summary>
internal static class Literals
{
    public static bool TryInteger(string text, out ulong value)
    {
        text = text.TrimEnd('U', 'u');
        if (text.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
            return ulong.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out value);

        if (text.StartsWith("0b", StringComparison.OrdinalIgnoreCase))
            return ulong.TryParse(text.AsSpan(2), NumberStyles.AllowBinarySpecifier, CultureInfo.InvariantCulture, out value);

        if (text.Length > 1 && text[0] == '0' && text.All(char.IsAsciiDigit))
        {
            value = Convert.ToUInt64(text, 8);
            return true;
        }

        return ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);
    }

    /// <summary>The bits of a literal in an instruction of this type, or null where the text is no literal.</summary>
    public static ulong? Bits(string text, bool negative, string type)
    {
        if (TryInteger(text, out var integer))
        {
            var signed = negative ? 0 - integer : integer;
            return type switch
            {
                "f32" => text.StartsWith("0x", StringComparison.OrdinalIgnoreCase) ? signed : Of((float)(long)signed),
                "f64" => text.StartsWith("0x", StringComparison.OrdinalIgnoreCase) ? signed : Of((double)(long)signed),
                _ => signed,
            };
        }

        double value;
        if (text.StartsWith("0f", StringComparison.OrdinalIgnoreCase) && text.Length == 10)
        {
            var bits = uint.Parse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
            if (negative)
                bits ^= 0x80000000;

            if (type != "f64")
                return bits;

            value = BitConverter.UInt32BitsToSingle(bits);
            return Of(value);
        }

        if (text.StartsWith("0d", StringComparison.OrdinalIgnoreCase) && text.Length == 18)
        {
            var bits = ulong.Parse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
            if (negative)
                bits ^= 1UL << 63;

            return type == "f32" ? Of((float)BitConverter.UInt64BitsToDouble(bits)) : bits;
        }

        if (!double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out value))
            return null;

        value = negative ? -value : value;
        return type switch
        {
            "f32" => Of((float)value),
            "f64" => Of(value),
            _ => null,
        };
    }

    private static ulong Of(float value) => BitConverter.SingleToUInt32Bits(value);

    private static ulong Of(double value) => BitConverter.DoubleToUInt64Bits(value);
}
