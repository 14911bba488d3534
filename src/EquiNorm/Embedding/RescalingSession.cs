using EquiNorm.Backends;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;

namespace EquiNorm.Embedding;

/// <summary>
/// Equi-normalization as a part of a framework: a network is declared once, tensors of the framework are bound by name, and steps or solves
/// are made on them in place, on the CPU or on a GPU, on the framework's stream.
/// </summary>
/// <remarks>
/// <para>
/// Tensors stay the caller's. They are read and written only within <see cref="Step"/>, <see cref="Solve"/> and <see cref="Apply"/> (on a
/// GPU: by work put on the stream by then) and may be bound anew between calls, which makes no new plan. When a call throws, nothing
/// was written (a driver that fails half-way excepted); a GPU finds what is wrong with elements while it works, writes nothing either, and tells in
/// <see cref="ReadReport"/>.
/// </para>
/// <para>
/// A session serves one caller at a time, from whichever thread: a call while another is under way throws
/// <see cref="SessionBusyException"/> and does nothing. Sessions with backends of their own are independent of each other.
/// </para>
/// <para>
/// Once everything is bound and a first step was made (or <see cref="Prepare"/> called), steps allocate nothing.
/// </para>
/// </remarks>
/// <example>
/// <code>
/// using var session = new RescalingSession(new RescalingProblem(network));
/// session.Bind("fc1.weight", new TensorView(address, ElementType.Float32, 500, 3072));
/// session.BindCompanion("fc1.weight", CompanionKind.FirstMoment, momentum);
/// // in the training loop, behind the optimizer
/// session.Step();
/// </code>
/// </example>
public sealed class RescalingSession : IDisposable
{
    private readonly RescalingProblem _problem;
    private readonly SessionOptions _options;
    private readonly IBackend _backend;
    private readonly bool _ownsBackend;
    private readonly NetworkTensors _tensors;
    private readonly IStepper _stepper;
    private readonly double[] _factors;
    private long _calls;
    private Scalings? _solution;
    private SolutionState _state;
    private bool _lastIsSolution;
    private int _busy;
    private bool _disposed;

    /// <summary>Makes a session.</summary>
    /// <param name="problem">What is minimised.</param>
    /// <param name="backend">Where, not to be used by others at the same time; null for the CPU with all threads.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="ownsBackend">Whether disposing of the session disposes of the backend.</param>
    /// <exception cref="NetworkException">A weight has an output scale.</exception>
    public RescalingSession(
        RescalingProblem problem, IBackend? backend = null, SessionOptions? options = null, bool ownsBackend = false)
    {
        _ownsBackend = ownsBackend || backend is null;
        _backend = backend ?? RescalingSolver.CreateDefaultBackend();
        try
        {
            ArgumentNullException.ThrowIfNull(problem);
            RescalingStepper.RequireNoOutputScales(problem.Network);
            _problem = problem;
            _options = options ?? SessionOptions.Default;
            _tensors = new NetworkTensors(problem.Network);
            _factors = new double[problem.Network.ChannelCount];
            _stepper = (_backend as IStepperSource)?.CreateStepper(problem, _tensors, _options.Step)
                ?? new RescalingStepper(problem, _tensors, _backend, _options.Step);
        }
        catch
        {
            if (_ownsBackend)
            {
                _backend.Dispose();
            }

            throw;
        }
    }

    /// <summary>The network.</summary>
    public Network Network => _problem.Network;

    /// <summary>Where tensors must lie.</summary>
    public TensorDevice Device => _backend.Device;

    /// <summary>Binds a weight or bias. Takes effect at the next step, solve or apply.</summary>
    /// <exception cref="TensorException">There is no such weight, or the tensor differs from what is declared; the old one stays bound.</exception>
    public void Bind(string name, TensorView tensor)
    {
        using var use = Enter();
        RequireDevice(name, tensor);
        _tensors.Bind(name, tensor);
    }

    /// <summary>Binds a tensor that moves with a weight or bias: its shape as the weight's, type and strides as they are.</summary>
    /// <param name="name">Name of the weight or bias.</param>
    /// <param name="kind">What the tensor holds.</param>
    /// <param name="tensor">The tensor.</param>
    /// <param name="slot">Tells several of one kind apart; a tensor bound to the same slot before is replaced.</param>
    /// <exception cref="TensorException">There is no such weight, or the tensor differs from it; the old one stays bound.</exception>
    public void BindCompanion(string name, CompanionKind kind, TensorView tensor, int slot = 0)
    {
        using var use = Enter();
        RequireDevice(name, tensor);
        _tensors.BindCompanion(name, kind, tensor, slot);
    }

    /// <summary>Binds and pins elements in managed memory, laid out as declared; they stay pinned until something else is bound, or disposal.</summary>
    /// <exception cref="TensorException">There is no such weight, it is not float32, there are too few elements, or the session works elsewhere.</exception>
    public void Bind(string name, Memory<float> elements)
    {
        using var use = Enter();
        RequireDevice(name, TensorDevice.Cpu);
        _tensors.Bind(name, elements);
    }

    /// <summary>Binds and pins float64 elements in managed memory, laid out as declared.</summary>
    /// <exception cref="TensorException">There is no such weight, it is not float64, there are too few elements, or the session works elsewhere.</exception>
    public void Bind(string name, Memory<double> elements)
    {
        using var use = Enter();
        RequireDevice(name, TensorDevice.Cpu);
        _tensors.Bind(name, elements);
    }

    /// <summary>Binds and pins float64 elements in managed memory that move with a weight or bias, laid out as it is.</summary>
    /// <exception cref="TensorException">There is no such weight, there are too few elements, or the session works elsewhere.</exception>
    public void BindCompanion(string name, CompanionKind kind, Memory<double> elements, int slot = 0)
    {
        using var use = Enter();
        RequireDevice(name, TensorDevice.Cpu);
        _tensors.BindCompanion(name, kind, elements, slot);
    }

    /// <summary>Binds and pins elements in managed memory that move with a weight or bias, laid out as it is.</summary>
    /// <exception cref="TensorException">There is no such weight, there are too few elements, or the session works elsewhere.</exception>
    public void BindCompanion(string name, CompanionKind kind, Memory<float> elements, int slot = 0)
    {
        using var use = Enter();
        RequireDevice(name, TensorDevice.Cpu);
        _tensors.BindCompanion(name, kind, elements, slot);
    }

    /// <summary>Forgets a weight or bias. Weights of the norm must be bound again before the next step or solve.</summary>
    /// <exception cref="TensorException">There is no such weight.</exception>
    public void Unbind(string name)
    {
        using var use = Enter();
        _tensors.Unbind(name);
    }

    /// <summary>Forgets a companion.</summary>
    /// <exception cref="TensorException">There is no such weight.</exception>
    public void UnbindCompanion(string name, CompanionKind kind, int slot = 0)
    {
        using var use = Enter();
        _tensors.UnbindCompanion(name, kind, slot);
    }

    /// <summary>
    /// Bytes of working memory on <see cref="Device"/> that steps need for what is bound now. On the CPU it takes a trial, which reads the weights.
    /// </summary>
    /// <exception cref="NetworkException">A weight of the norm is not bound, or cannot be used.</exception>
    public long MeasureWorkspace()
    {
        using var use = Enter();
        return _backend.MeasureWorkspace(_problem, _tensors, _options.Step);
    }

    /// <summary>
    /// Gives the session memory to work in, instead of its own, on <see cref="Device"/>. It must live until the session is disposed, or
    /// takes other memory (both wait for the work that uses it). Solves take more, and so do steps in which channels have died: what does not
    /// fit is allocated.
    /// </summary>
    /// <param name="address">Address of the memory, a multiple of 256; 0 for memory of the session's own.</param>
    /// <param name="bytes">Its size.</param>
    /// <exception cref="ArgumentException">The address is not a multiple of 256.</exception>
    public void UseWorkspace(nint address, long bytes)
    {
        using var use = Enter();
        if (address % 256 != 0)
        {
            throw new ArgumentException($"The address 0x{address:x} of the workspace is not a multiple of 256.", nameof(address));
        }

        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        _stepper.Release();
        _backend.UseWorkspace(address, bytes);
    }

    /// <summary>Does before the first step what must not be done while a stream is captured: memory, tables, kernels.</summary>
    /// <param name="stream">The stream (CUstream) of the steps; 0 on the CPU, or for the legacy default stream.</param>
    /// <exception cref="NetworkException">A weight of the norm is not bound, or cannot be used.</exception>
    public void Prepare(nint stream = 0)
    {
        using var use = Enter();
        _backend.UseStream(stream);
        _stepper.Prepare();
    }

    /// <summary>One sweep (or several, by option), applied to everything that is bound. On a GPU it returns at once.</summary>
    /// <param name="stream">The stream (CUstream) that the work is put on; 0 on the CPU, or for the legacy default stream.</param>
    /// <returns>Whether this call was the n-th; the others do nothing.</returns>
    /// <exception cref="NetworkException">Something is wrong with the tensors; nothing was written.</exception>
    /// <exception cref="SessionBusyException">Another call is under way.</exception>
    public bool Step(nint stream = 0)
    {
        using var use = Enter();
        if (++_calls % _options.Every != 0)
        {
            return false;
        }

        _backend.UseStream(stream);
        _state = SolutionState.Stale;
        _lastIsSolution = false;
        _stepper.Step();
        return true;
    }

    /// <summary>Waits for the last step, and tells what it did.</summary>
    public StepReport ReadReport()
    {
        using var use = Enter();
        return _stepper.ReadReport();
    }

    /// <summary>Finds the factors of the optimum. Writes no tensor; <see cref="Apply"/> does.</summary>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="start">Where it starts.</param>
    /// <param name="stream">As for <see cref="Step"/>.</param>
    /// <param name="progress">Is told of each half sweep.</param>
    /// <param name="cancellation">Ends the solve between half sweeps.</param>
    /// <exception cref="NetworkException">A weight of the norm is not bound.</exception>
    /// <exception cref="OperationCanceledException">The solve was cancelled.</exception>
    public RescalingResult Solve(
        RescalingOptions? options = null,
        SolveStart start = SolveStart.Warm,
        nint stream = 0,
        IProgress<SweepRecord>? progress = null,
        CancellationToken cancellation = default)
    {
        using var use = Enter();
        _backend.UseStream(stream);
        var warm = start == SolveStart.Warm && _state == SolutionState.Found ? _solution : null;
        _state = SolutionState.Stale;
        var result = RescalingSolver.Solve(_problem, _tensors, options, _backend, progress, cancellation, warm);
        _solution = result.Scalings;
        _lastIsSolution = _solution is not null;
        _state = _lastIsSolution ? SolutionState.Found : SolutionState.Stale;
        return result;
    }

    /// <summary>
    /// Multiplies everything that is bound by the factors of the last solve, once. The next solve starts at factors of 1.
    /// </summary>
    /// <param name="inverse">Whether to divide instead, which takes the apply just before back (up to rounding).</param>
    /// <param name="stream">As for <see cref="Step"/>.</param>
    /// <exception cref="InvalidOperationException">
    /// The last call that changed weights or factors was not a solve that found factors (inverse: was not an apply).
    /// </exception>
    /// <exception cref="TensorException">
    /// A weight of the norm is no longer bound, two tensors overlap, or a factor leaves the range of float64; nothing was written.
    /// </exception>
    public ApplyReport Apply(bool inverse = false, nint stream = 0)
    {
        using var use = Enter();
        if (_state != (inverse ? SolutionState.Applied : SolutionState.Found))
        {
            throw new InvalidOperationException(inverse
                ? "There is nothing to take back: the weights were not rescaled by the last solve's factors, or were rescaled again since."
                : "There are no factors to apply: solve first. Factors are applied once, to the weights that they were found for.");
        }

        foreach (var weight in Network.Weights.Where(w => _problem.IsInNorm(w) && w.Layout.Elements > 0))
        {
            _ = _tensors[weight.Index];
        }

        _tensors.RequireNoOverlap();
        if (FactorRange.Beyond(_tensors, _solution!.LogFactors) is { } steep)
        {
            throw FactorRange.Refusal(steep);
        }

        _backend.UseStream(stream);
        _state = SolutionState.Stale;
        var report = RescalingSolver.Apply(inverse ? _solution.Inverse() : _solution, _tensors, _backend);
        _state = inverse ? SolutionState.Found : SolutionState.Applied;
        return report;
    }

    /// <summary>Waits, and returns the factors of the last step or solve, whichever was later; factors of 1 if a step wrote nothing.</summary>
    public Scalings ReadScalings()
    {
        using var use = Enter();
        if (_lastIsSolution)
        {
            return _solution!;
        }

        _stepper.ReadLogFactors(_factors);
        return new Scalings(Network, _factors);
    }

    /// <summary>Releases the workspace. Tensors stay as they are.</summary>
    /// <exception cref="SessionBusyException">A call is under way.</exception>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        using var use = Enter();
        try
        {
            // Waits for work in the caller's memory; during a capture this throws, and the session can be disposed of later.
            _stepper.Release();
            _backend.UseWorkspace(0, 0);
        }
        catch (Exception) when (_ownsBackend)
        {
            // The backend's own disposal decides.
        }

        _disposed = true;
        try
        {
            _stepper.Dispose();
        }
        finally
        {
            _tensors.Dispose();
            if (_ownsBackend)
            {
                _backend.Dispose();
            }
        }
    }

    private void RequireDevice(string name, TensorView tensor)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(tensor);
        RequireDevice(name, tensor.Device);
    }

    private void RequireDevice(string name, TensorDevice device)
    {
        if (device != _backend.Device)
        {
            throw new TensorException(TensorError.WrongDevice, $"Tensor '{name}' is on {device}, the session works on {_backend.Device}.");
        }
    }

    private Use Enter()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (Interlocked.CompareExchange(ref _busy, 1, 0) != 0)
        {
            throw new SessionBusyException();
        }

        // Disposal may have ended between the two looks.
        var use = new Use(this);
        if (_disposed)
        {
            use.Dispose();
            throw new ObjectDisposedException(nameof(RescalingSession));
        }

        return use;
    }

    // What the factors of the last solve are worth to the weights as they are.
    private enum SolutionState
    {
        Stale,
        Found,
        Applied,
    }

    private readonly struct Use(RescalingSession session) : IDisposable
    {
        public void Dispose() => Volatile.Write(ref session._busy, 0);
    }
}
