using EquiNorm.Model;

namespace EquiNorm.Backends.Cpu;

/// <summary>
/// Multiplies any run of elements of a contiguous tensor by their factors, in place, on the calling thread: what a writer needs that
/// streams a tensor through a small buffer. Float64 arithmetic, rounded once, the same bits as rescaling the whole tensor.
/// </summary>
public sealed unsafe class ElementScaler
{
    private readonly WeightLayout _layout;
    private readonly ElementType _type;
    private readonly double[] _outer;
    private readonly double[] _inner;
    private readonly int _outerPerBlock;
    private readonly int _innerPerBlock;

    // Within a row: the kernel positions of one channel lie together, or the channels of one position.
    private readonly bool _kernelInside;

    /// <param name="layout">A contiguous layout without offset whose rows are channels: [O, I, K], [O, K, I], [I, O, K] or [I, K, O], grouped or not.</param>
    /// <param name="type">Storage type.</param>
    /// <param name="outputs">The factor of each output channel.</param>
    /// <param name="inputs">The factor of each input channel (1/d, for a rescaling).</param>
    /// <exception cref="ArgumentException">The layout is not contiguous, or the numbers of factors do not fit it.</exception>
    public ElementScaler(WeightLayout layout, ElementType type, double[] outputs, double[] inputs)
    {
        if (outputs.Length != layout.Outputs || inputs.Length != layout.Inputs)
        {
            throw new ArgumentException(
                $"{outputs.Length} output and {inputs.Length} input factors for a weight of [{layout.Outputs}, {layout.Inputs}].", nameof(outputs));
        }

        if (layout.Elements > 0 && (layout.Offset != 0 || layout.RequiredElements != layout.Elements || !layout.HasStorageRows))
        {
            throw new ArgumentException("The layout is not contiguous.", nameof(layout));
        }

        var (inner, innerStride) = layout.IsOutputMajor ? (layout.InputsPerGroup, layout.InputStride) : (layout.OutputsPerGroup, layout.OutputStride);
        var kernelInside = Strides(layout.Kernel, 1);
        var kernelOutside = Strides(1, inner);
        if (layout.Elements > 0 && !kernelInside && !kernelOutside)
        {
            throw new ArgumentException("The layout is none of [O, I, K], [O, K, I], [I, O, K] and [I, K, O].", nameof(layout));
        }

        _layout = layout;
        _type = type;
        (_outer, _inner) = layout.IsOutputMajor ? (outputs, inputs) : (inputs, outputs);
        (_outerPerBlock, _innerPerBlock) = layout.IsOutputMajor
            ? (layout.OutputsPerGroup, layout.InputsPerGroup)
            : (layout.InputsPerGroup, layout.OutputsPerGroup);
        _kernelInside = kernelInside && (layout.IsOutputMajor || !kernelOutside);

        bool Strides(long ofInner, long ofKernel) => (inner <= 1 || innerStride == ofInner) && (layout.Kernel <= 1 || layout.KernelStride == ofKernel);
    }

    /// <summary>Rescales elements [first, first + n) of the tensor, which <paramref name="elements"/> holds, in place.</summary>
    /// <returns>What happened, and whether all results are finite.</returns>
    public (ApplyReport Report, bool AllFinite) Scale(long first, Span<byte> elements)
    {
        var size = _type.ByteSize();
        var count = elements.Length / size;
        if (first < 0 || elements.Length % size != 0 || first + count > _layout.Elements)
        {
            throw new ArgumentOutOfRangeException(nameof(first), first, $"{elements.Length} bytes do not lie within {_layout.Elements} elements.");
        }

        var counts = default(ScaleCounts);
        fixed (byte* start = elements)
        {
            var rowElements = _layout.StorageRowElements;
            for (long done = 0; done < count;)
            {
                var row = (int)((first + done) / rowElements);
                var column = (first + done) % rowElements;
                var address = start + done * size;
                if (column == 0 && count - done >= rowElements)
                {
                    var rows = (int)Math.Min((count - done) / rowElements, _outerPerBlock - row % _outerPerBlock);
                    counts += Rows(address, row, rows);
                    done += rows * rowElements;
                    continue;
                }

                var part = Math.Min(count - done, rowElements - column);
                counts += PartOfRow(address, row, column, part);
                done += part;
            }

            var finite = FiniteScan.FirstNonFinite(MatrixView.RowMajor(start, _type, 1, count, 1), VectorWidths.Default) is null;
            return (new ApplyReport(counts.Overflowed, counts.Vanished), finite);
        }
    }

    private int FirstInner(int row) => row / _outerPerBlock * _innerPerBlock;

    private ScaleCounts Rows(byte* address, int row, int rows)
    {
        var stride = _layout.StorageRowElements;
        var view = _kernelInside
            ? new MatrixView(address, _type, rows, _innerPerBlock, _layout.Kernel, stride, _layout.Kernel, 1)
            : new MatrixView(address, _type, rows, _innerPerBlock, _layout.Kernel, stride, 1, _innerPerBlock);
        return Apply(view, row, FirstInner(row));
    }

    // A row begins or ends within the buffer: whole channels in the middle, pieces of a channel at the ends.
    private ScaleCounts PartOfRow(byte* address, int row, long column, long count)
    {
        // Elements of a row that lie together with one factor, or (I, K, O) with all factors in turn.
        var run = _kernelInside ? _layout.Kernel : _innerPerBlock;
        var counts = default(ScaleCounts);
        for (long done = 0; done < count;)
        {
            var (at, within) = ((column + done) / run, (column + done) % run);
            var part = (int)Math.Min(count - done, run - within);
            var whole = within == 0 ? (int)Math.Min((count - done) / run, int.MaxValue) : 0;
            var piece = address + done * _type.ByteSize();
            if (_kernelInside)
            {
                var channels = Math.Max(whole, 1);
                var kernel = whole > 0 ? run : part;
                counts += Apply(new MatrixView(piece, _type, 1, channels, kernel, 0, kernel, 1), row, FirstInner(row) + (int)at);
                done += (long)channels * kernel;
            }
            else
            {
                counts += Apply(new MatrixView(piece, _type, 1, part, 1, 0, 1, 1), row, FirstInner(row) + (int)within);
                done += part;
            }
        }

        return counts;
    }

    private ScaleCounts Apply(in MatrixView view, int outer, int inner)
    {
        fixed (double* outerFactors = _outer, innerFactors = _inner)
        {
            return ScaleKernels.Apply(view, view, outerFactors + outer, innerFactors + inner, VectorWidths.Default);
        }
    }
}
