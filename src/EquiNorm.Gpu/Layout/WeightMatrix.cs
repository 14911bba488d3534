using EquiNorm.Model;
using EquiNorm.Plan;

namespace EquiNorm.Gpu.Layout;

/// <summary>
/// A weight as matrices in memory orientation: rows are the channel axis with the larger stride. A diagonal is one row whose columns are
/// the pairs (c, c).
/// </summary>
internal readonly struct WeightMatrix
{
    private readonly WeightLayout _layout;

    public WeightMatrix(WeightLayout layout, ElementType type)
    {
        _layout = layout;
        ElementType = type;
        IsDiagonal = _layout.IsDiagonal;
        RowAxis = IsDiagonal || _layout.IsOutputMajor ? Axis.Output : Axis.Input;
        var outputs = RowAxis == Axis.Output;
        Count = IsDiagonal ? 1 : _layout.Groups;
        Rows = IsDiagonal ? 1 : outputs ? _layout.OutputsPerGroup : _layout.InputsPerGroup;
        Columns = IsDiagonal ? _layout.Groups : outputs ? _layout.InputsPerGroup : _layout.OutputsPerGroup;
        RowStride = IsDiagonal ? 0 : outputs ? _layout.OutputStride : _layout.InputStride;
        ColumnStride = IsDiagonal ? _layout.GroupStride : outputs ? _layout.InputStride : _layout.OutputStride;
    }

    public ElementType ElementType { get; }

    public bool IsDiagonal { get; }

    /// <summary>The axis of the rows.</summary>
    public Axis RowAxis { get; }

    /// <summary>Number of matrices: groups of a grouped convolution.</summary>
    public int Count { get; }

    /// <summary>Rows of a matrix.</summary>
    public int Rows { get; }

    /// <summary>Columns of a matrix.</summary>
    public int Columns { get; }

    /// <summary>Elements from row to row.</summary>
    public long RowStride { get; }

    /// <summary>Elements from column to column.</summary>
    public long ColumnStride { get; }

    public int Kernel => _layout.Kernel;

    public long KernelStride => _layout.KernelStride;

    /// <summary>Whether a row is one contiguous run of elements.</summary>
    public bool HasContiguousRows => (Kernel == 1 || KernelStride == 1) && (Columns <= 1 || ColumnStride == Kernel);

    /// <summary>Index of an element within the tensor.</summary>
    public long Offset(int matrix, int row, int column) =>
        _layout.Offset + matrix * _layout.GroupStride + row * RowStride + column * ColumnStride;
}
