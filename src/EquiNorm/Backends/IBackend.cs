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

    /// <summary>Multiplies every bound weight and bias by its factors, in place.</summary>
    ApplyReport Apply(Scalings scalings, NetworkTensors tensors)
    {
        var report = default(ApplyReport);
        foreach (var weight in scalings.Network.Weights)
        {
            if (tensors.IsBound(weight.Index))
            {
                report += CreateScaler(scalings, weight).Apply(tensors[weight.Index], tensors[weight.Index]);
            }
        }

        return report;
    }
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
