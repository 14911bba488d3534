using EquiNorm.Backends;
using EquiNorm.Model;
using EquiNorm.Plan;
using EquiNorm.Problem;

namespace EquiNorm.Solve;

/// <summary>
/// Steps that the host drives, on any backend: a step reads every weight once for its row and column sums, corrects whole groups, updates
/// all channels (Jacobi) and multiplies everything that is bound in place: 3 |W| bytes of traffic, and 2 for each companion. Float64 weights
/// are read once more on the CPU, for their largest magnitude; a weight that reads several groups (a concatenation) once per axis.
/// </summary>
/// <remarks>
/// Elements may change between steps, and so may what is bound; steps in between allocate nothing (on the CPU, unless a factor is beyond
/// exp(+-300)). Dead channels are looked for in every step and keep their factor of 1.
/// Not thread-safe: one step at a time.
/// </remarks>
public sealed class RescalingStepper : IStepper
{
    private readonly NetworkTensors _tensors;
    private readonly IBackend _backend;
    private readonly IBackend? _owned;
    private readonly RescalingPlan _plan;
    private readonly StepOptions _options;
    private readonly CoarseSolver _coarse;
    private readonly Liveness _liveness;
    private readonly List<CoarseEdge> _edges = [];
    private readonly double[] _shifts;
    private readonly double[] _factors;
    private RescalingState? _state;
    private TensorScaler? _scaler;
    private int _version = -1;
    private StepReport _report;
    private bool _disposed;

    /// <summary>Prepares steps for a network.</summary>
    /// <param name="problem">What is minimised.</param>
    /// <param name="tensors">The elements; every weight that counts in the norm must be bound when a step is made.</param>
    /// <param name="backend">Where; null for the CPU with all threads.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <exception cref="NetworkException">A weight has an output scale.</exception>
    /// <exception cref="UnsupportedProblemException">p is infinite.</exception>
    public RescalingStepper(RescalingProblem problem, NetworkTensors tensors, IBackend? backend = null, StepOptions? options = null)
    {
        if (!ReferenceEquals(problem.Network, tensors.Network))
        {
            throw new ArgumentException("The tensors are bound to another network.", nameof(tensors));
        }

        UnsupportedProblemException.ThrowIfLargest(problem);
        RequireNoOutputScales(problem.Network);
        _tensors = tensors;
        _options = options ?? StepOptions.Default;
        _plan = RescalingPlan.Create(problem);
        _coarse = new CoarseSolver(_plan, CoarseEnd.Flat);
        _liveness = new Liveness(_plan);
        _shifts = new double[_plan.Groups.Count];
        _factors = new double[problem.Network.ChannelCount];
        _owned = backend is null ? RescalingSolver.CreateDefaultBackend() : null;
        _backend = backend ?? _owned!;
    }

    /// <inheritdoc/>
    public void Prepare()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_version == _tensors.Version)
        {
            return;
        }

        _version = -1;
        _tensors.RequireOn(_backend.Device);
        _tensors.RequireNoOverlap();
        if (_state is null || !_state.Rebind(_tensors))
        {
            _state?.Dispose();
            _state = null;
            _state = _backend.CreateState(_plan, _tensors);
        }

        _scaler?.Dispose();
        _scaler = null;
        _scaler = _backend.CreateScaler(_tensors);
        _version = _tensors.Version;
    }

    /// <inheritdoc/>
    public void Release()
    {
        _scaler?.Dispose();
        _scaler = null;
        _state?.Dispose();
        _state = null;
        _version = -1;
    }

    /// <summary>Rescales everything that is bound.</summary>
    /// <exception cref="NetworkException">
    /// A weight is not bound or holds a NaN or an infinity, two tensors overlap, or a factor leaves the range of float64; nothing was written.
    /// </exception>
    public StepReport Step()
    {
        _report = default;
        Array.Clear(_factors);
        Prepare();
        var state = _state!;
        var several = _options.Sweeps > 1;
        var nonFinite = state.Load(_factors, several ? EnergyUse.Keep : EnergyUse.Once);
        if (nonFinite >= 0)
        {
            var weight = _plan.Weights[nonFinite].Weight;
            _report = new StepReport(StepOutcome.NonFinite, double.NaN, double.NaN, 0, default) { NonFinite = weight };
            var element = NonFiniteElement.Of(weight, state.FindNonFinite(nonFinite));
            throw new TensorException(TensorError.NonFinite, SolveAdvice.ForNonFinite(weight, element));
        }

        state.ReadNorms(_edges);
        var before = Math.Exp(SolveRun.LogSum(_edges));
        var frozen = _liveness.Freeze(state);
        if (frozen > 0)
        {
            state.ReadNorms(_edges); // frozen channels are edges of their own
            state.Refresh(_plan.Singles.Span);
        }

        var residual = Sweep(state);
        for (var n = 1; n < _options.Sweeps; n++)
        {
            state.Refresh(_plan.Singles.Span);
            state.ReadNorms(_edges);
            residual = Sweep(state);
        }

        state.ReadLogFactors(_factors);
        if (FactorRange.Beyond(_tensors, _factors) is { } steep)
        {
            Array.Clear(_factors);
            _report = new StepReport(StepOutcome.OutOfRange, before, residual, frozen, default);
            throw FactorRange.Refusal(steep);
        }

        _report = new StepReport(StepOutcome.Applied, before, residual, frozen, _scaler!.Apply(_factors));
        return _report;
    }

    void IStepper.Step() => Step();

    /// <inheritdoc/>
    public StepReport ReadReport() => _report;

    /// <inheritdoc/>
    public void ReadLogFactors(Span<double> logFactors) => _factors.CopyTo(logFactors);

    /// <summary>The factors that the last step applied.</summary>
    public Scalings ReadScalings() => new(_plan.Problem.Network, _factors);

    /// <summary>Releases the workspace.</summary>
    public void Dispose()
    {
        _disposed = true;
        Release();
        _owned?.Dispose();
    }

    /// <summary>Applying bakes an output scale in; a second step would apply it a second time.</summary>
    /// <exception cref="NetworkException">A weight has an output scale.</exception>
    public static void RequireNoOutputScales(Network network)
    {
        if (network.Weights.FirstOrDefault(w => !w.OutputScale.IsEmpty) is { } scaled)
        {
            throw new NetworkException($"Weight '{scaled.Name}' has an output scale: fold it into the elements before stepping.");
        }
    }

    private double Sweep(RescalingState state)
    {
        if (_options.CoarseCorrection == CoarseCorrection.On)
        {
            _coarse.Minimize(_edges, _shifts);
            state.Shift(_shifts);
        }

        return state.Update(_plan.Singles.Span);
    }
}
