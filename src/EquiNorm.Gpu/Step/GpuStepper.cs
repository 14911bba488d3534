using EquiNorm.Backends;
using EquiNorm.Gpu.Layout;
using EquiNorm.Gpu.State;
using EquiNorm.Gpu.Tables;
using EquiNorm.Model;
using EquiNorm.Plan;
using EquiNorm.Problem;
using EquiNorm.Solve;

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
/// channels without being dead themselves are not looked for, as a solve does. The first step, and each step after something was bound
/// anew, allocates and copies tables first. Not thread-safe.
/// </remarks>
public sealed class GpuStepper : IStepper
{
    // exp(300) = 1e130: products of two such factors are still in range.
    private const double LargestLogFactor = 300;

    private readonly RescalingPlan _plan;
    private readonly NetworkTensors _tensors;
    private readonly IDeviceQueue _queue;
    private readonly StepOptions _options;
    private readonly DeviceLayout _layout;
    private readonly CoarseTables _coarse;
    private readonly UpdateTables _tables;
    private readonly int _chunks;
    private StepWorkspace? _work;
    private BoundTensors? _bound;
    private int _version = -1;
    private DeadParameters _dead;
    private CoarseParameters _correct;
    private UpdateParameters _update;
    private bool _disposed;

    /// <summary>Plans steps.</summary>
    /// <param name="problem">What is minimised.</param>
    /// <param name="tensors">
    /// Device addresses of the elements; when a step is made every weight that counts in the norm must be bound, biases and companions may be.
    /// </param>
    /// <param name="queue">The device.</param>
    /// <param name="options">How; null for the defaults. One sweep.</param>
    /// <exception cref="NetworkException">A weight has an output scale (UnsupportedProblemException: p is infinite).</exception>
    public GpuStepper(RescalingProblem problem, NetworkTensors tensors, IDeviceQueue queue, StepOptions? options = null)
    {
        if (!ReferenceEquals(problem.Network, tensors.Network))
        {
            throw new ArgumentException("The tensors are bound to another network.", nameof(tensors));
        }

        _options = options ?? StepOptions.Default;
        if (_options.Sweeps != 1)
        {
            throw new ArgumentOutOfRangeException(nameof(options), _options.Sweeps, "A step that the device drives has one sweep.");
        }

        UnsupportedProblemException.ThrowIfLargest(problem);
        RescalingStepper.RequireNoOutputScales(problem.Network);
        _plan = RescalingPlan.Create(problem);
        (_tensors, _queue) = (tensors, queue);
        _layout = new DeviceLayout(_plan);
        _coarse = new CoarseTables(_layout);
        _tables = new UpdateTables(_layout, _plan.Singles.Span, _layout.SumCount, 2 * _layout.SumCount);
        _chunks = _tables.Chunks.Length;
    }

    /// <summary>Kernels that a step launches, for what was bound at the last one.</summary>
    public int LaunchesPerStep => _bound is not { Sums.Count: var sums }
        ? 0
        : (_chunks > 0 ? 2 * sums + 2 : sums) + (sums > 0 ? 1 : 0) + _bound.Scales.Launches;

    /// <summary>Whether whole groups are corrected.</summary>
    public bool CorrectsGroups => _options.CoarseCorrection == CoarseCorrection.On && _coarse.Groups.Length <= KernelPolicy.DeviceCoarseGroups;

    /// <inheritdoc/>
    /// <exception cref="NetworkException">A weight has no elements, or an address is misaligned or cannot be reached.</exception>
    public void Prepare()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_version == _tensors.Version)
        {
            return;
        }

        _queue.RequireNoCapture();
        _version = -1;
        _tensors.RequireOn(_queue.TensorDevice);
        _tensors.RequireNoOverlap();
        _bound?.Dispose();
        _bound = null;
        var weights = new DeviceWeights(_plan, _tensors, TensorLocation.Device, _queue);
        _work ??= CreateWorkspace(weights);
        _bound = Bind(weights);
        _queue.Prepare([.. _bound.Sums.Select(s => s.Kernel), .. _bound.Scales.Kernels,
            KernelCatalog.FindDeadChannels, KernelCatalog.CorrectGroups, KernelCatalog.UpdateChannels]);
        _version = _tensors.Version;
    }

    /// <inheritdoc/>
    public void Release()
    {
        _bound?.Dispose();
        _work?.Dispose();
        _bound = null;
        _work = null;
        _version = -1;
    }

    /// <summary>Rescales everything that is bound in place by one sweep. Returns at once.</summary>
    /// <exception cref="NetworkException">What is bound has changed, and cannot be used.</exception>
    public void Step()
    {
        Prepare();
        var sums = _bound!.Sums;
        var control = _work!.Control;
        var reset = true;
        foreach (var sum in sums)
        {
            sum.First.Reset = reset ? control.Reset : default;
            reset = false;
            _queue.Launch(sum.Kernel, sum.First.TileCount, KernelPolicy.GroupSize, sum.First);
        }

        if (_chunks > 0)
        {
            _queue.Launch(KernelCatalog.FindDeadChannels, _chunks, KernelPolicy.ChunkChannels, _dead);
            foreach (var sum in sums)
            {
                _queue.Launch(sum.Kernel, StepWorkspace.Sets * sum.Again.TileCount, KernelPolicy.GroupSize, sum.Again);
            }
        }

        if (sums.Count > 0)
        {
            _queue.Launch(KernelCatalog.CorrectGroups, 1, KernelPolicy.GroupSize, _correct);
        }

        if (_chunks > 0)
        {
            _queue.Launch(KernelCatalog.UpdateChannels, _chunks, KernelPolicy.ChunkChannels, _update);
        }

        _bound.Scales.Launch();
    }

    /// <inheritdoc/>
    public StepReport ReadReport()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_work is null || _bound is null)
        {
            return default;
        }

        var reports = new ChunkReport[_chunks];
        _work.Reports.Download(reports);
        var objective = new double[2];
        _work.CoarseReport.Download(objective);
        var live = new int[_work.Live.Length];
        _work.Live.Download(live);
        var (notFinite, steep) = _bound.Sums.Count == 0 ? default : _work.Control.ReadRefusals();
        var frozen = 0;
        foreach (var group in _plan.Groups.Where(g => !g.Group.IsPinned))
        {
            frozen += live.AsSpan(group.Group.FirstChannel, group.Group.Count).Count(0);
        }

        var report = new StepReport(
            notFinite ? StepOutcome.NonFinite : steep ? StepOutcome.OutOfRange : StepOutcome.Applied,
            Math.Exp(objective[0]),
            notFinite ? double.NaN : reports.Select(r => r.Residual).DefaultIfEmpty().Max(),
            frozen,
            notFinite || steep ? default : _bound.Scales.ReadCounts());
        return notFinite ? report with { FrozenChannels = 0, NonFinite = _work.FirstNonFinite(_plan, _coarse) } : report;
    }

    /// <inheritdoc/>
    public void ReadLogFactors(Span<double> logFactors)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_work is null || _bound is null || (_bound.Sums.Count > 0 && _work.Control.ReadRefusals() != default))
        {
            logFactors.Clear();
            return;
        }

        _work.Gains.Download(logFactors);
        foreach (ref var factor in logFactors)
        {
            factor = Math.Log(factor);
        }
    }

    /// <summary>Waits for the last step, and returns the factors that it applied: 1 if it wrote nothing.</summary>
    public Scalings ReadScalings()
    {
        var factors = new double[_plan.Problem.Network.ChannelCount];
        ReadLogFactors(factors);
        return new Scalings(_plan.Problem.Network, factors);
    }

    /// <summary>Releases the workspace.</summary>
    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            Release();
        }
    }

    // What does not depend on where the tensors are.
    private StepWorkspace CreateWorkspace(DeviceWeights weights)
    {
        var problem = _plan.Problem;
        var channels = problem.Network.ChannelCount;
        var work = new StepWorkspace(_queue);
        try
        {
            var prescales = work.Own(new Prescales(_layout, weights, _queue));
            prescales.Choose();
            if (_plan.Weights.FirstOrDefault(w => prescales.Factor(w.Index) != 1) is { } extreme)
            {
                throw new TensorException(
                    TensorError.OutOfRange,
                    $"Weight '{extreme.Weight.Name}': its magnitudes to the power {problem.Norm} would leave the range of float64 in a step. Solve once instead.");
            }

            work.Control = work.Own(new StepControl(_queue, _plan.Groups.Count));
            work.Live = work.Buffer(StepWorkspace.LiveChannels(_plan));
            work.Gains = work.Buffer(StepWorkspace.Ones(channels));
            work.InverseGains = work.Buffer(StepWorkspace.Ones(channels));
            work.Reports = work.Numbers<ChunkReport>(_chunks);
            work.CoarseReport = work.Numbers<double>(2);
            work.Sums = work.Numbers<double>((long)_layout.SumCount * StepWorkspace.Sets);
            work.Norms = work.Numbers<double>((long)_layout.NormCount * StepWorkspace.Sets);
            work.SelfEnergies = work.Numbers<double>(_plan.Weights.Any(w => w.HasSelfEdges) ? _layout.NormCount : 0);
            work.Channels = work.Buffer(_layout.Channels);

            // Pinned channels are never dead: they count as live in every sum.
            work.Outputs = work.Buffer(StepWorkspace.FactorSets(channels, 0, 1));
            work.Inputs = work.Buffer(StepWorkspace.FactorSets(channels, 0, 2));

            // Where weights are not finite a step writes no reports.
            work.Reports.Clear();
            work.CoarseReport.Clear();
            work.SelfEnergies.Clear();
            Fill(work, prescales);
            return work;
        }
        catch
        {
            work.Dispose();
            throw;
        }
    }

    // The parameters of the kernels between the two passes over the tensors.
    private void Fill(StepWorkspace work, Prescales prescales)
    {
        var channels = _plan.Problem.Network.ChannelCount;
        var channelSums = new ChannelSumParameters
        {
            Terms = work.Buffer(_tables.Terms).View,
            Positions = work.Buffer(_tables.Positions).View,
            Sums = work.Sums.View,
            LogScales = prescales.LogScales,
            References = work.Control.References,
            Condition = work.Control.Condition,
        };
        var totals = work.Numbers<double>(2L * channels);
        var chunks = work.Buffer(_tables.Chunks);
        _dead = new DeadParameters
        {
            Chunks = chunks.View,
            Sums = channelSums with { Condition = work.Control.Never },
            OutputFactors = work.Outputs.View,
            InputFactors = work.Inputs.View,
            Live = work.Live.View,
            Totals = totals.View,
            Condition = work.Control.Condition,
            FactorStride = channels,
        };
        _update = new UpdateParameters
        {
            Chunks = chunks.View,
            Sums = channelSums,
            Live = work.Live.View,
            Gains = work.Gains.View,
            InverseGains = work.InverseGains.View,
            Totals = totals.View,
            ChannelCount = channels,
            Reports = work.Reports.View,
            Status = work.Control.Status,
            Steep = work.Control.Steep,
            Norm = _plan.Problem.Norm,
            Updates = 1,
        };
        _correct = new CoarseParameters
        {
            Terms = work.Buffer(_coarse.Terms).View,
            Norms = work.Norms.View,
            Condition = work.Control.Condition,
            LogScales = prescales.LogScales,
            SelfEnergies = work.SelfEnergies.View,
            References = work.Control.References,
            Groups = work.Buffer(_coarse.Groups).View,
            IncidentStarts = work.Buffer(_coarse.IncidentStarts).View,
            Incidents = work.Buffer(_coarse.Incidents).View,
            Diagonals = work.Buffer(_coarse.Diagonals).View,
            FirstColumns = work.Buffer(_coarse.FirstColumns).View,
            Matrix = work.Numbers<double>(CorrectsGroups ? _coarse.MatrixSize : 0).View,
            LogNorms = work.Numbers<double>(4L * _coarse.Terms.Length).View,
            Report = work.CoarseReport.View,
            Status = work.Control.Status,
            Norm = _plan.Problem.Norm,
            NormStride = _layout.NormCount,
            Unknowns = CorrectsGroups ? _coarse.Groups.Length : 0,
            TermCount = _coarse.Terms.Length,
        };
    }

    // What depends on where the tensors are: the tables of both passes over them.
    private BoundTensors Bind(DeviceWeights weights)
    {
        var work = _work!;
        var bound = new BoundTensors(_queue);
        try
        {
            foreach (var table in _layout.AllTiles)
            {
                if (table.Tiles.Length > 0)
                {
                    bound.Sums.Add(SumOf(table, weights, work, bound));
                }
            }

            bound.Scales = bound.Own(new StepScales(
                _plan.Problem.Network,
                _tensors,
                work.Gains.View,
                work.InverseGains.View,
                bound.Sums.Count > 0 ? work.Control.Refusals : default,
                _queue));
            var hasSecondMoments = _tensors.Companions.Any(c => c.Kind == CompanionKind.SecondMoment);
            _update.LargestLogFactor = hasSecondMoments ? LargestLogFactor / 2 : LargestLogFactor;
            return bound;
        }
        catch
        {
            bound.Dispose();
            throw;
        }
    }

    private SumLaunch SumOf(TileTable table, DeviceWeights weights, StepWorkspace work, BoundTensors bound)
    {
        var norm = _plan.Problem.Norm;
        var formula = norm switch { 1 => PowerFormula.Absolute, 2 => PowerFormula.Square, _ => PowerFormula.Power };
        var size = table.Type.ByteSize();
        var tiles = (SumTile[])table.Tiles.Clone();
        foreach (ref var tile in tiles.AsSpan())
        {
            tile.Elements += (long)(weights.Address(tile.Weight) / (ulong)size);
            tile.Prescale = 1;
            tile.Energies = -1;
            tile = TileShape.Shape(tile, size);
        }

        var first = new SumParameters
        {
            Tiles = bound.Buffer(tiles).View,
            Elements = DeviceView<byte>.Everywhere,
            Quads = DeviceView<byte>.Everywhere,
            Channels = work.Channels.View,
            Sums = work.Sums.View,
            Norms = work.Norms.View,
            SelfEnergies = work.SelfEnergies.View,
            Exponent = norm,
            FactorStride = _plan.Problem.Network.ChannelCount,
            SumStride = _layout.SumCount,
            NormStride = _layout.NormCount,
            TileCount = tiles.Length,
        };
        return new SumLaunch(KernelCatalog.Sum(formula, table.Type))
        {
            First = first,
            Again = first with { OutputFactors = work.Outputs.View, InputFactors = work.Inputs.View, Condition = work.Control.Condition },
        };
    }
}
