using EquiNorm.Backends.Cpu;
using EquiNorm.Model;
using EquiNorm.Plan;
using EquiNorm.Problem;

namespace EquiNorm.Quantization;

/// <summary>
/// One weight at some factors: ranges and sums of each output channel. Pieces are output channels of one block, so that no two threads add to
/// the same sum, and the order of additions depends on the shape alone.
/// </summary>
internal sealed unsafe class Int8Tally
{
    private readonly Weight _weight;
    private readonly WeightBlocks _blocks;
    private readonly nint _address;
    private readonly double[]? _outer;
    private readonly double[]? _inner;
    private readonly double[] _ranges;
    private readonly Int8Sums[] _sums;
    private double _range;

    public Int8Tally(Weight weight, nint address, Scalings scalings)
    {
        _weight = weight;
        _blocks = new WeightBlocks(weight);
        _address = address;
        _ranges = new double[weight.Layout.Outputs];
        _sums = new Int8Sums[weight.Layout.Outputs];
        var (outputs, inputs) = scalings.FactorsOf(weight);
        if (_blocks.IsDiagonal)
        {
            // Rows are channels, columns are not: one factor for each row.
            outputs = [.. outputs.Zip(inputs, (o, i) => o * i)];
            inputs = [];
        }

        var (outer, inner) = OutputsAreRows ? (outputs, inputs) : (inputs, outputs);
        if (!Array.TrueForAll(outer, f => f == 1) || !Array.TrueForAll(inner, f => f == 1))
        {
            (_outer, _inner) = (outer, inner);
        }
    }

    private bool OutputsAreRows => _blocks.OuterAxis == Axis.Output;

    private int OutputsOfBlock => OutputsAreRows ? _blocks.Outer : _blocks.Inner;

    /// <summary>Cuts a weight into pieces of about <paramref name="elements"/> elements.</summary>
    public static IEnumerable<Int8Piece> Cut(Weight weight, long elements)
    {
        var blocks = new WeightBlocks(weight);
        var (outputs, inputs) = blocks.OuterAxis == Axis.Output ? (blocks.Outer, blocks.Inner) : (blocks.Inner, blocks.Outer);
        var channel = Math.Max(1, (long)inputs * blocks.Kernel);

        // Columns of a matrix: no more than a tile has room for, no fewer than memory hands over at a time.
        var count = blocks.OuterAxis == Axis.Output
            ? Math.Max(1, elements / channel)
            : Math.Clamp(elements / channel, Math.Min(64, TileColumns(blocks.Kernel)), TileColumns(blocks.Kernel));
        for (var block = 0; block < blocks.Count; block++)
        {
            for (var first = 0; first < outputs; first += (int)Math.Min(count, outputs - first))
            {
                yield return new Int8Piece(weight.Index, block, first, (int)Math.Min(count, outputs - first));
            }
        }
    }

    /// <summary>Elements of the largest tile of a weight.</summary>
    public static int TileElementsOf(Weight weight) => Math.Max(TileElements, weight.Layout.Kernel);

    /// <summary>First pass: the range of each output channel of a piece.</summary>
    public void AddRanges(in Int8Piece piece, WidenedTile tile)
    {
        var columns = OutputsAreRows ? null : new double[(long)piece.Count * _blocks.Kernel];
        fixed (double* ranges = _ranges, positions = columns)
        {
            var first = ranges + FirstOutput(piece);
            for (var walk = new Walk(this, piece); walk.Next(tile);)
            {
                for (var r = 0; r < walk.Rows; r++)
                {
                    var row = tile.Values + (long)r * walk.RowElements;
                    if (OutputsAreRows)
                    {
                        ref var range = ref first[walk.Row - piece.First + r];
                        range = NaNOrMax(range, Int8Loops.Range(row, walk.RowElements));
                    }
                    else
                    {
                        Int8Loops.RangeOfColumns(row, walk.RowElements, positions);
                    }
                }
            }

            for (var j = 0; j < (columns?.Length ?? 0); j++)
            {
                ref var range = ref first[ChannelOf(j, piece, tile)];
                range = NaNOrMax(range, positions[j]);
            }
        }
    }

    /// <summary>Between the passes: the range of the tensor.</summary>
    public void EndRanges()
    {
        foreach (var range in _ranges)
        {
            _range = NaNOrMax(_range, range);
        }
    }

    /// <summary>The first element that is NaN or infinite as it would be written, and what is stored there; null if there is none. After the first pass.</summary>
    public (int Output, int Input, int Kernel, double Stored)? FirstNonFinite()
    {
        var tile = double.IsFinite(_range) ? null : new WidenedTile(1);
        for (var block = 0; tile is not null && block < _blocks.Count; block++)
        {
            var view = _blocks.View(_address, block);
            for (var (row, column) = (0, 0); row < view.Outer; (row, column) = column + 1 < view.Inner ? (row, column + 1) : (row + 1, 0))
            {
                for (var k = 0; k < view.Kernel; k++)
                {
                    var one = new MatrixView(view.At(row, column, k), view.Type, 1, 1, 1, 0, 0, 0);
                    if (!double.IsFinite(Read(one, block, row, column, tile)))
                    {
                        tile.Read(one, null, null);
                        return (OutputsAreRows ? block * view.Outer + row : block * view.Inner + column, OutputsAreRows ? column : row, k, tile.Values[0]);
                    }
                }
            }
        }

        return null;
    }

    /// <summary>Second pass: signal and noise of each output channel of a piece.</summary>
    public void AddNoise(in Int8Piece piece, WidenedTile tile)
    {
        if (_range == 0)
        {
            return;
        }

        if (OutputsAreRows)
        {
            AddNoiseOfRows(piece, tile);
            return;
        }

        var columns = piece.Count * _blocks.Kernel;
        var room = new double[4L * columns];
        fixed (double* ranges = room)
        {
            double* signal = ranges + columns, byTensor = signal + columns, byChannel = byTensor + columns;
            for (var walk = new Walk(this, piece); walk.Next(tile);)
            {
                for (var j = 0; walk.IsFirst && j < columns; j++)
                {
                    ranges[j] = UnitOf(_ranges[FirstOutput(piece) + ChannelOf(j, piece, tile)]);
                }

                for (var r = 0; r < walk.Rows; r++)
                {
                    Int8Loops.NoiseOfColumns(tile.Values + (long)r * walk.RowElements, columns, ranges, _range, signal, byTensor, byChannel);
                }
            }

            for (var j = 0; j < columns; j++)
            {
                Add(FirstOutput(piece) + ChannelOf(j, piece, tile), new Int8Sums(signal[j], byTensor[j], byChannel[j]));
            }
        }
    }

    /// <summary>The result, after both passes.</summary>
    public Int8Noise ToNoise()
    {
        var (signal, byTensor, byChannel, smallest) = (0.0, 0.0, 0.0, _range);
        for (var o = 0; o < _ranges.Length && _range > 0; o++)
        {
            // Everything in units of the tensor's range: neither its square nor the channel's need be in range.
            var relative = _ranges[o] / _range;
            signal += _sums[o].Signal * relative * relative;
            byChannel += _sums[o].Channel * relative * relative;
            byTensor += _sums[o].Tensor;
            smallest = _ranges[o] > 0 ? Math.Min(smallest, _ranges[o]) : smallest;
        }

        const double levels = Int8Loops.Levels * Int8Loops.Levels;
        return new Int8Noise(
            _weight, _range, _range > 0 ? _range / smallest : 1,
            SignalToNoise.Of(signal, byTensor / levels), SignalToNoise.Of(signal, byChannel / levels))
        {
            Energies = (signal, byTensor / levels, byChannel / levels),
        };
    }

    // Reads a rectangle of a block; its first element is the result.
    private double Read(in MatrixView view, int block, int row, int column, WidenedTile tile)
    {
        fixed (double* outer = _outer, inner = _inner)
        {
            tile.Read(
                view,
                outer is null ? null : outer + (long)block * _blocks.Outer + row,
                inner is null ? null : inner + (long)block * _blocks.Inner + column);
        }

        return tile.Values[0];
    }

    private void AddNoiseOfRows(in Int8Piece piece, WidenedTile tile)
    {
        for (var walk = new Walk(this, piece); walk.Next(tile);)
        {
            for (var r = 0; r < walk.Rows; r++)
            {
                var output = FirstOutput(piece) + walk.Row - piece.First + r;
                Add(output, Int8Loops.Noise(
                    tile.Values + (long)r * walk.RowElements, walk.RowElements, UnitOf(_ranges[output]), _range));
            }
        }
    }

    private void Add(int output, Int8Sums more)
    {
        var sums = _sums[output];
        _sums[output] = new Int8Sums(sums.Signal + more.Signal, sums.Tensor + more.Tensor, sums.Channel + more.Channel);
    }

    private int FirstOutput(in Int8Piece piece) => piece.Block * OutputsOfBlock + piece.First;

    // Which of a piece's output channels column j of a tile belongs to.
    private int ChannelOf(int j, in Int8Piece piece, WidenedTile tile) => tile.KernelOutside ? j % piece.Count : j / _blocks.Kernel;

    // A channel of zeros is measured in units of 1: it has neither signal nor noise.
    private static double UnitOf(double range) => range > 0 ? range : 1;

    private static double NaNOrMax(double a, double b) => double.IsNaN(a) ? a : double.IsNaN(b) || b > a ? b : a;

    // Half of the first-level cache in float64; more columns than this would leave no room for a second row.
    private const int TileElements = 2048;

    private static int TileColumns(int kernel) => Math.Max(1, TileElements / Math.Max(1, kernel));

    /// <summary>The tiles of a piece, in the order of memory.</summary>
    private struct Walk
    {
        private readonly Int8Tally _tally;
        private readonly MatrixView _view;
        private readonly (int Row, int Rows, int Column, int Columns) _area;
        private readonly int _block;
        private readonly int _tileRows;
        private readonly int _tileColumns;
        private int _column;
        private int _columns;

        public Walk(Int8Tally tally, in Int8Piece piece)
        {
            var blocks = tally._blocks;
            _tally = tally;
            _block = piece.Block;
            _view = blocks.View(tally._address, piece.Block);
            _area = tally.OutputsAreRows ? (piece.First, piece.Count, 0, blocks.Inner) : (0, blocks.Outer, piece.First, piece.Count);
            _tileColumns = tally.OutputsAreRows ? Math.Min(_area.Columns, TileColumns(blocks.Kernel)) : _area.Columns;
            _tileRows = (int)Math.Clamp(TileElements / Math.Max(1, (long)_tileColumns * blocks.Kernel), 1, Math.Max(1, _area.Rows));
            Row = _area.Row;
            _column = _area.Column;
        }

        public int Row { get; private set; }

        public int Rows { get; private set; }

        public readonly int RowElements => _columns * _view.Kernel;

        public readonly bool IsFirst => Row == _area.Row && _column == _area.Column;

        /// <summary>Reads the next tile; false if there is none.</summary>
        public bool Next(WidenedTile tile)
        {
            if (Rows > 0)
            {
                _column += _columns;
                if (_column == _area.Column + _area.Columns)
                {
                    (Row, _column) = (Row + Rows, _area.Column);
                }
            }

            Rows = Math.Min(_tileRows, _area.Row + _area.Rows - Row);
            _columns = Math.Min(_tileColumns, _area.Column + _area.Columns - _column);
            if (Rows == 0 || _columns == 0 || _view.Kernel == 0)
            {
                return false;
            }

            _tally.Read(_view.Slice(Row, Rows, _column, _columns), _block, Row, _column, tile);
            return true;
        }
    }
}

/// <summary>Output channels of one block of a weight.</summary>
/// <param name="Weight">Index of the weight.</param>
/// <param name="Block">Index of the block.</param>
/// <param name="First">First output channel within the block.</param>
/// <param name="Count">Number of output channels.</param>
internal readonly record struct Int8Piece(int Weight, int Block, int First, int Count);
