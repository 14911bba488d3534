using EquiNorm.Gpu.Tables;
using ILGPU;
using ILGPU.Backends.EntryPoints;

namespace EquiNorm.Gpu.Kernels;

/// <summary>What the search for the largest magnitude reads and writes.</summary>
/// <typeparam name="TScalar">One element.</typeparam>
public struct LargestArguments<TScalar>
    where TScalar : unmanaged
{
    /// <summary>The tiles; one group of threads for each.</summary>
    public ArrayView<SumTile> Tiles;

    /// <summary>All memory, by element.</summary>
    public ArrayView<TScalar> Elements;

    /// <summary>Receives the largest magnitude of each tile; NaN counts for nothing.</summary>
    public ArrayView<double> Results;
}

/// <summary>The largest |w| of each tile.</summary>
internal static class LargestTiles<TElement, TScalar, TQuad>
    where TElement : struct, IElement<TScalar, TQuad>
    where TScalar : unmanaged
    where TQuad : unmanaged
{
    public static void Run(LargestArguments<TScalar> a)
    {
        var scratch = SharedMemory.Allocate<double>(TileLimits.GroupSize / 32);
        var tile = a.Tiles[Grid.IdxX];
        double largest = 0.0;

        // Neighbouring threads on neighbouring elements of contiguous rows, else on neighbouring columns.
        bool contiguous = tile.Kernel == 1 || tile.KernelStride == 1 && tile.ColumnStride == tile.Kernel;
        for (int r = Group.IdxX >> 5; r < tile.Rows; r += Group.DimX >> 5)
        {
            long row = tile.Elements + r * tile.RowStride;
            if (contiguous)
            {
                long step = tile.Kernel == 1 ? tile.ColumnStride : 1;
                int count = tile.Columns * tile.Kernel;
                for (int n = Group.IdxX & 31; n < count; n += 32)
                {
                    largest = Larger(largest, a.Elements[row + n * step]);
                }
            }
            else
            {
                for (int k = 0; k < tile.Kernel; k++)
                {
                    for (int c = Group.IdxX & 31; c < tile.Columns; c += 32)
                    {
                        largest = Larger(largest, a.Elements[row + c * tile.ColumnStride + k * tile.KernelStride]);
                    }
                }
            }
        }

        largest = GroupSums.Max(largest, scratch);
        if (Group.IdxX == 0)
        {
            a.Results[Grid.IdxX] = largest;
        }
    }

    private static double Larger(double largest, TScalar element)
    {
        double magnitude = Math.Abs(default(TElement).Load(element));
        return magnitude > largest ? magnitude : largest;
    }
}

/// <summary>The largest magnitude for each storage type.</summary>
public static class LargestKernels
{
    /// <summary>float32.</summary>
    [KernelName("LargestFloat32")]
    public static void Float32(LargestArguments<float> a) => LargestTiles<Float32, float, Float4>.Run(a);

    /// <summary>float64.</summary>
    [KernelName("LargestFloat64")]
    public static void Float64(LargestArguments<double> a) => LargestTiles<Float64, double, Double4>.Run(a);

    /// <summary>float16.</summary>
    [KernelName("LargestFloat16")]
    public static void Float16(LargestArguments<ushort> a) => LargestTiles<Float16, ushort, Packed4>.Run(a);

    /// <summary>bfloat16.</summary>
    [KernelName("LargestBFloat16")]
    public static void BFloat16(LargestArguments<ushort> a) => LargestTiles<BFloat16, ushort, Packed4>.Run(a);
}
