using EquiNorm.Backends;
using EquiNorm.Backends.Cpu;
using EquiNorm.Model;

namespace EquiNorm.Files;

/// <summary>
/// W[o,i,k] * output[o] * input[i] for any range of a tensor's elements, in float64, rounded once. The tensor is contiguous:
/// [O, I, K] (convolutions, biases), [I, O, K] (transposed convolutions) or [I, K, O] (MatMul).
/// </summary>
internal sealed class RescaleTransform
{
    private readonly WeightLayout _layout;
    private readonly double[] _output;
    private readonly double[] _input;
    private readonly string _name;
    private ElementScaler? _scaler;

    /// <summary>Creates the transform of the tensor called <paramref name="name"/>.</summary>
    public RescaleTransform(string name, ElementType type, WeightLayout layout, double[] output, double[] input)
    {
        _name = name;
        _layout = layout;
        _output = output;
        _input = input;
        ElementType = type;
    }

    /// <summary>Storage type.</summary>
    public ElementType ElementType { get; }

    /// <summary>What happened to the elements transformed so far.</summary>
    public ApplyReport Report { get; private set; }

    /// <summary>Whether nothing changes.</summary>
    public bool IsIdentity => Array.TrueForAll(_output, f => f == 1) && Array.TrueForAll(_input, f => f == 1);

    /// <summary>Whether both change every element alike.</summary>
    public bool SameAs(RescaleTransform other) =>
        (_layout == other._layout && _output.AsSpan().SequenceEqual(other._output) && _input.AsSpan().SequenceEqual(other._input))
        || (IsIdentity && other.IsIdentity);

    /// <summary>Transforms elements in place.</summary>
    /// <param name="first">Index of the first element.</param>
    /// <param name="bytes">Whole elements.</param>
    /// <exception cref="NetworkException">A result is not finite.</exception>
    public void Apply(long first, Span<byte> bytes)
    {
        var (report, finite) = (_scaler ??= new ElementScaler(_layout, ElementType, _output, _input)).Scale(first, bytes);
        Report += report;
        if (!finite)
        {
            throw new NetworkException($"Tensor '{_name}' has elements that are not finite, or that overflow {ElementType} when rescaled.");
        }
    }
}
