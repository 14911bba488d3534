namespace EquiNorm.Gpu.Layout;

/// <summary>
/// The part of one matrix of a weight that lies in one output segment and one input segment, cut into bands of rows and stripes of
/// columns. Each stripe has partial sums of its rows, each band of its columns.
/// </summary>
internal sealed record Panel
{
    /// <summary>Index of the weight in the plan.</summary>
    public required int Weight { get; init; }

    /// <summary>Index of the segment on the output axis.</summary>
    public required int OutputSegment { get; init; }

    /// <summary>Index of the segment on the input axis.</summary>
    public required int InputSegment { get; init; }

    /// <summary>First position on the axis of the rows (diagonal: on the output axis).</summary>
    public required int FirstRow { get; init; }

    /// <summary>Positions on the axis of the rows.</summary>
    public required int Rows { get; init; }

    /// <summary>First position on the axis of the columns (diagonal: on the input axis).</summary>
    public required int FirstColumn { get; init; }

    /// <summary>Positions on the axis of the columns.</summary>
    public required int Columns { get; init; }

    /// <summary>Where the partial sums of the rows start: one vector of <see cref="Rows"/> for each stripe.</summary>
    public int RowSums { get; set; }

    /// <summary>Number of stripes.</summary>
    public int RowParts { get; set; }

    /// <summary>Where the partial sums of the columns start: one vector of <see cref="Columns"/> for each band.</summary>
    public int ColumnSums { get; set; }

    /// <summary>Number of bands.</summary>
    public int ColumnParts { get; set; }

    /// <summary>Index of the first tile's norm.</summary>
    public int Norms { get; set; }

    /// <summary>Number of tiles.</summary>
    public int Tiles { get; set; }
}
