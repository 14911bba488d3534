using EquiNorm.Gpu.Layout;
using EquiNorm.Gpu.State;
using EquiNorm.Gpu.Tables;
using EquiNorm.Model;
using EquiNorm.Plan;
using EquiNorm.Problem;

namespace EquiNorm.Gpu.Step;

/// <summary>
/// One sweep at a time on tensors that live on the device, applied at once: the operation that is interleaved with training. A step is
/// launches only: no allocation, no copy, no waiting; it can be captured in a CUDA graph. The number of launches depends on the number of
/// storage types n alone: 3 + 3 n.
/// </summary>
/// <remarks>
/// A step reads every weight for its row and column sums, corrects whole groups (up to 256 of them; beyond that this is left out),
/// updates all channels at once and multiplies every tensor in place: 3 |W| bytes, and 2 for each companion. Where channels are dead,
/// weights are read up to four times more, to tell the sums of live and frozen channels apart. Channels that are cut off from all pinned
/// channels without being dead themselves are not looked for, as a solve does. Not thread-safe.
/// </remarks>
public sealed class GpuStepper : IDisposable
{
    // exp(300) = 1e130: products of two such factors are still in range.
    private const double LargestLogFactor = 300;

    // Live and frozen channels make four combinations of what is summed.
    private const int Sets = 4;

    private readonly RescalingPlan _plan;
    private readonly IDeviceQueue _queue;
    private readonly DeviceLayout _layout;
    private readonly CoarseTables _coarse;
    private readonly List<IDisposable> _owned = [];
    private readonly List<SumLaunch> _sums = [];
    private readonly StepScales _scales;
    private readonly StepControl _control;
    private readonly DeviceBuffer<int> _live;
    private readonly DeviceBuffer<double> _gains;
    private readonly DeviceBuffer<double> _inverseGains;
    private readonly DeviceBuffer<ChunkReport> _reports;
    private readonly DeviceBuffer<double> _coarseReport;
    private readonly int _chunks;
    private DeadParameters _dead;
    private CoarseParameters _correct;
    private UpdateParameters _update;
    private bool _disposed;

    /// <summary>Prepares steps.</summary>
    /// <param name="problem">What is minimised.</param>
    /// <param name="tensors">Device addresses of the elements; every weight that counts in the norm must be bound, biases may be.</param>
    /// <param name="queue">The device.</param>
    /// <param name="companions">Tensors that move with the weights.</param>
    /// <exception cref="NetworkException">A weight has an output scale, no elements, or a misaligned address.</exception>
    public GpuStepper(RescalingProblem problem, NetworkTensors tensors, IDeviceQueue queue, IEnumerable<StepCompanion>? companions = null)
    {
        ArgumentNullException.ThrowIfNull(queue);
        if (!ReferenceEquals(problem.Network, tensors.Network))
        {
            throw new ArgumentException("The tensors are bound to another network.", nameof(tensors));
        }

        // Applying bakes an output scale in; a second step would apply it a second time.
        if (problem.Network.Weights.FirstOrDefault(w => !w.OutputScale.IsEmpty) is { } scaled)
        {
            throw new NetworkException($"Weight '{scaled.Name}' has an output scale: fold it into the elements before stepping.");
        }

        StepCompanion[] moving = [.. companions ?? []];
        _plan = RescalingPlan.Create(problem);
        _queue = queue;
        _layout = new DeviceLayout(_plan);
        _coarse = new CoarseTables(_layout);
        var update = new UpdateTables(_layout, _plan.Singles.Span, _layout.SumCount, 2 * _layout.SumCount);
        _chunks = update.Chunks.Length;
        try
        {
            var channels = problem.Network.ChannelCount;
            _control = Own(new StepControl(queue, _plan.Groups.Count));
            _live = Buffer(Live(_plan));
            _gains = Own(new DeviceBuffer<double>(queue, Ones(channels)));
            _inverseGains = Own(new DeviceBuffer<double>(queue, Ones(channels)));
            _reports = Own(new DeviceBuffer<ChunkReport>(queue, _chunks));
            _coarseReport = Own(new DeviceBuffer<double>(queue, 2));

            // Where weights are not finite a step writes no reports.
            _reports.Clear();
            _coarseReport.Clear();
            PrepareSums(tensors, update, moving);
            _scales = Own(new StepScales(
                problem.Network, tensors, moving, _gains.View, _inverseGains.View, _sums.Count > 0 ? _control.Refusals : default, queue));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Kernels that a step launches.</summary>
    public int LaunchesPerStep => (_chunks > 0 ? 2 * _sums.Count + 2 : _sums.Count) + (_sums.Count > 0 ? 1 : 0) + _scales.Launches;

    /// <summary>The kernels that a step launches, to be loaded before a step is captured.</summary>
    public IEnumerable<KernelId> Kernels => [.. _sums.Select(s => s.Kernel), .. _scales.Kernels,
        KernelCatalog.FindDeadChannels, KernelCatalog.CorrectGroups, KernelCatalog.UpdateChannels];

    /// <summary>Whether whole groups are corrected.</summary>
    public bool CorrectsGroups => _coarse.Groups.Length <= KernelPolicy.DeviceCoarseGroups;

    /// <summary>Rescales the tensors in place by one sweep. Returns at once.</summary>
    public void Step()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        var reset = true;
        foreach (var sum in _sums)
        {
            sum.First.Reset = reset ? _control.Reset : default;
            reset = false;
            _queue.Launch(sum.Kernel, sum.First.TileCount, KernelPolicy.GroupSize, sum.First);
        }

        if (_chunks > 0)
        {
            _queue.Launch(KernelCatalog.FindDeadChannels, _chunks, KernelPolicy.ChunkChannels, _dead);
            foreach (var sum in _sums)
            {
                _queue.Launch(sum.Kernel, Sets * sum.Again.TileCount, KernelPolicy.GroupSize, sum.Again);
            }
        }

        if (_sums.Count > 0)
        {
            _queue.Launch(KernelCatalog.CorrectGroups, 1, KernelPolicy.GroupSize, _correct);
        }

        if (_chunks > 0)
        {
            _queue.Launch(KernelCatalog.UpdateChannels, _chunks, KernelPolicy.ChunkChannels, _update);
        }

        _scales.Launch();
    }

    /// <summary>Waits for the last step, and tells what it did.</summary>
    public GpuStepReport ReadReport()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        var reports = new ChunkReport[_chunks];
        _reports.Download(reports);
        var objective = new double[2];
        _coarseReport.Download(objective);
        var live = new int[_live.Length];
        _live.Download(live);
        var (notFinite, steep) = _sums.Count == 0 ? default : _control.ReadRefusals();
        var finite = !notFinite;
        var frozen = 0;
        foreach (var group in _plan.Groups.Where(g => !g.Group.IsPinned))
        {
            frozen += live.AsSpan(group.Group.FirstChannel, group.Group.Count).Count(0);
        }

        var (overflowed, underflowed) = finite && !steep ? _scales.ReadCounts() : default;
        return new GpuStepReport(
            finite,
            !steep,
            Math.Exp(objective[0]),
            finite ? reports.Select(r => r.Residual).DefaultIfEmpty().Max() : double.NaN,
            frozen,
            overflowed,
            underflowed);
    }

    /// <summary>Waits for the last step, and returns the factors that it applied: 1 if it wrote nothing.</summary>
    public Scalings ReadScalings()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_sums.Count > 0 && _control.ReadRefusals() != default)
        {
            return Scalings.Identity(_plan.Problem.Network);
        }

        var gains = new double[_gains.Length];
        _gains.Download(gains);
        for (var c = 0; c < gains.Length; c++)
        {
            gains[c] = Math.Log(gains[c]);
        }

        return new Scalings(_plan.Problem.Network, gains);
    }

    /// <summary>Releases the workspace.</summary>
    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            for (var n = _owned.Count - 1; n >= 0; n--)
            {
                _owned[n].Dispose();
            }
        }
    }

    private static double[] Ones(int count)
    {
        var ones = new double[count];
        Array.Fill(ones, 1.0);
        return ones;
    }

    // Free channels are live until they are found dead.
    private static int[] Live(RescalingPlan plan)
    {
        var live = new int[plan.Problem.Network.ChannelCount];
        foreach (var group in plan.Groups.Where(g => !g.Group.IsPinned))
        {
            live.AsSpan(group.Group.FirstChannel, group.Group.Count).Fill(1);
        }

        return live;
    }

    private void PrepareSums(NetworkTensors tensors, UpdateTables update, StepCompanion[] companions)
    {
        var problem = _plan.Problem;
        var channels = problem.Network.ChannelCount;
        var weights = Own(new DeviceWeights(_plan, tensors, TensorLocation.Device, _queue));
        var prescales = Own(new Prescales(_layout, weights, _queue));
        prescales.Choose();
        if (_plan.Weights.FirstOrDefault(w => prescales.Factor(w.Index) != 1) is { } extreme)
        {
            throw new NetworkException(
                $"Weight '{extreme.Weight.Name}': its magnitudes to the power {problem.Norm} would leave the range of float64 in a step. Solve once instead.");
        }

        var formula = problem.Norm switch { 1 => PowerFormula.Absolute, 2 => PowerFormula.Square, _ => PowerFormula.Power };
        var sums = Own(new DeviceBuffer<double>(_queue, (long)_layout.SumCount * Sets));
        var norms = Own(new DeviceBuffer<double>(_queue, (long)_layout.NormCount * Sets));
        var self = Own(new DeviceBuffer<double>(_queue, _plan.Weights.Any(w => w.HasSelfEdges) ? _layout.NormCount : 0));
        self.Clear();
        var channelTable = Buffer(_layout.Channels);

        // Pinned channels are never dead: they count as live in every sum.
        var outputs = Own(new DeviceBuffer<double>(_queue, FactorSets(channels, 0, 1)));
        var inputs = Own(new DeviceBuffer<double>(_queue, FactorSets(channels, 0, 2)));
        foreach (var table in _layout.AllTiles)
        {
            var size = table.Type.ByteSize();
            var tiles = (SumTile[])table.Tiles.Clone();
            foreach (ref var tile in tiles.AsSpan())
            {
                tile.Elements += (long)(weights.Address(tile.Weight) / (ulong)size);
                tile.Prescale = prescales.Factor(tile.Weight);
                tile.Energies = -1;
                tile = TileShape.Shape(tile, size);
            }

            if (tiles.Length == 0)
            {
                continue;
            }

            var first = new SumParameters
            {
                Tiles = Buffer(tiles).View,
                Elements = DeviceView<byte>.Everywhere,
                Quads = DeviceView<byte>.Everywhere,
                Channels = channelTable.View,
                Sums = sums.View,
                Norms = norms.View,
                SelfEnergies = self.View,
                Exponent = problem.Norm,
                FactorStride = channels,
                SumStride = _layout.SumCount,
                NormStride = _layout.NormCount,
                TileCount = tiles.Length,
            };
            var kernel = KernelCatalog.Sum(formula, table.Type);
            _sums.Add(new SumLaunch(kernel)
            {
                First = first,
                Again = first with { OutputFactors = outputs.View, InputFactors = inputs.View, Condition = _control.Condition },
            });
        }

        var channelSums = new ChannelSumParameters
        {
            Terms = Buffer(update.Terms).View,
            Positions = Buffer(update.Positions).View,
            Sums = sums.View,
            LogScales = prescales.LogScales,
            References = _control.References,
            Condition = _control.Condition,
        };
        var totals = Own(new DeviceBuffer<double>(_queue, 2L * channels));
        var chunks = Buffer(update.Chunks);
        _dead = new DeadParameters
        {
            Chunks = chunks.View,
            Sums = channelSums with { Condition = _control.Never },
            OutputFactors = outputs.View,
            InputFactors = inputs.View,
            Live = _live.View,
            Totals = totals.View,
            Condition = _control.Condition,
            FactorStride = channels,
        };
        _update = new UpdateParameters
        {
            Chunks = chunks.View,
            Sums = channelSums,
            Live = _live.View,
            Gains = _gains.View,
            InverseGains = _inverseGains.View,
            Totals = totals.View,
            ChannelCount = channels,
            Reports = _reports.View,
            Status = _control.Status,
            Steep = _control.Steep,
            Norm = problem.Norm,
            LargestLogFactor = companions.Any(c => c.Kind == CompanionKind.SecondMoment) ? LargestLogFactor / 2 : LargestLogFactor,
            Updates = 1,
        };
        _correct = new CoarseParameters
        {
            Terms = Buffer(_coarse.Terms).View,
            Norms = norms.View,
            Condition = _control.Condition,
            LogScales = prescales.LogScales,
            SelfEnergies = self.View,
            References = _control.References,
            Groups = Buffer(_coarse.Groups).View,
            IncidentStarts = Buffer(_coarse.IncidentStarts).View,
            Incidents = Buffer(_coarse.Incidents).View,
            Diagonals = Buffer(_coarse.Diagonals).View,
            FirstColumns = Buffer(_coarse.FirstColumns).View,
            Matrix = Own(new DeviceBuffer<double>(_queue, CorrectsGroups ? _coarse.MatrixSize : 0)).View,
            LogNorms = Own(new DeviceBuffer<double>(_queue, 4L * _coarse.Terms.Length)).View,
            Report = _coarseReport.View,
            Status = _control.Status,
            Norm = problem.Norm,
            NormStride = _layout.NormCount,
            Unknowns = CorrectsGroups ? _coarse.Groups.Length : 0,
            TermCount = _coarse.Terms.Length,
        };
    }

    // Sets of factors while no channel is dead: 1 in the sets in which the axis counts what is live or pinned, else 0.
    private static double[] FactorSets(int channels, int firstLive, int secondLive)
    {
        var sets = new double[channels * Sets];
        sets.AsSpan(firstLive * channels, channels).Fill(1);
        sets.AsSpan(secondLive * channels, channels).Fill(1);
        return sets;
    }

    private DeviceBuffer<T> Buffer<T>(T[] contents)
        where T : unmanaged => Own(new DeviceBuffer<T>(_queue, contents));

    private T Own<T>(T part)
        where T : IDisposable
    {
        _owned.Add(part);
        return part;
    }

    private sealed class SumLaunch(KernelId kernel)
    {
        // A field, so that launches pass it by reference.
        public SumParameters First;

        public KernelId Kernel { get; } = kernel;

        public required SumParameters Again { get; init; }
    }
}
