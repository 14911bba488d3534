// Straightforward scalar float64 references for the CPU kernels, and element conversions that share no code with them:
// 16-bit formats are decoded from their definition and encoded by searching the table of all their values.

using System.Runtime.CompilerServices;
using EquiNorm.Backends.Cpu;
using EquiNorm.Model;

namespace EquiNorm.Tests.Backends.Cpu;

internal static unsafe class Oracle
{
    private static readonly double[] Float16Values = Table(ElementType.Float16);
    private static readonly double[] BFloat16Values = Table(ElementType.BFloat16);

    public static double Decode16(ElementType type, int bits)
    {
        (int fractionBits, int bias) = type == ElementType.Float16 ? (10, 15) : (7, 127);
        int exponent = (bits & 0x7FFF) >> fractionBits;
        double fraction = bits & ((1 << fractionBits) - 1);
        double magnitude = exponent == 0 ? Math.ScaleB(fraction, 1 - bias - fractionBits)
            : exponent != (2 * bias) + 1 ? Math.ScaleB(fraction + (1 << fractionBits), exponent - bias - fractionBits)
            : fraction == 0 ? double.PositiveInfinity : double.NaN;
        return (bits & 0x8000) != 0 ? -magnitude : magnitude;
    }

    /// <summary>Round to nearest, ties to even, by bisection in the table of magnitudes.</summary>
    public static ushort Encode16(ElementType type, double value)
    {
        double[] table = type == ElementType.Float16 ? Float16Values : BFloat16Values;
        int sign = double.IsNegative(value) ? 0x8000 : 0;
        double magnitude = Math.Abs(value);
        int infinity = type == ElementType.Float16 ? 0x7C00 : 0x7F80;
        if (double.IsNaN(value))
        {
            return (ushort)(sign | infinity | 1 << (type == ElementType.Float16 ? 9 : 6));
        }

        int index = Array.BinarySearch(table, magnitude);
        if (index >= 0)
        {
            return (ushort)(sign | index);
        }

        int above = ~index;
        if (above == table.Length)
        {
            return (ushort)(sign | infinity);
        }

        double middle = (table[above - 1] + table[above]) / 2;
        int nearest = magnitude < middle || (magnitude == middle && above % 2 != 0) ? above - 1 : above;
        return (ushort)(sign | nearest);
    }

    public static double Read(byte* address, ElementType type) => type switch
    {
        ElementType.Float32 => Unsafe.ReadUnaligned<float>(address),
        ElementType.Float64 => Unsafe.ReadUnaligned<double>(address),
        _ => Decode16(type, Unsafe.ReadUnaligned<ushort>(address)),
    };

    public static void Write(byte* address, ElementType type, double value)
    {
        switch (type)
        {
            case ElementType.Float32:
                Unsafe.WriteUnaligned(address, (float)value);
                break;
            case ElementType.Float64:
                Unsafe.WriteUnaligned(address, value);
                break;
            default:
                Unsafe.WriteUnaligned(address, Encode16(type, value));
                break;
        }
    }

    public static double Round(ElementType type, double value) => type switch
    {
        ElementType.Float32 => (float)value,
        ElementType.Float64 => value,
        _ => Decode16(type, Encode16(type, value)),
    };

    public static double[,] Energies(in MatrixView view, double p, int prescale = 0)
    {
        var energies = new double[view.Outer, view.Inner];
        for (int o = 0; o < view.Outer; o++)
        {
            for (int i = 0; i < view.Inner; i++)
            {
                for (int k = 0; k < view.Kernel; k++)
                {
                    double w = Math.ScaleB(Math.Abs(Read(view.At(o, i, k), view.Type)), prescale);
                    energies[o, i] = double.IsPositiveInfinity(p) ? Math.Max(energies[o, i], w)
                        : energies[o, i] + (p == 1 ? w : p == 2 ? w * w : Math.Pow(w, p));
                }
            }
        }

        return energies;
    }

    // The last entry, as if the exponent range went on, is where the bisection puts what rounds to infinity.
    private static double[] Table(ElementType type)
    {
        int infinity = type == ElementType.Float16 ? 0x7C00 : 0x7F80;
        var table = new double[infinity + 1];
        for (int bits = 0; bits < infinity; bits++)
        {
            table[bits] = Decode16(type, bits);
        }

        table[infinity] = type == ElementType.Float16 ? Math.ScaleB(1, 16) : Math.ScaleB(1, 128);
        return table;
    }
}
