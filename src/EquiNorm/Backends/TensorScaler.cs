using EquiNorm.Model;
using EquiNorm.Problem;

namespace EquiNorm.Backends;

/// <summary>
/// Multiplies all tensors of a binding by factors that change from call to call: weights and biases by s = d_out / d_in, companions by
/// their power of s. One caller at a time.
/// </summary>
public abstract class TensorScaler : IDisposable
{
    /// <summary>Rescales every tensor that was bound when the scaler was made, in place.</summary>
    /// <param name="logFactors">u of every channel of the network.</param>
    public abstract ApplyReport Apply(ReadOnlySpan<double> logFactors);

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Releases memory.</summary>
    protected virtual void Dispose(bool disposing)
    {
    }
}

/// <summary>The scaler of a backend that has none of its own.</summary>
internal sealed class PlainTensorScaler(IBackend backend, NetworkTensors tensors) : TensorScaler
{
    public override ApplyReport Apply(ReadOnlySpan<double> logFactors) => backend.Apply(new Scalings(tensors.Network, logFactors), tensors);
}
