using System.Diagnostics;
using EquiNorm.Backends;
using EquiNorm.Backends.Cpu;
using EquiNorm.Model;
using EquiNorm.Plan;
using EquiNorm.Problem;

namespace EquiNorm.Solve;

/// <summary>Finds the rescaling of smallest norm, and applies it. Solving reads the weights once and writes nothing.</summary>
public static class RescalingSolver
{
    /// <summary>Solves a problem.</summary>
    /// <param name="problem">What is minimised.</param>
    /// <param name="tensors">The elements of the network's weights.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="backend">Where; null for the CPU with all threads.</param>
    /// <param name="progress">Is told of each half sweep.</param>
    /// <param name="cancellation">Ends the solve between half sweeps.</param>
    /// <param name="start">
    /// Factors to start from, those of an earlier solve say; null for factors of 1. The objective before is then that of the start. Factors
    /// beyond the limit on gains start at the limit.
    /// </param>
    /// <exception cref="NetworkException">A weight has no elements bound to it.</exception>
    /// <exception cref="UnsupportedProblemException">The backend cannot solve this problem with these options.</exception>
    /// <exception cref="OperationCanceledException">The solve was cancelled.</exception>
    public static RescalingResult Solve(
        RescalingProblem problem,
        NetworkTensors tensors,
        RescalingOptions? options = null,
        IBackend? backend = null,
        IProgress<SweepRecord>? progress = null,
        CancellationToken cancellation = default,
        Scalings? start = null)
    {
        if (!ReferenceEquals(problem.Network, tensors.Network))
        {
            throw new ArgumentException("The tensors are bound to another network.", nameof(tensors));
        }

        if (start is not null && !ReferenceEquals(start.Network, problem.Network))
        {
            throw new ArgumentException("The factors to start from belong to another network.", nameof(start));
        }

        tensors.RequireOn(backend?.Device ?? TensorDevice.Cpu);
        options ??= RescalingOptions.Default;
        using var owned = backend is null ? CreateDefaultBackend() : null;
        backend ??= owned!;
        var clock = Stopwatch.StartNew();
        var plan = RescalingPlan.Create(problem);
        using var state = backend.CreateState(plan, tensors);
        var nonFinite = LoadAt(state, start, new GainLimit(options.MaxGain));
        var read = clock.Elapsed;
        var order = options.Order != SweepOrder.Auto ? options.Order
            : problem.TakesLargest ? SweepOrder.ForwardBackward : backend.PreferredOrder;
        var result = nonFinite >= 0
            ? Refuse(plan.Weights[nonFinite].Weight, state.FindNonFinite(nonFinite))
            : new SolveRun(state, options with { Order = order }, progress, cancellation).Run();
        return result with
        {
            Order = order,
            Backend = backend.Name,
            Threads = backend.Threads,
            Timings = new SolveTimings(read, clock.Elapsed - read),
        };
    }

    /// <summary>
    /// Multiplies every bound weight and bias by its factors, in place. Tensors that are not bound are left out, so factors can be
    /// applied to any copy or part of a network. Output scales are baked in: the tensors are those of a network without scales afterwards.
    /// </summary>
    /// <exception cref="ArgumentException">The tensors are bound to a network with other weights.</exception>
    public static ApplyReport Apply(Scalings scalings, NetworkTensors tensors, IBackend? backend = null)
    {
        if (!ReferenceEquals(scalings.Network, tensors.Network) && !scalings.Network.HasSameWeights(tensors.Network))
        {
            throw new ArgumentException("The tensors are bound to a network with other weights than the factors'.", nameof(tensors));
        }

        tensors.RequireOn(backend?.Device ?? TensorDevice.Cpu);
        using var owned = backend is null ? CreateDefaultBackend() : null;
        backend ??= owned!;
        return backend.Apply(scalings, tensors);
    }

    /// <summary>What is used where no backend is given.</summary>
    internal static IBackend CreateDefaultBackend() => new CpuBackend();

    private static int LoadAt(RescalingState state, Scalings? start, GainLimit limit)
    {
        var factors = new double[state.Plan.Problem.Network.ChannelCount];
        start?.LogFactors.CopyTo(factors);
        limit.Clamp(factors);
        var nonFinite = state.Load(factors, EnergyUse.Keep);
        if (start is null || nonFinite >= 0)
        {
            return nonFinite;
        }

        // A channel that has died since then keeps factor 1, not the one that it had. The search froze it: the run that follows freezes again,
        // and must find sums in which nothing is frozen yet.
        var frozen = Liveness.FreezeDeadChannels(state);
        foreach (var dead in frozen)
        {
            factors[dead.Group.FirstChannel + dead.Channel] = 0;
        }

        return frozen.Count > 0 ? state.Load(factors, EnergyUse.Keep) : nonFinite;
    }

    private static RescalingResult Refuse(Weight weight, (int Output, int Input, int Kernel, double Value)? place)
    {
        var element = NonFiniteElement.Of(weight, place);
        return new RescalingResult
        {
            Status = RescalingStatus.NonFinite,
            NonFinite = element,
            Advice = SolveAdvice.ForNonFinite(weight, element),
        };
    }
}
