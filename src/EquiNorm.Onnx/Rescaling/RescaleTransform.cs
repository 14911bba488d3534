using System.Runtime.InteropServices;
using EquiNorm.Model;

namespace EquiNorm.Onnx.Rescaling;

/// <summary>
/// W[o,i,k] * output[o] * input[i] for any range of a tensor's elements, in float64, rounded once. The tensor is contiguous:
/// either [O, I, K] (convolutions, biases) or [I, K, O] (MatMul).
/// </summary>
internal sealed class RescaleTransform
{
    private readonly WeightLayout _layout;
    private readonly double[] _output;
    private readonly double[] _input;
    private readonly string _name;

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
        bool finite = ElementType switch
        {
            ElementType.Float32 => Apply<float, Float32Storage>(first, MemoryMarshal.Cast<byte, float>(bytes)),
            ElementType.Float64 => Apply<double, Float64Storage>(first, MemoryMarshal.Cast<byte, double>(bytes)),
            ElementType.Float16 => Apply<Half, Float16Storage>(first, MemoryMarshal.Cast<byte, Half>(bytes)),
            _ => Apply<ushort, BFloat16Storage>(first, MemoryMarshal.Cast<byte, ushort>(bytes)),
        };
        if (!finite)
        {
            throw new NetworkException($"Tensor '{_name}' has elements that are not finite, or that overflow {ElementType} when rescaled.");
        }
    }

    private bool Apply<T, TStorage>(long first, Span<T> elements)
        where T : unmanaged
        where TStorage : struct, IStorage<T> => _layout.OutputStride == 1 && _layout.Outputs > 1 && _layout.InputsPerGroup * _layout.Kernel > 1
            ? OutputsInside<T, TStorage>(first, elements)
            : OutputsOutside<T, TStorage>(first, elements);

    // [O, I, K]: runs of K elements share a factor.
    private bool OutputsOutside<T, TStorage>(long first, Span<T> elements)
        where T : unmanaged
        where TStorage : struct, IStorage<T>
    {
        double sum = 0; // becomes NaN if any result is infinite or NaN
        int kernel = _layout.Kernel, inputs = _layout.InputsPerGroup, k = (int)(first % kernel);
        long pair = first / kernel;
        int o = (int)(pair / inputs), i = (int)(pair % inputs);
        for (int e = 0; e < elements.Length; o++, i = 0)
        {
            int block = o / _layout.OutputsPerGroup * inputs;
            for (; i < inputs && e < elements.Length; i++, k = 0)
            {
                double factor = _output[o] * _input[block + i];
                int end = Math.Min(elements.Length, e + kernel - k);
                for (; e < end; e++)
                {
                    var result = TStorage.Write(TStorage.Read(elements[e]) * factor);
                    elements[e] = result;
                    sum += TStorage.Read(result) * 0;
                }
            }
        }

        return sum == 0;
    }

    // [I, K, O]: each row of O elements has its input's factor.
    private bool OutputsInside<T, TStorage>(long first, Span<T> elements)
        where T : unmanaged
        where TStorage : struct, IStorage<T>
    {
        double sum = 0;
        int outputs = _layout.Outputs, o = (int)(first % outputs);
        long row = first / outputs;
        for (int e = 0; e < elements.Length; row++, o = 0)
        {
            double factor = _input[row / _layout.Kernel];
            for (; o < outputs && e < elements.Length; o++, e++)
            {
                var result = TStorage.Write(TStorage.Read(elements[e]) * (_output[o] * factor));
                elements[e] = result;
                sum += TStorage.Read(result) * 0;
            }
        }

        return sum == 0;
    }
}
