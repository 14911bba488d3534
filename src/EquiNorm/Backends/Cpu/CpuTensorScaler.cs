using EquiNorm.Model;
using EquiNorm.Plan;

namespace EquiNorm.Backends.Cpu;

/// <summary>
/// Multiplies everything that is bound by factors, in one parallel run over pieces of all tensors. Prepared once: a call computes the
/// factors of the channels, and allocates nothing unless some are extreme.
/// </summary>
/// <remarks>
/// The last weights come first: a step has just read them for its sums, and what it touches last is what the next step reads first.
/// </remarks>
internal sealed unsafe class CpuTensorScaler : TensorScaler
{
    // The work of one item: 256 KB of float32 take some 20 microseconds, and handing an item out a tenth of one. With half of that the
    // 3x3 convolutions of conv-net have 14 rows in a piece, and spreading the factors over the kernel costs a tenth of the time.
    private const long ItemElements = 1 << 16;

    private readonly WorkerPool _pool;
    private readonly Traffic _traffic;
    private readonly ChannelPowers _powers;
    private readonly TensorFactors[] _factors;
    private readonly Bound[] _tensors;
    private readonly Piece[] _pieces;
    private readonly int[] _items;
    private readonly long[] _counts = new long[2];
    private readonly long _bytes;

    /// <param name="network">The network that factors belong to; its weights are those of <paramref name="tensors"/> by index.</param>
    /// <param name="tensors">What is multiplied.</param>
    /// <param name="pool">Threads.</param>
    /// <param name="traffic">Counts what is read and written.</param>
    public CpuTensorScaler(Network network, NetworkTensors tensors, WorkerPool pool, Traffic traffic)
    {
        _pool = pool;
        _traffic = traffic;
        _powers = new ChannelPowers(network, tensors.Companions.Any(c => Math.Abs(c.Power) == 2));
        var factors = new List<TensorFactors>();
        var bound = new List<Bound>();
        var pieces = new List<Piece>();
        var companions = tensors.Companions.ToLookup(c => c.Weight.Index);
        for (var w = network.Weights.Count - 1; w >= 0; w--)
        {
            var first = bound.Count;
            var weight = network.Weights[w];
            var powers = new Dictionary<int, TensorFactors>();
            if (tensors.IsBound(w))
            {
                bound.Add(new Bound(tensors[w].Address, new WeightBlocks(weight), Factors(1)));
            }

            foreach (var companion in companions[w])
            {
                var blocks = new WeightBlocks(companion.Layout, companion.Memory.ElementType);
                bound.Add(new Bound(companion.Memory.Address, blocks, Factors(companion.Power)));
            }

            Cut(bound, first, weight.Layout.Kernel, pieces);
            factors.AddRange(powers.Values);

            TensorFactors Factors(int power)
            {
                if (!powers.TryGetValue(power, out var known))
                {
                    powers.Add(power, known = new TensorFactors(network, weight, power, _powers));
                }

                return known;
            }
        }

        _factors = [.. factors];
        _tensors = [.. bound];
        _pieces = [.. pieces];
        _items = Gather(_pieces, _tensors);
        _bytes = _pieces.Sum(p => (long)p.Rows * p.Columns * _tensors[p.Tensor].Blocks.PairBytes);
    }

    public override ApplyReport Apply(ReadOnlySpan<double> logFactors)
    {
        var extreme = _powers.Set(logFactors);
        foreach (var factors in _factors)
        {
            factors.Set(extreme);
        }

        Array.Clear(_counts);
        _pool.Run(new Job(this), _items.Length - 1);
        _traffic.Add(_bytes, _bytes);
        return new ApplyReport(_counts[0], _counts[1]);
    }

    // Tensors of one weight that lie the same way are cut together, the same rows of each one after the other: their factors are in cache.
    private static void Cut(List<Bound> bound, int first, int kernel, List<Piece> pieces)
    {
        for (var t = first; t < bound.Count; t++)
        {
            var blocks = bound[t].Blocks;
            if (Enumerable.Range(first, t - first).Any(earlier => bound[earlier].Blocks.HasSameShape(blocks)))
            {
                continue; // cut with the earlier one
            }

            var same = Enumerable.Range(t, bound.Count - t).Where(later => bound[later].Blocks.HasSameShape(blocks)).ToArray();
            var rowElements = Math.Max(1, (long)blocks.Inner * kernel);
            var rows = (int)Math.Clamp(ItemElements / rowElements, 1, Math.Max(1, blocks.Outer));

            // Multiples of 32 columns: a tail of less than a block of vectors costs as much as the block.
            var columns = rowElements <= 2 * ItemElements
                ? Math.Max(1, blocks.Inner)
                : (int)Math.Max(32, ItemElements / Math.Max(1, kernel) / 32 * 32);
            for (var block = blocks.Count - 1; block >= 0; block--)
            {
                for (var row = (blocks.Outer - 1) / rows * rows; row >= 0 && blocks.Outer > 0; row -= rows)
                {
                    for (var column = 0; column < blocks.Inner; column += columns)
                    {
                        var (r, c) = (Math.Min(rows, blocks.Outer - row), Math.Min(columns, blocks.Inner - column));
                        pieces.AddRange(same.Select(n => new Piece(n, block, row, r, column, c)));
                    }
                }
            }
        }
    }

    // Consecutive pieces make an item once they are large enough: a bias is no work for a thread of its own.
    private static int[] Gather(Piece[] pieces, Bound[] tensors)
    {
        var items = new List<int> { 0 };
        long elements = 0;
        for (var n = 0; n < pieces.Length; n++)
        {
            elements += (long)pieces[n].Rows * pieces[n].Columns * tensors[pieces[n].Tensor].Blocks.Kernel;
            if (elements >= ItemElements / 2 || n == pieces.Length - 1)
            {
                items.Add(n + 1);
                elements = 0;
            }
        }

        return [.. items];
    }

    private void Execute(int item)
    {
        var counts = default(ScaleCounts);
        for (var n = _items[item]; n < _items[item + 1]; n++)
        {
            ref readonly var piece = ref _pieces[n];
            ref readonly var tensor = ref _tensors[piece.Tensor];
            var blocks = tensor.Blocks;
            var view = blocks.View(tensor.Address, piece.Block).Slice(piece.Row, piece.Rows, piece.Column, piece.Columns);
            var outer = tensor.Factors.Of(blocks.OuterAxis) + (long)piece.Block * blocks.Outer + piece.Row;
            var inner = blocks.IsDiagonal
                ? null
                : tensor.Factors.Of(blocks.OuterAxis == Axis.Output ? Axis.Input : Axis.Output) + (long)piece.Block * blocks.Inner + piece.Column;
            counts += ScaleKernels.Apply(view, view, outer, inner, VectorWidths.Default);
        }

        if (counts != default)
        {
            Interlocked.Add(ref _counts[0], counts.Overflowed);
            Interlocked.Add(ref _counts[1], counts.Vanished);
        }
    }

    private readonly record struct Bound(nint Address, WeightBlocks Blocks, TensorFactors Factors);

    /// <summary>A rectangle of one block of a tensor.</summary>
    private readonly record struct Piece(int Tensor, int Block, int Row, int Rows, int Column, int Columns);

    private readonly struct Job(CpuTensorScaler scaler) : IWorkerJob
    {
        public void Execute(int item, int worker) => scaler.Execute(item);
    }
}
