using EquiNorm.Model;
using EquiNorm.Plan;

namespace EquiNorm.Backends.Cpu;

/// <summary>
/// One weight of the norm on the CPU: its elements, its energies if they are stored, and its sums. Energies are stored (float64) only
/// where they are smaller than the weight, or where single ones must be left out (self-edges).
/// </summary>
internal sealed unsafe class CpuWeight
{
    private readonly double*[][] _sums;
    private readonly double*[][] _probes;
    private readonly double*[][] _probeFactors;
    private readonly double*[][] _gathered;
    private readonly int[][] _stamps;
    private readonly TileGrid[][] _grids;
    private readonly double*[] _fixed = new double*[2];
    private readonly double*[] _fixedRoom = new double*[2];

    public CpuWeight(PlannedWeight planned, TensorMemory memory, int firstTile, Arena arena)
    {
        Planned = planned;
        FirstTile = firstTile;
        Memory = memory;
        Blocks = new WeightBlocks(planned.Weight);
        var layout = planned.Weight.Layout;
        StoresEnergies = layout.Kernel * planned.Weight.ElementType.ByteSize() > sizeof(double) || layout.IsDiagonal || planned.HasSelfEdges;
        Whole = new TileGrid(Blocks, 0..Blocks.OuterLength, 0..Blocks.InnerLength);
        _sums = new double*[2][];
        _probes = new double*[2][];
        _probeFactors = new double*[2][];
        _gathered = new double*[2][];
        _stamps = new int[2][];
        _grids = new TileGrid[2][];
        foreach (var axis in (ReadOnlySpan<Axis>)[Axis.Output, Axis.Input])
        {
            Allocate(axis, arena);
        }

        Scale = planned.Weight.OutputScale.IsEmpty ? null : arena.Allocate(layout.Outputs);
        BandSums = Whole.Bands > 1 ? arena.AllocateUnset((long)Whole.Bands * BandLength) : null;
        StripeSums = Whole.Stripes > 1 ? arena.Allocate((long)Whole.Stripes * Blocks.OuterLength) : null;
        IsSingleBlock = planned.Segments(Axis.Output).Length == 1 && planned.Segments(Axis.Input).Length == 1;
    }

    public PlannedWeight Planned { get; }

    /// <summary>Number of tiles of the weights before it.</summary>
    public int FirstTile { get; }

    public TensorMemory Memory { get; set; }

    public WeightBlocks Blocks { get; }

    /// <summary>log lambda_t, less the prescale of the energies.</summary>
    public double LogScale { get; set; }

    /// <summary>The exponent and the prescale of the energies.</summary>
    public PowerLaw Law { get; set; }

    public bool StoresEnergies { get; }

    /// <summary>Whether the stored energies are those of the weight as it is now; otherwise sums read the weight itself.</summary>
    public bool HoldsEnergies { get; set; }

    /// <summary>[blocks, outer, inner] in memory orientation, or null.</summary>
    public double* Energies { get; private set; }

    /// <summary>|output scale|^p per output, or null.</summary>
    public double* Scale { get; }

    /// <summary>
    /// From band to band of the partial column sums: bands that meet in a cache line, or in the pair that is fetched together, would
    /// take it from each other with every row.
    /// </summary>
    public long BandLength => (Blocks.InnerLength + 15L) / 16 * 16;

    /// <summary>Partial column sums, one vector per row band.</summary>
    public double* BandSums { get; }

    /// <summary>Partial row sums, one vector per column stripe.</summary>
    public double* StripeSums { get; }

    /// <summary>The second pair of partial sums, for probes; allocated when first needed.</summary>
    public double* BandSums2 { get; private set; }

    public double* StripeSums2 { get; private set; }

    /// <summary>Sums that the next run should make valid (weights with a single segment on each axis).</summary>
    public WantedSums Wanted { get; set; }

    /// <summary>Whether a sum over this weight waits for the next run.</summary>
    public bool IsQueued { get; set; }

    /// <summary>Room for the largest magnitude of every tile; made when first needed.</summary>
    public double[] TileMaxima => field ??= new double[Whole.Tiles.Length];

    /// <summary>The channel of each output, or -1; made when first needed.</summary>
    public int[] OutputChannels => field ??= Channels(Axis.Output);

    /// <summary>The channel of each input, or -1; made when first needed.</summary>
    public int[] InputChannels => field ??= Channels(Axis.Input);

    /// <summary>All tiles of the weight.</summary>
    public TileGrid Whole { get; }

    /// <summary>Whether both axes are a single segment, so that both sums can be had in one read.</summary>
    public bool IsSingleBlock { get; }

    /// <summary>Energies between a channel and itself: part of the objective, not of any sum. In units of the stored energies.</summary>
    public double SelfEnergy { get; set; }

    public double* Sums(Axis axis, int segment) => _sums[(int)axis][segment];

    /// <summary>The version of the summed group that the sum belongs to.</summary>
    public ref int Stamp(Axis axis, int segment) => ref _stamps[(int)axis][segment];

    /// <summary>The tiles that a sum reads.</summary>
    public TileGrid Grid(Axis axis, int segment) => _grids[(int)axis][segment];

    /// <summary>Room for the factors of the channels that a sum runs over, if they are not consecutive.</summary>
    public double* Gathered(Axis axis, int segment) => _gathered[(int)axis][segment];

    public double* Probe(Axis axis, int segment) => _probes[(int)axis][segment];

    public double* Fixed(Axis axis) => _fixed[(int)axis];

    public double* AllocateProbe(Axis axis, int segment, Arena arena)
    {
        BandSums2 = BandSums2 is null && BandSums is not null ? arena.Allocate((long)Whole.Bands * BandLength) : BandSums2;
        StripeSums2 = StripeSums2 is null && StripeSums is not null ? arena.Allocate((long)Whole.Stripes * Blocks.OuterLength) : StripeSums2;
        return _probes[(int)axis][segment] is not null
            ? _probes[(int)axis][segment]
            : _probes[(int)axis][segment] = arena.Allocate(Planned.Length(axis));
    }

    /// <summary>Room for the factors of a probe, one per summed position.</summary>
    public double* AllocateProbeFactors(Axis axis, int segment, Arena arena)
    {
        ref var room = ref _probeFactors[(int)axis][segment];
        var other = axis == Axis.Output ? Axis.Input : Axis.Output;
        return room is not null ? room : room = arena.Allocate(Planned.Segments(other)[segment].Count);
    }

    /// <summary>Makes room for the share of frozen channels in the sums on an axis.</summary>
    public double* AllocateFixed(Axis axis, Arena arena)
    {
        var n = (int)axis;
        _fixedRoom[n] = _fixedRoom[n] is not null ? _fixedRoom[n] : arena.Allocate(Planned.Length(axis));
        if (_fixed[n] is null)
        {
            new Span<double>(_fixedRoom[n], Planned.Length(axis)).Clear();
        }

        return _fixed[n] = _fixedRoom[n];
    }

    /// <summary>The elements may have changed: no sum is valid, and no channel is frozen.</summary>
    public void Forget()
    {
        _fixed[0] = _fixed[1] = null;
        foreach (var stamps in _stamps)
        {
            Array.Fill(stamps, -1);
        }
    }

    /// <summary>Makes room for the energies, once.</summary>
    public void AllocateEnergies(Arena arena) =>
        Energies = Energies is not null ? Energies : arena.AllocateUnset(Planned.Weight.Layout.Edges);

    public double* EnergiesOf(int block) => Energies + (long)block * Blocks.Outer * Blocks.Inner;

    private int[] Channels(Axis axis)
    {
        var channels = new int[Planned.Length(axis)];
        Array.Fill(channels, -1);
        foreach (var segment in Planned.Segments(axis))
        {
            for (var i = 0; i < segment.Count; i++)
            {
                if (segment.Channels[i] >= 0)
                {
                    channels[segment.Start + i] = segment.Channels[i];
                }
            }
        }

        return channels;
    }

    // The sums on one axis: one vector, stamp and grid per segment of the other.
    private void Allocate(Axis axis, Arena arena)
    {
        var other = Planned.Segments(axis == Axis.Output ? Axis.Input : Axis.Output);
        var n = (int)axis;
        _sums[n] = new double*[other.Length];
        _probes[n] = new double*[other.Length];
        _probeFactors[n] = new double*[other.Length];
        _gathered[n] = new double*[other.Length];
        _stamps[n] = new int[other.Length];
        _grids[n] = new TileGrid[other.Length];
        for (var s = 0; s < other.Length; s++)
        {
            _sums[n][s] = arena.Allocate(Planned.Length(axis));
            _gathered[n][s] = other[s].FirstChannel >= 0 ? null : arena.Allocate(other[s].Count);
            _stamps[n][s] = -1;
            var range = other[s].Start..(other[s].Start + other[s].Count);
            var whole = other.Length == 1;
            _grids[n][s] = whole ? Whole
                : Blocks.OuterAxis == axis && !Blocks.IsDiagonal ? new TileGrid(Blocks, 0..Blocks.OuterLength, range)
                : new TileGrid(Blocks, range, 0..Blocks.InnerLength);
        }
    }
}

/// <summary>Which sums of a weight are asked for.</summary>
[Flags]
internal enum WantedSums
{
    /// <summary>Neither.</summary>
    None = 0,

    /// <summary>Sums on the output axis.</summary>
    Rows = 1,

    /// <summary>Sums on the input axis.</summary>
    Columns = 2,
}
