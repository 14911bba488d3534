using System.Runtime.InteropServices;
using EquiNorm.Model;

namespace EquiNorm.Files.Verification;

/// <summary>One tensor of a model as it acts after folding: stored elements times a scale per output, or computed numbers.</summary>
internal sealed unsafe class EffectiveTensor
{
    private readonly ITensorSource? _tensor;
    private readonly double[]? _values;
    private readonly double[]? _scale;

    /// <summary>Stored elements, each output multiplied by its scale if there is one.</summary>
    public EffectiveTensor(ITensorSource tensor, ElementType type, double[]? scale)
    {
        _tensor = tensor;
        _scale = scale;
        Type = type;
    }

    /// <summary>Computed numbers.</summary>
    /// <param name="values">The numbers.</param>
    /// <param name="magnitude">The largest addend of each.</param>
    /// <param name="type">The type that they are, or would be, stored in.</param>
    public EffectiveTensor(double[] values, double[] magnitude, ElementType type)
    {
        _values = values;
        Magnitude = magnitude;
        Type = type;
    }

    /// <summary>Storage type.</summary>
    public ElementType Type { get; }

    /// <summary>The largest addend of each computed number; null for stored elements.</summary>
    public double[]? Magnitude { get; }

    /// <summary>The scale of an output.</summary>
    public double Scale(int output) => _scale is null ? 1 : _scale[output];

    /// <summary>An element without its scale.</summary>
    public double this[long index] => _values is not null ? _values[index] : Type switch
    {
        ElementType.Float32 => MemoryMarshal.Read<float>(_tensor!.Span(index * 4, 4)),
        ElementType.Float64 => MemoryMarshal.Read<double>(_tensor!.Span(index * 8, 8)),
        ElementType.Float16 => (double)MemoryMarshal.Read<Half>(_tensor!.Span(index * 2, 2)),
        _ => BitConverter.UInt32BitsToSingle((uint)MemoryMarshal.Read<ushort>(_tensor!.Span(index * 2, 2)) << 16),
    };

    /// <summary>Elements from <paramref name="first"/> on, without scale.</summary>
    public void Read(long first, Span<double> into)
    {
        if (_values is not null)
        {
            _values.AsSpan((int)first, into.Length).CopyTo(into);
            return;
        }

        int size = Type.ByteSize();
        byte* p = _tensor!.Pointer(first * size, (long)into.Length * size);
        for (int n = 0; n < into.Length; n++)
        {
            into[n] = Type switch
            {
                ElementType.Float32 => ((float*)p)[n],
                ElementType.Float64 => ((double*)p)[n],
                ElementType.Float16 => (double)((Half*)p)[n],
                _ => BitConverter.UInt32BitsToSingle((uint)((ushort*)p)[n] << 16),
            };
        }
    }

    /// <summary>The smallest number that the type stores with full precision.</summary>
    public double SmallestNormal => Type switch
    {
        ElementType.Float64 => 2.2250738585072014e-308,
        ElementType.Float16 => 6.103515625e-5,
        _ => 1.1754943508222875e-38,
    };
}

/// <summary>What a parameter says about factors.</summary>
internal enum Evidence
{
    /// <summary>A weight: each element ties two channels.</summary>
    Weight,

    /// <summary>A bias or mean: asked only where the weights say nothing.</summary>
    Bias,
}

/// <summary>A tensor of A beside the tensor of B that stands in the same place, and the channels that it connects.</summary>
/// <param name="Name">Name in A.</param>
/// <param name="Evidence">What it is.</param>
/// <param name="A">In A.</param>
/// <param name="B">In B.</param>
/// <param name="Layout">Both are laid out so.</param>
/// <param name="Outputs">Channel that each output writes.</param>
/// <param name="Inputs">Channel that each input reads.</param>
internal sealed record Parameter(
    string Name, Evidence Evidence, EffectiveTensor A, EffectiveTensor B, WeightLayout Layout, int[] Outputs, int[] Inputs)
{
    /// <summary>The inputs of the block that <paramref name="output"/> belongs to start here.</summary>
    public int FirstInput(int output) => output / Layout.OutputsPerGroup * Layout.InputsPerGroup;

    /// <summary>The outputs of the block that <paramref name="input"/> belongs to start here.</summary>
    public int FirstOutput(int input) => input / Layout.InputsPerGroup * Layout.OutputsPerGroup;

    /// <summary>Where element (output, input, k) is stored; output and input count over all blocks.</summary>
    public long Index(int output, int input, int k) => Layout.Offset + output / Layout.OutputsPerGroup * Layout.GroupStride
        + output % Layout.OutputsPerGroup * Layout.OutputStride + input % Layout.InputsPerGroup * Layout.InputStride + k * Layout.KernelStride;
}
