using EquiNorm.Model;
using EquiNorm.Plan;
using EquiNorm.Problem;

namespace EquiNorm.Backends;

/// <summary>A device that sums energies and applies factors.</summary>
public interface IBackend : IDisposable
{
    /// <summary>What reports call it, "cpu" say.</summary>
    string Name { get; }

    /// <summary>Host threads that work for it.</summary>
    int Threads { get; }

    /// <summary>The order that <see cref="SweepOrder.Auto"/> stands for on this device.</summary>
    SweepOrder PreferredOrder { get; }

    /// <summary>
    /// A place to solve <paramref name="plan"/> for the given weights. The tensors are read until the state is disposed, and never written.
    /// </summary>
    RescalingState CreateState(RescalingPlan plan, NetworkTensors tensors);

    /// <summary>Prepares to apply factors to a weight or bias.</summary>
    WeightScaler CreateScaler(Scalings scalings, Weight weight);

    /// <summary>Prepares to multiply everything that is bound now by factors, again and again.</summary>
    TensorScaler CreateScaler(NetworkTensors tensors) => new PlainTensorScaler(this, tensors);

    /// <summary>Multiplies every bound weight, bias and companion by its factors, in place.</summary>
    ApplyReport Apply(Scalings scalings, NetworkTensors tensors);

    /// <summary>Where tensors must lie that are bound for this backend.</summary>
    TensorDevice Device => TensorDevice.Cpu;

    /// <summary>Puts all further work on a stream of the caller's, behind the work so far.</summary>
    /// <param name="stream">A stream (CUstream) of the device, or 0 for its default stream.</param>
    /// <exception cref="ArgumentException">The device has no streams, and a stream is given.</exception>
    void UseStream(nint stream)
    {
        if (stream != 0)
        {
            throw new ArgumentException($"Backend '{Name}' has no streams; 0x{stream:x} was given.", nameof(stream));
        }
    }

    /// <summary>Bytes of working memory that steps need for what is bound now.</summary>
    long MeasureWorkspace(RescalingProblem problem, NetworkTensors tensors, StepOptions options);

    /// <summary>
    /// Takes working memory from the caller's memory from now on, as long as it lasts. What was made before keeps its own.
    /// </summary>
    /// <param name="address">Its address on the device, a multiple of 256; 0: no memory is given.</param>
    /// <param name="bytes">Its size.</param>
    void UseWorkspace(nint address, long bytes);
}

/// <summary>
/// Writes w * d_out / d_in (biases: b * d_out) of the elements of one weight, rounded once to its storage type; an output scale is baked
/// in.
/// </summary>
public abstract class WeightScaler
{
    /// <summary>The weight.</summary>
    public abstract Weight Weight { get; }

    /// <summary>Rescales a tensor; the destination may be the source itself. Both are laid out as declared.</summary>
    public abstract ApplyReport Apply(TensorMemory source, TensorMemory destination);
}

/// <summary>What happened to elements that were rescaled.</summary>
/// <param name="Overflowed">Elements that were finite and are infinite now.</param>
/// <param name="Underflowed">Elements that were not zero and are zero now.</param>
public readonly record struct ApplyReport(long Overflowed, long Underflowed)
{
    /// <summary>Adds up two reports.</summary>
    public static ApplyReport operator +(ApplyReport left, ApplyReport right) =>
        new(left.Overflowed + right.Overflowed, left.Underflowed + right.Underflowed);
}
