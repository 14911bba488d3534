using System.Runtime.CompilerServices;
using EquiNorm.Plan;

namespace EquiNorm.Backends.Cpu;

/// <summary>
/// Reads energies and sums them, several sums in one parallel run. A work item is one sum, or both sums of a weight in one read; a probe
/// adds a second pair of vectors to the same read.
/// </summary>
internal sealed unsafe class SumEngine
{
    // Runs below this many energies are done by the caller: handing them out takes longer.
    private const long MinParallelEdges = 16384;

    private readonly WorkerPool _pool;
    private readonly Traffic _traffic;
    private readonly VectorWidth _width = VectorWidths.Default;
    private readonly List<SumWork> _works = [];
    private SumWork[] _running = [];
    private (int Work, int Tile)[] _items = [];
    private (int Work, int First, int Count)[] _reductions = [];

    public SumEngine(WorkerPool pool, Traffic traffic) => (_pool, _traffic) = (pool, traffic);

    /// <summary>Energies read since the state was made.</summary>
    public long EdgesRead { get; private set; }

    /// <summary>Adds a sum to the next run.</summary>
    public void Add(CpuWeight weight, Axis axis, int segment, SumVectors first, SumVectors second) =>
        Add(new SumWork(
            weight, weight.Grid(axis, segment), SegmentStart(weight, axis, segment), axis, first, second, default, Stored(weight)));

    /// <summary>Adds both sums of a weight with a single segment on each axis, read once.</summary>
    public void AddBoth(CpuWeight weight, SumVectors rows, SumVectors columns, EnergySource source, bool isUnit) =>
        Add(new SumWork(weight, weight.Whole, 0, Axis.Output, rows, default, columns, source, isUnit));

    /// <summary>Performs what was added, in fixed order of additions.</summary>
    public void Run()
    {
        if (_works.Count == 0)
        {
            return;
        }

        Prepare(out var items, out var edges);
        var job = new SumJob(this);
        if (edges < MinParallelEdges || items == 1)
        {
            for (var n = 0; n < items; n++)
            {
                job.Execute(n, 0);
            }
        }
        else
        {
            _pool.Run(job, items);
        }

        Reduce();
        foreach (var work in _works)
        {
            work.Weight.IsQueued = false;
        }

        _works.Clear();
    }

    private static EnergySource Stored(CpuWeight weight) => weight.HoldsEnergies ? EnergySource.Store : EnergySource.Weight;

    private static int SegmentStart(CpuWeight weight, Axis axis, int segment) =>
        weight.Planned.Segments(axis == Axis.Output ? Axis.Input : Axis.Output)[segment].Start;

    private void Add(in SumWork work)
    {
        // The works of one weight share its partial sums, so they cannot run side by side.
        if (work.Weight.IsQueued && (work.Weight.BandSums is not null || work.Weight.StripeSums is not null))
        {
            Run();
        }

        work.Weight.IsQueued = true;
        _works.Add(work);
        if (work.Source != EnergySource.WeightAndStore)
        {
            EdgesRead += work.Grid.Edges;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Prepare(out int items, out long edges)
    {
        items = 0;
        edges = 0;
        if (_running.Length < _works.Count)
        {
            _running = new SumWork[_works.Count * 2];
        }

        for (var w = 0; w < _works.Count; w++)
        {
            var work = _running[w] = _works[w];
            items += work.Grid.Tiles.Length;
            _traffic.Add(work);
            edges += work.Source == EnergySource.WeightAndStore ? work.Weight.Planned.Weight.Layout.Elements : work.Grid.Edges;
            if (!work.CoversAllPositions)
            {
                ClearSums(work);
            }
        }

        // Whatever else is in the run, a tile of a weight has the same number modulo the number of threads, so it meets the same thread: the one in
        // whose cache it left its energies.
        var threads = _pool.Threads;
        var most = items + _works.Count * (threads - 1);
        if (_items.Length < most)
        {
            _items = new (int, int)[most * 2];
        }

        items = 0;
        for (var w = 0; w < _works.Count; w++)
        {
            for (var lane = _running[w].Weight.FirstTile % threads; items % threads != lane;)
            {
                _items[items++] = (w, -1);
            }

            for (var t = 0; t < _running[w].Grid.Tiles.Length; t++)
            {
                _items[items++] = (w, t);
            }
        }
    }

    // A segment that misses some blocks of a grouped weight leaves their positions, or some of their bands, without a tile.
    private static void ClearSums(in SumWork work)
    {
        var blocks = work.Weight.Blocks;
        if (blocks.Count > 1)
        {
            Clear(work.Weight.BandSums, work.Weight.Whole.Bands * work.Weight.BandLength);
            Clear(work.Weight.BandSums2, work.Weight.Whole.Bands * work.Weight.BandLength);
            Clear(work.Weight.StripeSums, (long)work.Weight.Whole.Stripes * blocks.OuterLength);
            Clear(work.Weight.StripeSums2, (long)work.Weight.Whole.Stripes * blocks.OuterLength);
        }

        var length = work.Weight.Planned.Length(work.Axis);
        new Span<double>(work.First.SumsAt, length).Clear();
        if (work.Second.Sums != 0)
        {
            new Span<double>(work.Second.SumsAt, length).Clear();
        }
    }

    private static void Clear(double* numbers, long count)
    {
        if (numbers is not null)
        {
            System.Runtime.InteropServices.NativeMemory.Clear(numbers, (nuint)(count * sizeof(double)));
        }
    }

    private void ExecuteTile(int item)
    {
        if (_items[item].Tile < 0)
        {
            return;
        }

        ref readonly var work = ref _running[_items[item].Work];
        var tile = work.Grid.Tiles[_items[item].Tile];
        var weight = work.Weight;
        if (weight.Blocks.IsDiagonal)
        {
            DiagonalSums.Run(work, tile, _width);
            return;
        }

        var sums = Vectors(work, tile);
        var scale = weight.Scale;
        var outer = tile.Block * weight.Blocks.Outer + tile.Outer;
        var inner = tile.Block * weight.Blocks.Inner + tile.Inner;
        var outputMajor = weight.Blocks.OuterAxis == Axis.Output;
        var outerScale = scale is not null && outputMajor ? scale + outer : null;
        var innerScale = scale is not null && !outputMajor ? scale + inner : null;
        var stored = work.Source != EnergySource.Weight ? weight.EnergiesOf(tile.Block) + (long)tile.Outer * weight.Blocks.Inner + tile.Inner : null;
        if (work.Source == EnergySource.Store)
        {
            SumKernels.Accumulate(new EnergyTile((nint)stored, tile.OuterCount, tile.InnerCount, weight.Blocks.Inner), sums, _width);
            return;
        }

        var view = weight.Blocks.View(weight.Memory.Address, tile.Block).Slice(tile.Outer, tile.OuterCount, tile.Inner, tile.InnerCount);
        if (stored is not null)
        {
            SumKernels.Materialise(view, weight.Law, outerScale, innerScale, stored, weight.Blocks.Inner, sums, _width);
        }
        else
        {
            SumKernels.Accumulate(view, weight.Law, outerScale, innerScale, sums, _width);
        }
    }

    // Where the factors and sums of a tile lie; partial sums go to the tile's band or stripe.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static TileSums Vectors(in SumWork work, in Tile tile)
    {
        var blocks = work.Weight.Blocks;
        var outer = tile.Block * blocks.Outer + tile.Outer;
        var inner = tile.Block * blocks.Inner + tile.Inner;
        var sums = new TileSums { IsUnit = work.IsUnit, TakesLargest = work.Weight.Law.TakesLargest };
        var (rows, rows2) = work.RowVectors;
        if (rows.Sums != 0)
        {
            sums.InnerFactor = rows.FactorsAt + (inner - work.Start);
            sums.OuterSums = work.Grid.Stripes == 1 ? rows.SumsAt + outer : work.Weight.StripeSums + (long)tile.Stripe * blocks.OuterLength + outer;
        }

        if (rows2.Sums != 0)
        {
            sums.InnerFactor2 = rows2.FactorsAt + (inner - work.Start);
            sums.OuterSums2 = work.Grid.Stripes == 1 ? rows2.SumsAt + outer : work.Weight.StripeSums2 + (long)tile.Stripe * blocks.OuterLength + outer;
        }

        var (columns, columns2) = work.ColumnVectors;
        if (columns.Sums != 0)
        {
            sums.OuterFactor = columns.FactorsAt + (outer - work.Start);
            sums.InnerSums = work.Grid.Bands == 1 ? columns.SumsAt + inner : work.Weight.BandSums + tile.Band * work.Weight.BandLength + inner;
            new Span<double>(sums.InnerSums, tile.InnerCount).Clear();
        }

        if (columns2.Sums != 0)
        {
            sums.OuterFactor2 = columns2.FactorsAt + (outer - work.Start);
            sums.InnerSums2 = work.Grid.Bands == 1 ? columns2.SumsAt + inner : work.Weight.BandSums2 + tile.Band * work.Weight.BandLength + inner;
            new Span<double>(sums.InnerSums2, tile.InnerCount).Clear();
        }

        return sums;
    }

    // Combines partial sums, band by band and stripe by stripe.
    private void Reduce()
    {
        const int chunk = 4096;
        var count = 0;
        for (var w = 0; w < _works.Count; w++)
        {
            if (_running[w].Grid.Bands <= 1 && _running[w].Grid.Stripes <= 1 || _running[w].Weight.Blocks.IsDiagonal)
            {
                continue;
            }

            var longest = Math.Max(_running[w].Weight.Blocks.InnerLength, _running[w].Weight.Blocks.OuterLength);
            for (var first = 0; first < longest; first += chunk)
            {
                if (count == _reductions.Length)
                {
                    Array.Resize(ref _reductions, Math.Max(16, 2 * count));
                }

                _reductions[count++] = (w, first, chunk);
            }
        }

        var job = new ReduceJob(this);
        if (count > 2)
        {
            _pool.Run(job, count);
            return;
        }

        for (var n = 0; n < count; n++)
        {
            job.Execute(n, 0);
        }
    }

    private void ReduceChunk(int item)
    {
        var (w, first, count) = _reductions[item];
        ref readonly var work = ref _running[w];
        var weight = work.Weight;
        var (rows, rows2) = work.RowVectors;
        var (columns, columns2) = work.ColumnVectors;
        if (work.Grid.Stripes > 1)
        {
            var parts = new PartialSums(work.Grid.Stripes, weight.Blocks.OuterLength, weight.Blocks.OuterLength, weight.Law.TakesLargest);
            parts.Combine(rows, weight.StripeSums, first, count);
            parts.Combine(rows2, weight.StripeSums2, first, count);
        }

        if (work.Grid.Bands > 1)
        {
            var parts = new PartialSums(work.Grid.Bands, weight.BandLength, weight.Blocks.InnerLength, weight.Law.TakesLargest);
            parts.Combine(columns, weight.BandSums, first, count);
            parts.Combine(columns2, weight.BandSums2, first, count);
        }
    }

    private readonly struct SumJob(SumEngine engine) : IWorkerJob
    {
        public void Execute(int item, int worker) => engine.ExecuteTile(item);
    }

    private readonly struct ReduceJob(SumEngine engine) : IWorkerJob
    {
        public void Execute(int item, int worker) => engine.ReduceChunk(item);
    }
}
