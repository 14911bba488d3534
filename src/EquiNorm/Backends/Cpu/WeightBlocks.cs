using EquiNorm.Model;
using EquiNorm.Plan;

namespace EquiNorm.Backends.Cpu;

/// <summary>
/// A weight in memory orientation: one matrix [outer, inner, kernel] per block, where outer is the channel axis with the larger stride.
/// A diagonal weight is a single matrix [channels, 1, kernel].
/// </summary>
internal readonly unsafe struct WeightBlocks
{
    private readonly WeightLayout _layout;
    private readonly ElementType _type;

    public WeightBlocks(Weight weight)
        : this(weight.Layout, weight.ElementType)
    {
    }

    public WeightBlocks(WeightLayout layout, ElementType type)
    {
        _layout = layout;
        _type = type;
        IsDiagonal = _layout.IsDiagonal;
        OuterAxis = _layout.IsOutputMajor ? Axis.Output : Axis.Input;
        var outputMajor = OuterAxis == Axis.Output;
        Count = IsDiagonal ? 1 : _layout.Groups;
        Outer = IsDiagonal ? _layout.Groups : outputMajor ? _layout.OutputsPerGroup : _layout.InputsPerGroup;
        Inner = IsDiagonal ? 1 : outputMajor ? _layout.InputsPerGroup : _layout.OutputsPerGroup;
        OuterStride = IsDiagonal ? _layout.GroupStride : outputMajor ? _layout.OutputStride : _layout.InputStride;
    }

    /// <summary>One element per channel pair (c, c): outer and inner positions coincide.</summary>
    public bool IsDiagonal { get; }

    /// <summary>The axis with the larger stride.</summary>
    public Axis OuterAxis { get; }

    /// <summary>Number of blocks.</summary>
    public int Count { get; }

    /// <summary>Rows of a block.</summary>
    public int Outer { get; }

    /// <summary>Columns of a block.</summary>
    public int Inner { get; }

    /// <summary>Kernel positions.</summary>
    public int Kernel => _layout.Kernel;

    /// <summary>Bytes of the elements between two channels.</summary>
    public int PairBytes => _layout.Kernel * _type.ByteSize();

    /// <summary>Elements from row to row.</summary>
    public long OuterStride { get; }

    /// <summary>Rows of all blocks.</summary>
    public int OuterLength => Count * Outer;

    /// <summary>Columns of all blocks.</summary>
    public int InnerLength => IsDiagonal ? Outer : Count * Inner;

    /// <summary>Whether rows and columns of both mean the same channels.</summary>
    public bool HasSameShape(in WeightBlocks other) =>
        OuterAxis == other.OuterAxis && Count == other.Count && Outer == other.Outer && Inner == other.Inner;

    /// <summary>One block of the tensor at <paramref name="address"/>.</summary>
    public MatrixView View(nint address, int block) => new(
        (byte*)address + (_layout.Offset + block * _layout.GroupStride) * _type.ByteSize(),
        _type,
        Outer,
        Inner,
        _layout.Kernel,
        OuterStride,
        OuterAxis == Axis.Output ? _layout.InputStride : _layout.OutputStride,
        _layout.KernelStride);
}

/// <summary>A rectangle of one block of a weight: the unit of work of one thread.</summary>
/// <param name="Block">Index of the block.</param>
/// <param name="Outer">First row within the block.</param>
/// <param name="OuterCount">Number of rows.</param>
/// <param name="Inner">First column within the block.</param>
/// <param name="InnerCount">Number of columns.</param>
/// <param name="Band">Index of the row band within the block: its column sums are partial sums of their own.</param>
/// <param name="Stripe">Index of the column stripe within the block: its row sums are partial sums of their own.</param>
internal readonly record struct Tile(int Block, int Outer, int OuterCount, int Inner, int InnerCount, int Band, int Stripe);

/// <summary>
/// Cuts ranges of a weight into tiles, by shape alone: the cut decides the order of additions, so it must not depend on the number of
/// threads.
/// </summary>
internal sealed class TileGrid
{
    // 64 rows share one vector of partial column sums: 8 / (64 * 4) = 3 % of the bytes of a float32 row. More rows starve threads.
    // Bands of equal height may be lower, down to half of it where there are two.
    private const int MinRows = 64;

    // Below this a tile is not worth handing to a thread: 64 Ki elements take some 10 microseconds.
    private const int MinElements = 65536;

    // Loops take up to eight rows at a time.
    private const int RowMultiple = 8;

    private const int MaxColumns = 16384;

    public TileGrid(in WeightBlocks blocks, Range outer, Range inner)
    {
        var tiles = new List<Tile>();
        for (var block = 0; block < blocks.Count; block++)
        {
            var (rowFirst, rowEnd) = Clip(outer, block * blocks.Outer, blocks.Outer);
            var (columnFirst, columnEnd) = blocks.IsDiagonal ? (0, 1) : Clip(inner, block * blocks.Inner, blocks.Inner);
            var columns = Math.Min(MaxColumns, Math.Max(1, columnEnd - columnFirst));
            var elements = Math.Min(MinElements, (long)columns * Math.Max(1, blocks.Kernel));
            var rows = Math.Max(MinRows, ((int)((MinElements + elements - 1) / elements) + RowMultiple - 1) / RowMultiple * RowMultiple);

            // Bands of nearly the same height: two threads that share a matrix of 500 rows have 256 and 244, not 272 and 228.
            var bands = Math.Max(1, (rowEnd - rowFirst + rows - 1) / rows);
            rows = Math.Min(rows, ((rowEnd - rowFirst + bands - 1) / bands + RowMultiple - 1) / RowMultiple * RowMultiple);
            for (var (r, band) = (rowFirst, 0); r < rowEnd; r += rows, band++)
            {
                for (var (c, stripe) = (columnFirst, 0); c < columnEnd; c += columns, stripe++)
                {
                    tiles.Add(new Tile(block, r, Math.Min(rows, rowEnd - r), c, Math.Min(columns, columnEnd - c), band, stripe));
                    Bands = Math.Max(Bands, band + 1);
                    Stripes = Math.Max(Stripes, stripe + 1);
                }
            }
        }

        Tiles = [.. tiles];
        foreach (var tile in Tiles)
        {
            Edges += (long)tile.OuterCount * tile.InnerCount;
        }
    }

    public Tile[] Tiles { get; }

    /// <summary>Most row bands in a block.</summary>
    public int Bands { get; }

    /// <summary>Most column stripes in a block.</summary>
    public int Stripes { get; }

    /// <summary>Energies covered.</summary>
    public long Edges { get; }

    private static (int First, int End) Clip(Range range, int start, int length)
    {
        var first = Math.Max(range.Start.Value - start, 0);
        var end = Math.Min(range.End.Value - start, length);
        return (first, Math.Max(first, end));
    }
}
