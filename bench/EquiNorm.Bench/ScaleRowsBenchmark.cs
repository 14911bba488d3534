using System.Numerics.Tensors;
using BenchmarkDotNet.Attributes;
using EquiNorm.Backends.Cpu;
using EquiNorm.Model;

namespace EquiNorm.Bench;

/// <summary>
/// w[r, c] *= rows[r] * columns[c] over one dense float32 matrix on one thread: a scalar loop, the framework's vectorised products (in
/// float32, two roundings), and our kernel (in float64, one rounding, overflow and loss counted).
/// </summary>
public unsafe class ScaleRowsBenchmark
{
    private Matrices _matrices = null!;
    private double[] _ones = [];
    private float[] _narrowOnes = [];

    /// <summary>Rows and columns: 16 KB, 1 MB, 64 MB and 400 MB.</summary>
    [Params(64, 512, 4096, 10240)]
    public int Size { get; set; }

    /// <summary>Where the matrix is.</summary>
    [Params(Cache.Hot, Cache.Cold)]
    public Cache Cache { get; set; }

    /// <summary>Fills the matrices. All factors are 1, so that any number of calls leaves the elements as they are.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _matrices = new Matrices(Size, Cache);
        _ones = new double[Size];
        _narrowOnes = new float[Size];
        Array.Fill(_ones, 1);
        Array.Fill(_narrowOnes, 1);
    }

    /// <summary>The textbook loop, in float64.</summary>
    [Benchmark(Baseline = true)]
    public void Scalar()
    {
        var matrix = _matrices.Next();
        for (var r = 0; r < Size; r++)
        {
            var row = matrix.AsSpan(r * Size, Size);
            for (var c = 0; c < row.Length; c++)
            {
                row[c] = (float)(row[c] * (_ones[r] * _ones[c]));
            }
        }
    }

    /// <summary>System.Numerics.Tensors: by the columns' factors, then by the row's.</summary>
    [Benchmark]
    public void TensorPrimitivesMultiply()
    {
        var matrix = _matrices.Next();
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
        fixed (float* matrix = _matrices.Next())
        fixed (double* ones = _ones)
        {
            var view = MatrixView.RowMajor((byte*)matrix, ElementType.Float32, Size, Size, 1);
            return ScaleKernels.Apply(view, view, ones, ones, VectorWidths.Default).Overflowed;
        }
    }
}
