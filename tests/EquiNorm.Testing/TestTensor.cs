using EquiNorm.Model;

namespace EquiNorm.Testing;

/// <summary>The elements of one tensor in their storage type, read and written as float64. Values are rounded to the type once, here.</summary>
public sealed class TestTensor
{
    private readonly float[] _single = [];
    private readonly double[] _double = [];
    private readonly Half[] _half = [];
    private readonly ushort[] _bfloat = [];

    public TestTensor(string name, ElementType elementType, int length)
    {
        Name = name;
        ElementType = elementType;
        Length = length;
        switch (elementType)
        {
            case ElementType.Float32: _single = new float[length]; break;
            case ElementType.Float64: _double = new double[length]; break;
            case ElementType.Float16: _half = new Half[length]; break;
            case ElementType.BFloat16: _bfloat = new ushort[length]; break;
            default: throw new ArgumentOutOfRangeException(nameof(elementType));
        }
    }

    public string Name { get; }

    public ElementType ElementType { get; }

    public int Length { get; }

    public double this[long index]
    {
        get => ElementType switch
        {
            ElementType.Float32 => _single[index],
            ElementType.Float64 => _double[index],
            ElementType.Float16 => (double)_half[index],
            _ => BitConverter.UInt32BitsToSingle((uint)_bfloat[index] << 16),
        };
        set
        {
            switch (ElementType)
            {
                case ElementType.Float32: _single[index] = (float)value; break;
                case ElementType.Float64: _double[index] = value; break;
                case ElementType.Float16: _half[index] = (Half)value; break;
                default: _bfloat[index] = ToBFloat16(value); break;
            }
        }
    }

    public double[] ToArray() => [.. Enumerable.Range(0, Length).Select(i => this[i])];

    public TestTensor Clone()
    {
        var copy = new TestTensor(Name, ElementType, Length);
        Array.Copy(_single, copy._single, _single.Length);
        Array.Copy(_double, copy._double, _double.Length);
        Array.Copy(_half, copy._half, _half.Length);
        Array.Copy(_bfloat, copy._bfloat, _bfloat.Length);
        return copy;
    }

    public void BindTo(NetworkTensors tensors) => _ = ElementType switch
    {
        ElementType.Float32 => tensors.Bind(Name, _single.AsMemory()),
        ElementType.Float64 => tensors.Bind(Name, _double.AsMemory()),
        ElementType.Float16 => tensors.Bind(Name, _half.AsMemory()),
        _ => tensors.BindBFloat16(Name, _bfloat.AsMemory()),
    };

    /// <summary>Keeps the elements where they are until the handle is disposed.</summary>
    public System.Buffers.MemoryHandle Pin() => ElementType switch
    {
        ElementType.Float32 => _single.AsMemory().Pin(),
        ElementType.Float64 => _double.AsMemory().Pin(),
        ElementType.Float16 => _half.AsMemory().Pin(),
        _ => _bfloat.AsMemory().Pin(),
    };

    // Round to nearest, ties to even, once. By way of a float32 it would be twice: a value a little off the middle of two bfloat16 numbers
    // becomes the middle itself, and then the even one, which may be the farther. NaN keeps a quiet bit so that it does not turn into infinity.
    private static ushort ToBFloat16(double value)
    {
        var bits = BitConverter.SingleToUInt32Bits((float)(double.IsFinite(value) && value != 0 ? Rounded(value) : value));
        return (ushort)(double.IsNaN(value) ? (bits >> 16) | 0x40 : bits >> 16);

        // To a multiple of the last place: 8 significant bits, and none below 2^-133. Scaling is exact, so that nothing else rounds.
        static double Rounded(double value)
        {
            var place = Math.Max(Math.ILogB(value) - 7, -133);
            return Math.ScaleB(Math.Round(Math.ScaleB(value, -place), MidpointRounding.ToEven), place);
        }
    }
}
