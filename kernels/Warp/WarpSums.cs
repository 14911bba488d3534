using ILGPU;


namespace EquiNorm.Gpu.Kernels;

/// <summary>Sums over the threads of a warp in a fixed order: the same bits on every run.</summary>
public static class WarpSums
{
    /// <summary>Adds up over each aligned run of <paramref name="lanes"/> threads; every thread of the run gets the sum.</summary>
    /// <param name="value">The thread's number.</param>
    /// <param name="lanes">A power of two up to 32, the same in all threads of the warp.</param>
    public static double Within(double value, int lanes)
    {
        for (int mask = 1; mask < lanes; mask <<= 1)
        {
            value += Warp.ShuffleXor(value, mask);
        }

        return value;
    }

    /// <summary>Adds up over the threads that have the same place in each run of <paramref name="lanes"/> threads.</summary>
    public static double Across(double value, int lanes)
    {
        for (int mask = lanes; mask < 32; mask <<= 1)
        {
            value += Warp.ShuffleXor(value, mask);
        }

        return value;
    }
}
