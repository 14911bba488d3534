using EquiNorm.Backends;
using EquiNorm.Gpu.Step;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;
using ILGPU.Runtime;

namespace EquiNorm.Gpu.Ilgpu;

/// <summary>Makes <see cref="EquiNormalizer"/>s.</summary>
public static class EquiNormAcceleratorExtensions
{
    /// <summary>Prepares the rescaling of tensors that live on an accelerator; uses the default stream until a method is given another.</summary>
    /// <inheritdoc cref="CreateEquiNormalizer(Accelerator, AcceleratorStream, RescalingProblem, NetworkTensors)"/>
    public static EquiNormalizer CreateEquiNormalizer(
        this Accelerator accelerator, RescalingProblem problem, NetworkTensors tensors)
    {
        ArgumentNullException.ThrowIfNull(accelerator);
        return accelerator.CreateEquiNormalizer(accelerator.DefaultStream, problem, tensors);
    }

    /// <summary>Prepares the rescaling of tensors that live on an accelerator. Waits until the stream has prepared it.</summary>
    /// <param name="accelerator">The accelerator; must outlive what is returned.</param>
    /// <param name="stream">Where to prepare, behind whatever fills the tensors.</param>
    /// <param name="problem">What is minimised.</param>
    /// <param name="tensors">The elements, bound by <see cref="TensorViews"/>, companions too; the buffers must outlive what is returned.</param>
    /// <returns>An object that owns its workspace on the accelerator, and nothing else.</returns>
    public static EquiNormalizer CreateEquiNormalizer(
        this Accelerator accelerator,
        AcceleratorStream stream,
        RescalingProblem problem,
        NetworkTensors tensors)
    {
        ArgumentNullException.ThrowIfNull(accelerator);
        ArgumentNullException.ThrowIfNull(stream);
        if (stream.Accelerator != accelerator)
        {
            throw new ArgumentException($"The stream belongs to accelerator '{stream.Accelerator.Name}', not to this one.", nameof(stream));
        }

        return new EquiNormalizer(stream, problem, tensors);
    }
}

/// <summary>Rescales the tensors of one network where they are, in an accelerator's memory. Not thread-safe.</summary>
/// <remarks>
/// <para>Streams are given to each call, as in ILGPU. Calls share one workspace: work on two streams must not overlap.</para>
/// <para>Kernels are compiled when they are first needed, so the first call takes longer.</para>
/// </remarks>
/// <example>
/// <code>
/// using var normalizer = accelerator.CreateEquiNormalizer(problem, tensors);
/// normalizer.Step(stream);                        // launches only; rescales in place
/// var result = normalizer.Solve(stream);          // to the optimum; writes nothing
/// normalizer.Apply(stream, result.Scalings);
/// </code>
/// </example>
public sealed class EquiNormalizer : IDisposable
{
    private readonly IlgpuQueue _queue;
    private readonly GpuBackend _backend;
    private readonly RescalingProblem _problem;
    private readonly NetworkTensors _tensors;
    private GpuStepper? _stepper;
    private bool _disposed;

    internal EquiNormalizer(AcceleratorStream stream, RescalingProblem problem, NetworkTensors tensors)
    {
        _problem = problem;
        _tensors = tensors;
        _queue = new IlgpuQueue(stream);
        _backend = new GpuBackend(_queue, TensorLocation.Device);
        try
        {
            // A network with an output scale can be solved, but not stepped: there Step says so.
            if (problem.Network.Weights.All(w => w.OutputScale.IsEmpty))
            {
                _stepper = CreateStepper();
                _stepper.Prepare();
            }

            _queue.Synchronize();
        }
        catch
        {
            _queue.Dispose();
            throw;
        }
    }

    /// <summary>Rescales weights, biases and companions in place by one sweep. Launches kernels and returns: nothing is allocated or waited for.</summary>
    /// <exception cref="NetworkException">A weight has an output scale.</exception>
    public void Step(AcceleratorStream stream) => StepperOn(stream).Step();

    /// <summary>Waits for the last step, and tells what it did.</summary>
    public StepReport ReadReport(AcceleratorStream stream) => StepperOn(stream).ReadReport();

    /// <summary>Waits for the last step, and returns the factors that it applied.</summary>
    public Scalings ReadScalings(AcceleratorStream stream) => StepperOn(stream).ReadScalings();

    /// <summary>Computes the optimal factors from the tensors as they are now, and changes nothing. Waits for the accelerator between sweeps.</summary>
    /// <param name="stream">Where to run.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="progress">Is told of each half sweep.</param>
    /// <param name="cancellation">Ends the solve between half sweeps.</param>
    public RescalingResult Solve(
        AcceleratorStream stream,
        RescalingOptions? options = null,
        IProgress<SweepRecord>? progress = null,
        CancellationToken cancellation = default)
    {
        Use(stream);
        return RescalingSolver.Solve(_problem, _tensors, options, _backend, progress, cancellation);
    }

    /// <summary>Multiplies weights and biases in place by factors that <see cref="Solve"/> found, and companions with them.</summary>
    public ApplyReport Apply(AcceleratorStream stream, Scalings scalings)
    {
        Use(stream);
        return RescalingSolver.Apply(scalings, _tensors, _backend);
    }

    /// <summary>Waits for the accelerator and releases the workspace; accelerator, streams and tensors stay the caller's.</summary>
    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            _stepper?.Dispose();
            _queue.Dispose();
        }
    }

    private void Use(AcceleratorStream stream)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        _queue.Stream = stream;
    }

    private GpuStepper StepperOn(AcceleratorStream stream)
    {
        Use(stream);
        return _stepper ??= CreateStepper();
    }

    private GpuStepper CreateStepper() => new(_problem, _tensors, _queue);
}
