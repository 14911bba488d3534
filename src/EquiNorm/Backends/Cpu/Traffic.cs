namespace EquiNorm.Backends.Cpu;

/// <summary>
/// Bytes of elements and of stored energies that the passes of a backend have read and written, from the shapes of what is handed out: added once for each parallel run, by the thread that hands them out.
/// </summary>
/// <remarks>
/// Not counted: vectors with one number per channel (factors, sums, and the energies of a depthwise weight in its closed form), and the search
/// for a NaN or an infinity once there is one. What is read several times while it is in cache (the row of a tile for its row and column sums)
/// counts once.
/// </remarks>
internal sealed class Traffic
{
    /// <summary>Bytes read since the backend was made.</summary>
    public long BytesRead { get; private set; }

    /// <summary>Bytes written since the backend was made.</summary>
    public long BytesWritten { get; private set; }

    /// <summary>Counts a run.</summary>
    public void Add(long read, long written)
    {
        BytesRead += read;
        BytesWritten += written;
    }

    /// <summary>Counts the tiles of a sum.</summary>
    public void Add(in SumWork work)
    {
        var elements = ElementBytes(work.Weight, work.Grid);
        var energies = work.Grid.Edges * sizeof(double);
        Add(work.Source == EnergySource.Store ? energies : elements, work.Source == EnergySource.WeightAndStore ? energies : 0);
    }

    /// <summary>Counts a pass over a weight that stores its energies.</summary>
    public void AddStore(CpuWeight weight) => Add(ElementBytes(weight, weight.Whole), weight.Whole.Edges * sizeof(double));

    /// <summary>Counts a pass over a weight that only reads.</summary>
    public void AddRead(CpuWeight weight) => Add(ElementBytes(weight, weight.Whole), 0);

    private static long ElementBytes(CpuWeight weight, TileGrid tiles) =>
        tiles.Edges * weight.Blocks.PairBytes;
}
