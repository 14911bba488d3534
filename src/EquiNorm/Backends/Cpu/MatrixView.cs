// One block of a weight, seen as [outer, inner, kernel] in memory orientation: "inner" is the channel axis with the
// smaller stride, so that every kernel walks memory forward whichever of input and output channels is stored first.
// Element (o, i, k) lies at Data + (o * OuterStride + i * InnerStride + k * KernelStride) * sizeof(element).
// A tile is a smaller view; factors and sums that go with a tile start at the tile's first row and column.

using EquiNorm.Model;

namespace EquiNorm.Backends.Cpu;

/// <summary>Which of the memory layouts a view has; each has its own inner loop.</summary>
internal enum MatrixLayout
{
    /// <summary>Inner and kernel form one contiguous run [inner * kernel] (dense row-major, OIHW convolution).</summary>
    ContiguousRow,

    /// <summary>Inner is contiguous, kernel positions are apart (OHWI convolution, transposed dense after a flatten).</summary>
    ContiguousInner,

    /// <summary>Anything else: scalar loops.</summary>
    Strided,
}

/// <summary>A strided [outer, inner, kernel] block of a tensor. Strides count elements; data need not be aligned.</summary>
internal readonly unsafe struct MatrixView
{
    public MatrixView(
        byte* data, ElementType type, int outer, int inner, int kernel,
        long outerStride, long innerStride, long kernelStride)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(outer);
        ArgumentOutOfRangeException.ThrowIfNegative(inner);
        ArgumentOutOfRangeException.ThrowIfNegative(kernel);
        Data = data;
        Type = type;
        Outer = outer;
        Inner = inner;
        Kernel = kernel;
        OuterStride = outerStride;
        InnerStride = innerStride;
        KernelStride = kernelStride;
    }

    /// <summary>The view of a dense row-major [outer, inner, kernel] array.</summary>
    public static MatrixView RowMajor(byte* data, ElementType type, int outer, int inner, int kernel) =>
        new(data, type, outer, inner, kernel, (long)inner * kernel, kernel, 1);

    public byte* Data { get; }

    public ElementType Type { get; }

    public int Outer { get; }

    public int Inner { get; }

    public int Kernel { get; }

    public long OuterStride { get; }

    public long InnerStride { get; }

    public long KernelStride { get; }

    public long RowBytes => OuterStride * Type.ByteSize();

    public bool IsEmpty => Outer == 0 || Inner == 0 || Kernel == 0;

    /// <summary>A stride along an axis of extent 0 or 1 does not matter, so it does not spoil the layout.</summary>
    public MatrixLayout Layout =>
        (Kernel <= 1 || KernelStride == 1) && (Inner <= 1 || InnerStride == Kernel) ? MatrixLayout.ContiguousRow
        : Inner <= 1 || InnerStride == 1 ? MatrixLayout.ContiguousInner
        : MatrixLayout.Strided;

    public byte* At(long outer, long inner, long kernel) =>
        Data + (((outer * OuterStride) + (inner * InnerStride) + (kernel * KernelStride)) * Type.ByteSize());

    /// <summary>The tile of rows [outer0, outer0 + outerCount) and columns [inner0, inner0 + innerCount).</summary>
    public MatrixView Slice(int outer0, int outerCount, int inner0, int innerCount)
    {
        if ((uint)outer0 > (uint)Outer || (uint)outerCount > (uint)(Outer - outer0)
            || (uint)inner0 > (uint)Inner || (uint)innerCount > (uint)(Inner - inner0))
        {
            throw new ArgumentOutOfRangeException(
                nameof(outer0), $"Tile [{outer0}+{outerCount}, {inner0}+{innerCount}] is outside [{Outer}, {Inner}].");
        }

        return new(At(outer0, inner0, 0), Type, outerCount, innerCount, Kernel, OuterStride, InnerStride, KernelStride);
    }

    /// <summary>The rows [outer0, outer0 + outerCount).</summary>
    public MatrixView Rows(int outer0, int outerCount) => Slice(outer0, outerCount, 0, Inner);
}
