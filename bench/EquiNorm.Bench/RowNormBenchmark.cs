using System.Numerics.Tensors;
using BenchmarkDotNet.Attributes;
using EquiNorm.Backends.Cpu;
using EquiNorm.Model;

namespace EquiNorm.Bench;

/// <summary>
/// Row norms of one dense float32 matrix on one thread: a scalar loop, the framework's vectorised reduction, and our kernel (which also
/// weighs the columns, in float64), alone and with the column norms from the same read.
/// </summary>
public unsafe class RowNormBenchmark
{
    private Matrices _matrices = null!;
    private double[] _rows = [];
    private double[] _columns = [];
    private double[] _ones = [];

    /// <summary>Rows and columns: 16 KB, 1 MB, 64 MB, and 400 MB, larger than the last-level cache of most machines.</summary>
    [Params(64, 512, 4096, 10240)]
    public int Size { get; set; }

    /// <summary>Where the matrix is.</summary>
    [Params(Cache.Hot, Cache.Cold)]
    public Cache Cache { get; set; }

    /// <summary>Fills the matrices.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _matrices = new Matrices(Size, Cache);
        _rows = new double[Size];
        _columns = new double[Size];
        _ones = new double[Size];
        Array.Fill(_ones, 1);
    }

    /// <summary>The textbook loop.</summary>
    [Benchmark(Baseline = true)]
    public double Scalar()
    {
        var matrix = _matrices.Next();
        for (var r = 0; r < Size; r++)
        {
            double sum = 0;
            foreach (var w in matrix.AsSpan(r * Size, Size))
            {
                sum += (double)w * w;
            }

            _rows[r] = sum;
        }

        return _rows[0];
    }

    /// <summary>System.Numerics.Tensors, float32 accumulation, no column weights.</summary>
    [Benchmark]
    public double TensorPrimitivesSumOfSquares()
    {
        var matrix = _matrices.Next();
        for (var r = 0; r < Size; r++)
        {
            _rows[r] = TensorPrimitives.SumOfSquares<float>(matrix.AsSpan(r * Size, Size));
        }

        return _rows[0];
    }

    /// <summary>Ours: weighted row sums of squares.</summary>
    [Benchmark]
    public double Rows() => Sums(columns: null);

    /// <summary>Ours: weighted row and column sums of squares from one read.</summary>
    [Benchmark]
    public double RowsAndColumns()
    {
        Array.Clear(_columns);
        return Sums(_columns);
    }

    private double Sums(double[]? columns)
    {
        fixed (float* matrix = _matrices.Next())
        fixed (double* rows = _rows, ones = _ones, sums = columns)
        {
            var view = MatrixView.RowMajor((byte*)matrix, ElementType.Float32, Size, Size, 1);
            var vectors = new TileSums { InnerFactor = ones, OuterSums = rows, OuterFactor = ones, InnerSums = sums };
            SumKernels.Accumulate(view, new PowerLaw(2), null, null, vectors, VectorWidths.Default);
        }

        return _rows[0];
    }
}
