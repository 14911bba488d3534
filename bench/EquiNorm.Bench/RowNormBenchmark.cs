using System.Numerics.Tensors;
using BenchmarkDotNet.Attributes;
using EquiNorm.Backends.Cpu;
using EquiNorm.Model;

namespace EquiNorm.Bench;

/// <summary>
/// Row norms of one dense float32 matrix on one thread: a scalar loop, the framework's vectorised reduction, and our kernel (which also
/// weighs the columns, in float64), alone and with the column norms from the same read.
/// </summary>
public class RowNormBenchmark : MatrixBenchmark
{
    private double[] _rows = [];
    private double[] _columns = [];

    /// <summary>The textbook loop.</summary>
    [Benchmark(Baseline = true)]
    public double Scalar()
    {
        var matrix = Next();
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
        var matrix = Next();
        for (var r = 0; r < Size; r++)
        {
            _rows[r] = TensorPrimitives.SumOfSquares<float>(matrix.AsSpan(r * Size, Size));
        }

        return _rows[0];
    }

    /// <summary>Ours: weighted row sums of squares.</summary>
    [Benchmark]
    public double Rows()
    {
        RowNorms.Sum(Next(), Size, Ones, _rows, columns: null);
        return _rows[0];
    }

    /// <summary>Ours: weighted row and column sums of squares from one read.</summary>
    [Benchmark]
    public double RowsAndColumns()
    {
        Array.Clear(_columns);
        RowNorms.Sum(Next(), Size, Ones, _rows, _columns);
        return _rows[0];
    }

    /// <inheritdoc/>
    protected override void Prepare()
    {
        _rows = new double[Size];
        _columns = new double[Size];
    }
}

/// <summary>Our kernel for one square matrix, as benchmarks call it.</summary>
internal static unsafe class RowNorms
{
    /// <summary>Sums of squares by rows, and by columns if they are wanted, every element with the factor of its column or row.</summary>
    /// <param name="matrix">[size, size].</param>
    /// <param name="size">Rows and columns.</param>
    /// <param name="factors">One per row, and the same per column.</param>
    /// <param name="rows">Receives the sums of the rows.</param>
    /// <param name="columns">Receives the sums of the columns; must be zero. Null if they are not wanted.</param>
    public static void Sum(float[] matrix, int size, double[] factors, double[] rows, double[]? columns)
    {
        fixed (float* elements = matrix)
        fixed (double* rowSums = rows, factor = factors, columnSums = columns)
        {
            var view = MatrixView.RowMajor((byte*)elements, ElementType.Float32, size, size, 1);
            var vectors = new TileSums { InnerFactor = factor, OuterSums = rowSums, OuterFactor = factor, InnerSums = columnSums };
            SumKernels.Accumulate(view, new PowerLaw(2), null, null, vectors, VectorWidths.Default);
        }
    }
}
