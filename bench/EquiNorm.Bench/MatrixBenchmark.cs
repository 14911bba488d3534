using BenchmarkDotNet.Attributes;

namespace EquiNorm.Bench;

/// <summary>Kernels on one dense float32 matrix, on one thread: the sizes, and where the matrix is.</summary>
public abstract class MatrixBenchmark
{
    private Matrices _matrices = null!;

    /// <summary>Rows and columns: 16 KB, 1 MB, 64 MB, and 400 MB, larger than the last-level cache of most machines.</summary>
    [Params(64, 512, 4096, 10240)]
    public int Size { get; set; }

    /// <summary>Where the matrix is.</summary>
    [Params(Cache.Hot, Cache.Cold)]
    public Cache Cache { get; set; }

    /// <summary>A factor of 1 for every row or column.</summary>
    protected double[] Ones { get; private set; } = [];

    /// <summary>Fills the matrices.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _matrices = new Matrices(Size, Cache);
        Ones = new double[Size];
        Array.Fill(Ones, 1);
        Prepare();
    }

    /// <summary>The next matrix.</summary>
    protected float[] Next() => _matrices.Next();

    /// <summary>Makes what else a kernel needs.</summary>
    protected abstract void Prepare();
}
