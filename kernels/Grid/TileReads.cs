using EquiNorm.Gpu.Tables;
using ILGPU;

namespace EquiNorm.Gpu.Kernels;

/// <summary>
/// How a thread of the fused pass gets the energies of its four columns of one row, or of four rows at once: by 16 bytes, element by
/// element, or through the shared memory of its warp. Sums over kernel positions (or the largest) are taken here.
/// </summary>
internal static class TileReads<TElement, TScalar, TQuad, TPower>
    where TElement : struct, IElement<TScalar, TQuad>
    where TScalar : unmanaged
    where TQuad : unmanaged
    where TPower : struct, IPower
{
    public static void LoadVectors(
        SumArguments<TScalar, TQuad> a,
        in SumTile tile,
        ColumnQuad columns,
        int row,
        int stride,
        bool first,
        bool second,
        bool third,
        bool fourth,
        ref Energy4 e0,
        ref Energy4 e1,
        ref Energy4 e2,
        ref Energy4 e3)
    {
        if (columns.First >= columns.End)
        {
            return;
        }

        for (int k = 0; k < tile.Kernel; k++)
        {
            long at = tile.Elements + row * tile.RowStride + columns.First + k * tile.KernelStride;
            long next = stride * tile.RowStride;
            if (fourth)
            {
                var q0 = a.Quads[at >> 2];
                var q1 = a.Quads[(at + next) >> 2];
                var q2 = a.Quads[(at + 2 * next) >> 2];
                var q3 = a.Quads[(at + 3 * next) >> 2];
                AddEnergies(ref e0, q0, tile.Prescale, a.Exponent);
                AddEnergies(ref e1, q1, tile.Prescale, a.Exponent);
                AddEnergies(ref e2, q2, tile.Prescale, a.Exponent);
                AddEnergies(ref e3, q3, tile.Prescale, a.Exponent);
            }
            else
            {
                if (first)
                {
                    AddEnergies(ref e0, a.Quads[at >> 2], tile.Prescale, a.Exponent);
                }

                if (second)
                {
                    AddEnergies(ref e1, a.Quads[(at + next) >> 2], tile.Prescale, a.Exponent);
                }

                if (third)
                {
                    AddEnergies(ref e2, a.Quads[(at + 2 * next) >> 2], tile.Prescale, a.Exponent);
                }
            }
        }
    }

    public static Energy4 LoadScalars(SumArguments<TScalar, TQuad> a, in SumTile tile, ColumnQuad columns, int row, bool valid)
    {
        var e = new Energy4();
        if (!valid)
        {
            return e;
        }

        for (int k = 0; k < tile.Kernel; k++)
        {
            long at = tile.Elements + row * tile.RowStride + columns.First * tile.ColumnStride + k * tile.KernelStride;
            long next = columns.Step * tile.ColumnStride;
            if (columns.HasD)
            {
                var a0 = a.Elements[at];
                var a1 = a.Elements[at + next];
                var a2 = a.Elements[at + 2 * next];
                var a3 = a.Elements[at + 3 * next];
                Take(ref e.A, Energy(a0, tile.Prescale, a.Exponent));
                Take(ref e.B, Energy(a1, tile.Prescale, a.Exponent));
                Take(ref e.C, Energy(a2, tile.Prescale, a.Exponent));
                Take(ref e.D, Energy(a3, tile.Prescale, a.Exponent));
            }
            else
            {
                if (columns.HasA)
                {
                    Take(ref e.A, Energy(a.Elements[at], tile.Prescale, a.Exponent));
                }

                if (columns.HasB)
                {
                    Take(ref e.B, Energy(a.Elements[at + next], tile.Prescale, a.Exponent));
                }

                if (columns.HasC)
                {
                    Take(ref e.C, Energy(a.Elements[at + 2 * next], tile.Prescale, a.Exponent));
                }
            }
        }

        return e;
    }

    // Copies a row of the stripe, one contiguous run, to the warp's part of shared memory.
    public static void Stage(
        SumArguments<TScalar, TQuad> a, in SumTile tile, ArrayView<Float4> stage, int row, int stripe, int end, int lane, bool vector)
    {
        long start = tile.Elements + row * tile.RowStride + (long)stripe * tile.Kernel;
        int count = (end - stripe) * tile.Kernel;
        if (vector)
        {
            var quads = stage.Cast<TQuad>();
            long from = start >> 2;
            int n = lane;
            for (; n + 96 < count >> 2; n += 128)
            {
                var q0 = a.Quads[from + n];
                var q1 = a.Quads[from + n + 32];
                var q2 = a.Quads[from + n + 64];
                var q3 = a.Quads[from + n + 96];
                quads[n] = q0;
                quads[n + 32] = q1;
                quads[n + 64] = q2;
                quads[n + 96] = q3;
            }

            for (; n < count >> 2; n += 32)
            {
                quads[n] = a.Quads[from + n];
            }
        }
        else
        {
            var scalars = stage.Cast<TScalar>();
            int n = lane;
            for (; n + 96 < count; n += 128)
            {
                var s0 = a.Elements[start + n];
                var s1 = a.Elements[start + n + 32];
                var s2 = a.Elements[start + n + 64];
                var s3 = a.Elements[start + n + 96];
                scalars[n] = s0;
                scalars[n + 32] = s1;
                scalars[n + 64] = s2;
                scalars[n + 96] = s3;
            }

            for (; n < count; n += 32)
            {
                scalars[n] = a.Elements[start + n];
            }
        }
    }

    public static Energy4 SumStaged(ArrayView<TScalar> stage, in SumTile tile, ColumnQuad columns, int stripe, double exponent)
    {
        var e = new Energy4();
        int at = (columns.First - stripe) * tile.Kernel;
        int next = columns.Step * tile.Kernel;
        for (int k = 0; k < tile.Kernel; k++)
        {
            if (columns.HasA)
            {
                Take(ref e.A, Energy(stage[at + k], tile.Prescale, exponent));
            }

            if (columns.HasB)
            {
                Take(ref e.B, Energy(stage[at + next + k], tile.Prescale, exponent));
            }

            if (columns.HasC)
            {
                Take(ref e.C, Energy(stage[at + 2 * next + k], tile.Prescale, exponent));
            }

            if (columns.HasD)
            {
                Take(ref e.D, Energy(stage[at + 3 * next + k], tile.Prescale, exponent));
            }
        }

        return e;
    }

    private static void AddEnergies(ref Energy4 sum, TQuad quad, double prescale, double exponent)
    {
        var values = default(TElement).Unpack(quad);
        Take(ref sum.A, default(TPower).Energy(values.A, prescale, exponent));
        Take(ref sum.B, default(TPower).Energy(values.B, prescale, exponent));
        Take(ref sum.C, default(TPower).Energy(values.C, prescale, exponent));
        Take(ref sum.D, default(TPower).Energy(values.D, prescale, exponent));
    }

    private static double Energy(TScalar element, double prescale, double exponent) =>
        default(TPower).Energy(default(TElement).Load(element), prescale, exponent);

    private static void Take(ref double total, double energy) => total = default(TPower).Combine(total, energy);
}
