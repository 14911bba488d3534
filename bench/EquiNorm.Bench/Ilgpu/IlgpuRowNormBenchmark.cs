using BenchmarkDotNet.Attributes;
using EquiNorm.Gpu.Ilgpu;
using EquiNorm.Gpu.Tables;
using ILGPU;
using ILGPU.Algorithms;
using ILGPU.Algorithms.ScanReduceOperations;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;

namespace EquiNorm.Bench.Ilgpu;

/// <summary>
/// Row norms of one dense float32 matrix by ILGPU.Algorithms and by our kernel, on the same ILGPU accelerator, wall time with the wait at the
/// end: an NVIDIA GPU where there is one, otherwise ILGPU's CPU accelerator. Our loop for the CPU stands beside them for scale.
/// </summary>
/// <remarks>
/// ILGPU's CPU accelerator is a debugging aid: each lane of a group is a thread of the operating system. Times on it say nothing about a GPU,
/// and nothing about the CPU either; they show that the three compute the same, and what a launch of each costs there. The matrix is small
/// for that reason. Our kernel does more than its peers: it weighs rows and columns, sums in float64, and sums the columns and the whole tile
/// from the same read; the last addition of its partial sums, which is left to the kernel behind it, is not in its time.
/// </remarks>
public class IlgpuRowNormBenchmark
{
    private const int GroupSize = TileLimits.GroupSize;

    private readonly double[] _expected = new double[Sizes.Max()];
    private float[] _matrix = [];
    private double[] _ones = [];
    private Context _context = null!;
    private Accelerator _accelerator = null!;
    private IlgpuQueue _queue = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> _elements = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> _squares = null!;
    private MemoryBuffer1D<float, Stride1D.Dense> _rows = null!;
    private Transformer<float, float, Square> _square = null!;
    private Action<KernelConfig, ArrayView<float>, ArrayView<float>> _groups = null!;
    private IlgpuRowPass _pass = null!;

    /// <summary>Rows and columns.</summary>
    [ParamsSource(nameof(Sizes))]
    public int Size { get; set; }

    /// <summary>On a GPU as in the other benchmarks; on the CPU accelerator what its threads can do in seconds.</summary>
    public static IEnumerable<int> Sizes => GpuBenchmark.Device is null ? [32] : [64, 512, 4096, 10240];

    /// <summary>Compiles the kernels, fills the matrix, and sees that all ways agree.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _matrix = new Matrices(Size, Cache.Hot).Next();
        _ones = new double[Size];
        Array.Fill(_ones, 1);
        var gpu = GpuBenchmark.Device;
        _context = Context.Create(b => _ = gpu is null
            ? b.Optimize(OptimizationLevel.O2).EnableAlgorithms()
            : b.Optimize(OptimizationLevel.O2).EnableAlgorithms().Cuda());
        _accelerator = gpu is null
            ? new CPUDevice(32, GroupSize / 32, 1).CreateCPUAccelerator(_context)
            : _context.CreateCudaAccelerator(gpu.Index);
        _queue = new IlgpuQueue(_accelerator.DefaultStream);
        _elements = _accelerator.Allocate1D(_matrix);
        _squares = _accelerator.Allocate1D<float>(_matrix.Length);
        _rows = _accelerator.Allocate1D<float>(Size);
        _square = _accelerator.CreateTransformer<float, float, Square>();
        _groups = _accelerator.LoadStreamKernel<ArrayView<float>, ArrayView<float>>(SumRow);
        _pass = new IlgpuRowPass(_queue, (nint)_elements.NativePtr, Size);
        RowNorms.Sum(_matrix, Size, _ones, _expected, columns: null);
        Require("a reduction for each row", TransformAndReduce, ReadPeer);
        Require("a group for each row", GroupReduce, ReadPeer);
        Require("the fused pass", FusedPass, _pass.ReadRows);
    }

    /// <summary>ILGPU.Algorithms: a transform to squares, and a reduction for each row. What its documentation leads to; a launch a row.</summary>
    [Benchmark]
    public void TransformAndReduce()
    {
        var stream = _accelerator.DefaultStream;
        _square(stream, _elements.View, _squares.View, default);
        for (var r = 0; r < Size; r++)
        {
            _accelerator.Reduce<float, AddFloat>(
                stream, _squares.View.SubView((long)r * Size, Size).AsContiguous(), _rows.View.SubView(r, 1).AsContiguous());
        }

        stream.Synchronize();
    }

    /// <summary>ILGPU.Algorithms: one launch, a group for each row with no more threads than columns, whose sums are added by GroupExtensions.Reduce.</summary>
    [Benchmark(Baseline = true)]
    public void GroupReduce()
    {
        _groups(new KernelConfig(Size, Math.Min(Size, GroupSize)), _elements.View.AsContiguous(), _rows.View.AsContiguous());
        _accelerator.DefaultStream.Synchronize();
    }

    /// <summary>Ours, on the same accelerator: weighted row and column sums and norms of all tiles from one read.</summary>
    [Benchmark]
    public void FusedPass()
    {
        _pass.Run();
        _queue.Synchronize();
    }

    /// <summary>Ours for the CPU, on one thread, without an accelerator.</summary>
    [Benchmark]
    public double CpuRows()
    {
        RowNorms.Sum(_matrix, Size, _ones, _expected, columns: null);
        return _expected[0];
    }

    /// <summary>Frees everything.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _pass.Dispose();
        _queue.Dispose();
        _rows.Dispose();
        _squares.Dispose();
        _elements.Dispose();
        _accelerator.Dispose();
        _context.Dispose();
    }

    /// <summary>One row for each group.</summary>
    /// <param name="matrix">The elements, row by row.</param>
    /// <param name="rows">Receives the sums of squares.</param>
    private static void SumRow(ArrayView<float> matrix, ArrayView<float> rows)
    {
        var size = rows.IntLength;
        var first = (long)Grid.IdxX * size;
        var sum = 0f;
        for (var c = Group.IdxX; c < size; c += Group.DimX)
        {
            var w = matrix[first + c];
            sum += w * w;
        }

        sum = GroupExtensions.Reduce<float, AddFloat>(sum);
        if (Group.IdxX == 0)
        {
            rows[Grid.IdxX] = sum;
        }
    }

    private double[] ReadPeer() => [.. _rows.GetAsArray1D().Select(r => (double)r)];

    // A peer that computes something else is none.
    private void Require(string name, Action run, Func<double[]> read)
    {
        // Twice: what adds up from call to call is wrong.
        run();
        run();
        var rows = read();
        for (var r = 0; r < Size; r++)
        {
            if (!(Math.Abs(rows[r] - _expected[r]) <= 1e-4 * _expected[r]))
            {
                throw new InvalidOperationException($"By {name}, row {r} of {Size} has {rows[r]} instead of {_expected[r]}.");
            }
        }
    }
}

/// <summary>w to w^2. Public, because ILGPU's compiler asks for it.</summary>
public readonly struct Square : ITransformer<float, float>
{
    /// <inheritdoc/>
    public float Transform(float value) => value * value;
}
