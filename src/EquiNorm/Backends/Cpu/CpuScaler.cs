using EquiNorm.Model;
using EquiNorm.Plan;
using EquiNorm.Problem;

namespace EquiNorm.Backends.Cpu;

/// <summary>Multiplies the elements of one weight by their factors, tile by tile.</summary>
internal sealed unsafe class CpuScaler : WeightScaler
{
    // A tile of 256 Ki elements is large enough that handing it out does not show, and small enough to spread over threads.
    private const long TileElements = 1 << 18;

    private readonly WorkerPool _pool;
    private readonly Traffic _traffic;
    private readonly WeightLayout _layout;
    private readonly ElementType _type;
    private readonly WeightBlocks _blocks;
    private readonly double[] _outer;
    private readonly double[] _inner;
    private readonly int _rowsPerTile;

    public CpuScaler(Scalings scalings, Weight weight, WorkerPool pool, Traffic traffic)
        : this(scalings, weight, weight.Layout, weight.ElementType, 1, pool, traffic)
    {
    }

    /// <param name="scalings">The factors.</param>
    /// <param name="weight">The weight that the tensor is or moves with.</param>
    /// <param name="layout">Where the tensor's elements lie.</param>
    /// <param name="type">Storage type of the tensor.</param>
    /// <param name="power">The power of the weight's factors.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="traffic">Counts what is read and written.</param>
    public CpuScaler(Scalings scalings, Weight weight, WeightLayout layout, ElementType type, int power, WorkerPool pool, Traffic traffic)
    {
        if (!ReferenceEquals(scalings.Network.Weights[weight.Index], weight)
            && scalings.Network.Weights[weight.Index].Name != weight.Name)
        {
            throw new ArgumentException($"The factors belong to another network than weight '{weight.Name}'.", nameof(weight));
        }

        Weight = weight;
        _pool = pool;
        _traffic = traffic;
        _layout = layout;
        _type = type;
        _blocks = new WeightBlocks(layout, type);
        var (outputs, inputs) = scalings.FactorsOf(weight, power);
        if (_blocks.IsDiagonal)
        {
            for (var c = 0; c < outputs.Length; c++)
            {
                outputs[c] *= inputs[c];
            }
        }

        (_outer, _inner) = _blocks.IsDiagonal || _blocks.OuterAxis == Axis.Output ? (outputs, inputs) : (inputs, outputs);
        _rowsPerTile = (int)Math.Clamp(TileElements / Math.Max(1, (long)_blocks.Inner * layout.Kernel), 1, int.MaxValue);
    }

    public override Weight Weight { get; }

    public override ApplyReport Apply(TensorMemory source, TensorMemory destination)
    {
        Require(source, _layout.RequiredElements);
        Require(destination, _layout.RequiredElements);
        var tilesPerBlock = (_blocks.Outer + _rowsPerTile - 1) / _rowsPerTile;
        var job = new Job(this, source.Address, destination.Address, tilesPerBlock);
        _pool.Run(job, _blocks.Count * tilesPerBlock);
        var bytes = _layout.Elements * _type.ByteSize();
        _traffic.Add(bytes, bytes);
        return job.Report;
    }

    private void Require(TensorMemory memory, long elements)
    {
        if (memory.ElementType != _type || memory.Length < elements)
        {
            throw new NetworkException(
                $"Weight '{Weight.Name}' needs {elements} elements of {_type}, the memory has {memory.Length} of {memory.ElementType}.");
        }
    }

    private readonly struct Job(CpuScaler scaler, nint source, nint destination, int tilesPerBlock) : IWorkerJob
    {
        private readonly long[] _counts = new long[2];

        public ApplyReport Report => new(_counts[0], _counts[1]);

        public void Execute(int item, int worker)
        {
            var blocks = scaler._blocks;
            var block = item / tilesPerBlock;
            var row = item % tilesPerBlock * scaler._rowsPerTile;
            var count = Math.Min(scaler._rowsPerTile, blocks.Outer - row);
            fixed (double* outer = scaler._outer, inner = scaler._inner)
            {
                var counts = ScaleKernels.Apply(
                    blocks.View(source, block).Rows(row, count),
                    blocks.View(destination, block).Rows(row, count),
                    outer + block * blocks.Outer + row,
                    blocks.IsDiagonal ? null : inner + block * blocks.Inner,
                    VectorWidths.Default);
                if (counts != default)
                {
                    Interlocked.Add(ref _counts[0], counts.Overflowed);
                    Interlocked.Add(ref _counts[1], counts.Vanished);
                }
            }
        }
    }
}
