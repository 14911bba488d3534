using ILGPU;

namespace EquiNorm.Gpu.Kernels;

/// <summary>Reductions over the threads of a group in a fixed order; every thread gets the result, and all must take part.</summary>
public static class GroupSums
{
    /// <summary>The sum of one number per thread.</summary>
    /// <param name="value">The thread's number.</param>
    /// <param name="scratch">Shared memory, one number per warp; may be used again at once.</param>
    public static double Sum(double value, ArrayView<double> scratch)
    {
        value = WarpSums.Within(value, 32);
        Group.Barrier();
        if ((Group.IdxX & 31) == 0)
        {
            scratch[Group.IdxX >> 5] = value;
        }

        Group.Barrier();
        double total = 0.0;
        for (int w = 0; w < Group.DimX >> 5; w++)
        {
            total += scratch[w];
        }

        return total;
    }

    /// <summary>The largest of one number per thread; a NaN is ignored unless all are.</summary>
    public static double Max(double value, ArrayView<double> scratch)
    {
        for (int mask = 1; mask < 32; mask <<= 1)
        {
            value = Math.Max(value, Warp.ShuffleXor(value, mask));
        }

        Group.Barrier();
        if ((Group.IdxX & 31) == 0)
        {
            scratch[Group.IdxX >> 5] = value;
        }

        Group.Barrier();
        double largest = scratch[0];
        for (int w = 1; w < Group.DimX >> 5; w++)
        {
            largest = Math.Max(largest, scratch[w]);
        }

        return largest;
    }
}
