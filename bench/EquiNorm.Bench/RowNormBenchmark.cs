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
    private float[] _matrix = [];
    private double[] _rows = [];
    private double[] _columns = [];
    private double[] _ones = [];

    /// <summary>Rows and columns: 1 MB, in cache; 64 MB; 400 MB, larger than the last-level cache of most machines.</summary>
    [Params(512, 4096, 10240)]
    public int Size { get; set; }

    /// <summary>Fills the matrix.</summary>
    [GlobalSetup]
    public void Setup()
    {
        var random = new Random(1);
        _matrix = new float[(long)Size * Size];
        foreach (ref var element in _matrix.AsSpan())
        {
            element = random.NextSingle() - 0.5f;
        }

        _rows = new double[Size];
        _columns = new double[Size];
        _ones = new double[Size];
        Array.Fill(_ones, 1);
    }

    /// <summary>The textbook loop.</summary>
    [Benchmark(Baseline = true)]
    public double Scalar()
    {
        for (var r = 0; r < Size; r++)
        {
            double sum = 0;
            foreach (var w in _matrix.AsSpan(r * Size, Size))
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
        for (var r = 0; r < Size; r++)
        {
            _rows[r] = TensorPrimitives.SumOfSquares<float>(_matrix.AsSpan(r * Size, Size));
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
        fixed (float* matrix = _matrix)
        fixed (double* rows = _rows, ones = _ones, sums = columns)
        {
            var view = MatrixView.RowMajor((byte*)matrix, ElementType.Float32, Size, Size, 1);
            var vectors = new TileSums { InnerFactor = ones, OuterSums = rows, OuterFactor = ones, InnerSums = sums };
            SumKernels.Accumulate(view, new PowerLaw(2), null, null, vectors, VectorWidths.Default);
        }

        return _rows[0];
    }
}
