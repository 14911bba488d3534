using System.Numerics.Tensors;
using BenchmarkDotNet.Attributes;
using EquiNorm.Backends.Cpu;
using EquiNorm.Model;

namespace EquiNorm.Bench;

/// <summary>
/// w[r, c] *= rows[r] * columns[c] over one dense float32 matrix on one thread: a scalar loop, the framework's vectorised products (in
/// float32, two roundings), and our kernel (in float64, one rounding, overflow and loss counted).
/// </summary>
public unsafe class ScaleRowsBenchmark : MatrixBenchmark
{
    private float[] _narrowOnes = [];

    /// <summary>The textbook loop, in float64.</summary>
    [Benchmark(Baseline = true)]
    public void Scalar()
    {
        var (matrix, ones) = (Next(), Ones);
        for (var r = 0; r < Size; r++)
        {
            var row = matrix.AsSpan(r * Size, Size);
            for (var c = 0; c < row.Length; c++)
            {
                row[c] = (float)(row[c] * (ones[r] * ones[c]));
            }
        }
    }

    /// <summary>System.Numerics.Tensors: by the columns' factors, then by the row's.</summary>
    [Benchmark]
    public void TensorPrimitivesMultiply()
    {
        var matrix = Next();
        for (var r = 0; r < Size; r++)
        {
            var row = matrix.AsSpan(r * Size, Size);
            TensorPrimitives.Multiply(row, _narrowOnes, row);
            TensorPrimitives.Multiply(row, _narrowOnes[r], row);
        }
    }

    /// <summary>Ours.</summary>
    [Benchmark]
    public long Scale()
    {
        fixed (float* matrix = Next())
        fixed (double* ones = Ones)
        {
            var view = MatrixView.RowMajor((byte*)matrix, ElementType.Float32, Size, Size, 1);
            return ScaleKernels.Apply(view, view, ones, ones, VectorWidths.Default).Overflowed;
        }
    }

    /// <summary>All factors are 1, so that any number of calls leaves the elements as they are.</summary>
    protected override void Prepare()
    {
        _narrowOnes = new float[Size];
        Array.Fill(_narrowOnes, 1);
    }
}
