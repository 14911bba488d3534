using EquiNorm.Backends;
using EquiNorm.Model;
using EquiNorm.Plan;
using EquiNorm.Problem;

namespace EquiNorm.Solve;

/// <summary>
/// One sweep at a time, applied at once: the operation that is interleaved with training. A step reads every weight once for its row and
/// column sums, corrects whole groups, updates all channels (Jacobi) and multiplies the weights in place: 3 |W| bytes of traffic.
/// </summary>
/// <remarks>
/// The tensors must stay where they are; their elements may change between steps. Dead channels are looked for in every step and keep
/// their factor of 1. Not thread-safe: one step at a time.
/// </remarks>
public sealed class RescalingStepper : IDisposable
{
    private readonly NetworkTensors _tensors;
    private readonly IBackend _backend;
    private readonly IBackend? _owned;
    private readonly RescalingState _state;
    private readonly RescalingPlan _plan;
    private readonly CoarseSolver _coarse;
    private readonly List<CoarseEdge> _edges = [];
    private readonly double[] _shifts;
    private readonly double[] _factors;
    private bool _disposed;

    /// <summary>Prepares steps for a network.</summary>
    /// <param name="problem">What is minimised.</param>
    /// <param name="tensors">The elements; every weight that counts in the norm must be bound.</param>
    /// <param name="backend">Where; null for the CPU with all threads.</param>
    /// <exception cref="NetworkException">A weight has an output scale, or no elements.</exception>
    public RescalingStepper(RescalingProblem problem, NetworkTensors tensors, IBackend? backend = null)
    {
        if (!ReferenceEquals(problem.Network, tensors.Network))
        {
            throw new ArgumentException("The tensors are bound to another network.", nameof(tensors));
        }

        // Applying bakes an output scale in; a second step would apply it a second time.
        if (problem.Network.Weights.FirstOrDefault(w => !w.OutputScale.IsEmpty) is { } scaled)
        {
            throw new NetworkException($"Weight '{scaled.Name}' has an output scale: fold it into the elements before stepping.");
        }

        _tensors = tensors;
        _owned = backend is null ? RescalingSolver.CreateDefaultBackend() : null;
        _backend = backend ?? _owned!;
        _plan = RescalingPlan.Create(problem);
        try
        {
            _state = _backend.CreateState(_plan, tensors);
        }
        catch
        {
            _owned?.Dispose();
            throw;
        }

        _coarse = new CoarseSolver(_plan);
        _shifts = new double[_plan.Groups.Count];
        _factors = new double[problem.Network.ChannelCount];
    }

    /// <summary>Rescales the weights and biases in place by one sweep.</summary>
    /// <exception cref="NetworkException">A weight holds a NaN or an infinity; nothing was written.</exception>
    public StepReport Step()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        Array.Clear(_factors);
        var nonFinite = _state.Load(_factors, EnergyUse.Once);
        if (nonFinite >= 0)
        {
            var weight = _plan.Weights[nonFinite].Weight;
            throw new NetworkException(SolveAdvice.ForNonFinite(weight, NonFiniteElement.Of(weight, _state.FindNonFinite(nonFinite))));
        }

        _state.ReadNorms(_edges);
        var before = Math.Exp(SolveRun.LogSum(_edges));
        var frozen = Liveness.FreezeDeadChannels(_state).Count;
        if (frozen > 0)
        {
            _state.ReadNorms(_edges); // frozen channels are edges of their own
            _state.Refresh(_plan.Singles.Span);
        }

        _coarse.Minimize(_edges, _shifts);
        _state.Shift(_shifts);
        var residual = _state.Update(_plan.Singles.Span);
        _state.ReadLogFactors(_factors);
        var scalings = new Scalings(_plan.Problem.Network, _factors);
        return new StepReport(scalings, before, residual, frozen, RescalingSolver.Apply(scalings, _tensors, _backend));
    }

    /// <summary>Releases the workspace.</summary>
    public void Dispose()
    {
        _disposed = true;
        _state.Dispose();
        _owned?.Dispose();
    }
}

/// <summary>What a step did.</summary>
/// <param name="Scalings">The factors that were applied.</param>
/// <param name="ObjectiveBefore">F before the step.</param>
/// <param name="Residual">max |log(a/b)| / p behind the correction of whole groups, before the update of single channels.</param>
/// <param name="FrozenChannels">Channels that keep their factor because they are dead or disconnected.</param>
/// <param name="Applied">Overflow and underflow of elements.</param>
public readonly record struct StepReport(
    Scalings Scalings, double ObjectiveBefore, double Residual, int FrozenChannels, ApplyReport Applied);
