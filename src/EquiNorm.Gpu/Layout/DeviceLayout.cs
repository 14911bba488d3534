using EquiNorm.Gpu.Tables;
using EquiNorm.Model;
using EquiNorm.Plan;

namespace EquiNorm.Gpu.Layout;

/// <summary>
/// A plan laid out for a device: every weight cut into panels and tiles, and the place of every channel index, sum, norm and energy.
/// Depends on shapes only; addresses are filled in later.
/// </summary>
internal sealed class DeviceLayout
{
    private readonly List<int> _channels = [];
    private readonly List<Panel> _panels = [];
    private readonly List<SumTile> _weightTiles = [];
    private readonly List<SumTile> _energyTiles = [];
    private readonly int _tileBytes;

    public DeviceLayout(RescalingPlan plan)
    {
        Plan = plan;
        long bytes = plan.Weights.Sum(w => w.Weight.Layout.Elements * w.Weight.ElementType.ByteSize());
        _tileBytes = (int)Math.Clamp(bytes / KernelPolicy.Tiles, KernelPolicy.RowBytes, KernelPolicy.TileBytes);
        var weights = new List<WeightPlace>();
        foreach (var weight in plan.Weights)
        {
            weights.Add(Place(weight));
        }

        Weights = [.. weights];
        foreach (var type in plan.Weights.Select(w => w.Weight.ElementType).Distinct())
        {
            AllTiles.Add(new TileTable(type, Weights, _weightTiles, w => w.Matrix.ElementType == type));
            DirectTiles.Add(new TileTable(type, Weights, _weightTiles, w => w.Matrix.ElementType == type && !w.StoresEnergies));
        }

        EnergyTiles = new TileTable(ElementType.Float64, Weights, _energyTiles, w => w.StoresEnergies);
        Channels = [.. _channels];
        Panels = [.. _panels];
    }

    public RescalingPlan Plan { get; }

    /// <summary>Where each weight of the plan is.</summary>
    public WeightPlace[] Weights { get; }

    /// <summary>All panels, by weight, output segment and input segment.</summary>
    public Panel[] Panels { get; }

    /// <summary>Tiles that read weights, a table for each storage type.</summary>
    public List<TileTable> AllTiles { get; } = [];

    /// <summary>The same for those weights alone whose energies are not worth storing.</summary>
    public List<TileTable> DirectTiles { get; } = [];

    /// <summary>Tiles that read stored energies.</summary>
    public TileTable EnergyTiles { get; }

    /// <summary>The channel of each position of each segment, -1 for positions of other segments.</summary>
    public int[] Channels { get; }

    /// <summary>Number of partial sums.</summary>
    public int SumCount { get; private set; }

    /// <summary>Number of tiles, and so of norms.</summary>
    public int NormCount { get; private set; }

    /// <summary>Number of stored energies.</summary>
    public long EnergyCount { get; private set; }

    /// <summary>Number of output scales.</summary>
    public int ScaleCount { get; private set; }

    /// <summary>The panels of one block.</summary>
    public ReadOnlySpan<Panel> PanelsOf(int weight, int outputSegment, int inputSegment)
    {
        var place = Weights[weight];
        var first = -1;
        var count = 0;
        for (var n = place.FirstPanel; n < place.FirstPanel + place.PanelCount; n++)
        {
            if (Panels[n].OutputSegment == outputSegment && Panels[n].InputSegment == inputSegment)
            {
                first = first < 0 ? n : first;
                count++;
            }
        }

        return first < 0 ? default : Panels.AsSpan(first, count);
    }

    private WeightPlace Place(PlannedWeight planned)
    {
        var matrix = new WeightMatrix(planned.Weight.Layout, planned.Weight.ElementType);
        var size = planned.Weight.ElementType.ByteSize();
        var place = new WeightPlace
        {
            Matrix = matrix,
            StoresEnergies = matrix.Kernel * size > sizeof(double) || matrix.IsDiagonal,
            Scales = planned.Weight.OutputScale.IsEmpty ? -1 : ScaleCount,
            FirstPanel = _panels.Count,
            FirstSum = SumCount,
            FirstNorm = NormCount,
            Energies = EnergyCount,
        };
        ScaleCount += planned.Weight.OutputScale.Length;
        if (place.StoresEnergies)
        {
            // A multiple of four, so that rows can be read by 16 bytes.
            EnergyCount += (planned.Weight.Layout.Edges + 3) / 4 * 4;
        }

        var outputs = planned.Segments(Axis.Output);
        var inputs = planned.Segments(Axis.Input);
        int[] outputChannels = new int[outputs.Length];
        int[] inputChannels = new int[inputs.Length];
        AddChannels(outputs, outputChannels);
        AddChannels(inputs, inputChannels);
        for (var o = 0; o < outputs.Length; o++)
        {
            for (var i = 0; i < inputs.Length; i++)
            {
                for (var m = 0; m < matrix.Count; m++)
                {
                    AddPanel(planned, place, m, o, i, outputChannels[o], inputChannels[i]);
                }
            }
        }

        place.PanelCount = _panels.Count - place.FirstPanel;
        place.SumCount = SumCount - place.FirstSum;
        place.NormCount = NormCount - place.FirstNorm;
        return place;
    }

    private void AddChannels(ReadOnlySpan<AxisSegment> segments, int[] starts)
    {
        for (var s = 0; s < segments.Length; s++)
        {
            starts[s] = _channels.Count;
            _channels.AddRange(segments[s].Channels);
        }
    }

    private void AddPanel(PlannedWeight planned, WeightPlace place, int m, int outputSegment, int inputSegment, int outputChannels, int inputChannels)
    {
        var matrix = place.Matrix;
        var output = planned.Segments(Axis.Output)[outputSegment];
        var input = planned.Segments(Axis.Input)[inputSegment];
        var rowsAreOutputs = matrix.RowAxis == Axis.Output;
        var (rowSegment, columnSegment) = rowsAreOutputs ? (output, input) : (input, output);
        var (rowChannels, columnChannels) = rowsAreOutputs ? (outputChannels, inputChannels) : (inputChannels, outputChannels);
        int firstRow, rows, firstColumn, columns;
        if (matrix.IsDiagonal)
        {
            firstRow = firstColumn = Math.Max(output.Start, input.Start);
            rows = columns = Math.Min(output.Start + output.Count, input.Start + input.Count) - firstColumn;
        }
        else
        {
            (firstRow, rows) = Clip(rowSegment, m * matrix.Rows, matrix.Rows);
            (firstColumn, columns) = Clip(columnSegment, m * matrix.Columns, matrix.Columns);
        }

        if (rows <= 0 || columns <= 0)
        {
            return;
        }

        var panel = new Panel
        {
            Weight = planned.Index,
            OutputSegment = outputSegment,
            InputSegment = inputSegment,
            FirstRow = firstRow,
            Rows = rows,
            FirstColumn = firstColumn,
            Columns = columns,
        };
        var cut = new TileCut(matrix, planned.Weight.ElementType.ByteSize(), matrix.IsDiagonal ? 1 : rows, columns, _tileBytes);
        panel.RowParts = matrix.IsDiagonal ? 1 : cut.Stripes;
        panel.ColumnParts = matrix.IsDiagonal ? 1 : cut.Bands;
        panel.RowSums = SumCount;
        SumCount = checked(SumCount + rows * panel.RowParts);
        panel.ColumnSums = SumCount;
        SumCount = checked(SumCount + columns * panel.ColumnParts);
        panel.Norms = NormCount;
        panel.Tiles = cut.Bands * cut.Stripes;
        NormCount += panel.Tiles;
        _panels.Add(panel);
        for (var band = 0; band < cut.Bands; band++)
        {
            for (var stripe = 0; stripe < cut.Stripes; stripe++)
            {
                var row = band * cut.Rows;
                var column = stripe * cut.Columns;
                var inMatrixRow = matrix.IsDiagonal ? 0 : firstRow - m * matrix.Rows + row;
                var inMatrixColumn = (matrix.IsDiagonal ? firstColumn : firstColumn - m * matrix.Columns) + column;
                var tile = new SumTile
                {
                    Elements = matrix.Offset(m, inMatrixRow, inMatrixColumn),
                    RowStride = matrix.RowStride,
                    ColumnStride = matrix.ColumnStride,
                    KernelStride = matrix.KernelStride,
                    Energies = -1,
                    Prescale = 1,
                    Rows = matrix.IsDiagonal ? 1 : Math.Min(cut.Rows, rows - row),
                    Columns = Math.Min(cut.Columns, columns - column),
                    Kernel = matrix.Kernel,
                    RowChannels = rowChannels + firstRow - rowSegment.Start + (matrix.IsDiagonal ? column : row),
                    ColumnChannels = columnChannels + firstColumn - columnSegment.Start + column,
                    Scales = place.Scales < 0 ? -1
                        : place.Scales + (matrix.IsDiagonal || !rowsAreOutputs ? firstColumn + column : firstRow + row),
                    RowSums = panel.RowSums + (matrix.IsDiagonal ? column : stripe * rows + row),
                    ColumnSums = panel.ColumnSums + (matrix.IsDiagonal ? column : band * columns + column),
                    Norm = panel.Norms + band * cut.Stripes + stripe,
                    Weight = planned.Index,
                    Flags = (rowsAreOutputs ? TileFlags.RowsAreOutputs : 0)
                        | (matrix.IsDiagonal ? TileFlags.Diagonal : 0)
                        | (planned.HasSelfEdges ? TileFlags.SelfEdges : 0),
                };
                if (place.StoresEnergies)
                {
                    tile.EnergyStride = matrix.Columns;
                    tile.Energies = place.Energies + ((long)m * matrix.Rows + inMatrixRow) * matrix.Columns + inMatrixColumn;
                    _energyTiles.Add(TileShape.Shape(tile with
                    {
                        Elements = tile.Energies,
                        RowStride = matrix.Columns,
                        ColumnStride = 1,
                        KernelStride = 1,
                        Kernel = 1,
                        Energies = -1,
                        Scales = -1,

                        // They were left out when the energies were stored.
                        Flags = tile.Flags & ~TileFlags.SelfEdges,
                    }, sizeof(double)));
                }

                _weightTiles.Add(tile);
            }
        }
    }

    private static (int First, int Count) Clip(AxisSegment segment, int start, int length)
    {
        var first = Math.Max(segment.Start, start);
        return (first, Math.Min(segment.Start + segment.Count, start + length) - first);
    }
}

/// <summary>Where a weight is in the tables.</summary>
internal sealed class WeightPlace
{
    public required WeightMatrix Matrix { get; init; }

    /// <summary>Whether its energies are worth keeping: they are smaller than the weight, or a depthwise pair needs them.</summary>
    public required bool StoresEnergies { get; init; }

    /// <summary>Index of its first output scale, or -1.</summary>
    public required int Scales { get; init; }

    /// <summary>Index of its first panel.</summary>
    public required int FirstPanel { get; init; }

    /// <summary>Index of its first partial sum.</summary>
    public required int FirstSum { get; init; }

    /// <summary>Index of its first tile's norm.</summary>
    public required int FirstNorm { get; init; }

    /// <summary>Index of its first stored energy.</summary>
    public required long Energies { get; init; }

    public int PanelCount { get; set; }

    public int SumCount { get; set; }

    public int NormCount { get; set; }
}
