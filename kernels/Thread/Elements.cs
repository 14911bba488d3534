// How elements are stored, and four of them at once. Arithmetic is done in float64.
using ILGPU;

namespace EquiNorm.Gpu.Kernels;

/// <summary>Four elements of 4 bytes: one 16-byte access.</summary>
public struct Float4
{
    /// <summary>The elements.</summary>
    public float A, B, C, D;
}

/// <summary>Four elements of 8 bytes: two 16-byte accesses.</summary>
public struct Double4
{
    /// <summary>The elements.</summary>
    public double A, B, C, D;
}

/// <summary>Four elements of 2 bytes, two in each word: one 8-byte access.</summary>
public struct Packed4
{
    /// <summary>Elements 0 and 1, 2 and 3; the first in the lower half.</summary>
    public uint Low, High;
}

/// <summary>Four energies.</summary>
public struct Energy4
{
    /// <summary>The energies.</summary>
    public double A, B, C, D;
}

/// <summary>A storage type.</summary>
/// <typeparam name="TScalar">One element.</typeparam>
/// <typeparam name="TQuad">Four elements.</typeparam>
public interface IElement<TScalar, TQuad>
    where TScalar : unmanaged
    where TQuad : unmanaged
{
    /// <summary>
    /// Whether four elements are read at once. Not where they are two accesses of 16 bytes: each would touch every other half of a sector.
    /// A constant, so that the compiler leaves out what is never taken.
    /// </summary>
    bool HasQuads { get; }

    /// <summary>The element's value.</summary>
    double Load(TScalar element);

    /// <summary>Rounds to nearest even.</summary>
    TScalar Store(double value);

    /// <summary>The values of four elements.</summary>
    Energy4 Unpack(TQuad quad);

    /// <summary>Rounds four values.</summary>
    TQuad Pack(Energy4 values);
}

/// <summary>IEEE 754 binary32.</summary>
public struct Float32 : IElement<float, Float4>
{
    /// <inheritdoc/>
    public readonly bool HasQuads => true;

    /// <inheritdoc/>
    public readonly double Load(float element) => element;

    /// <inheritdoc/>
    public readonly float Store(double value) => (float)value;

    /// <inheritdoc/>
    public readonly Energy4 Unpack(Float4 quad) => new() { A = quad.A, B = quad.B, C = quad.C, D = quad.D };

    /// <inheritdoc/>
    public readonly Float4 Pack(Energy4 values) => new() { A = (float)values.A, B = (float)values.B, C = (float)values.C, D = (float)values.D };
}

/// <summary>IEEE 754 binary64.</summary>
public struct Float64 : IElement<double, Double4>
{
    /// <inheritdoc/>
    public readonly bool HasQuads => false;

    /// <inheritdoc/>
    public readonly double Load(double element) => element;

    /// <inheritdoc/>
    public readonly double Store(double value) => value;

    /// <inheritdoc/>
    public readonly Energy4 Unpack(Double4 quad) => new() { A = quad.A, B = quad.B, C = quad.C, D = quad.D };

    /// <inheritdoc/>
    public readonly Double4 Pack(Energy4 values) => new() { A = values.A, B = values.B, C = values.C, D = values.D };
}

/// <summary>IEEE 754 binary16, by its bits.</summary>
public struct Float16 : IElement<ushort, Packed4>
{
    /// <inheritdoc/>
    public readonly bool HasQuads => true;

    /// <inheritdoc/>
    public readonly double Load(ushort element) => (float)Interop.IntAsFloat(element);

    /// <inheritdoc/>
    public readonly ushort Store(double value) => Narrow.ToFloat16(value);

    /// <inheritdoc/>
    public readonly Energy4 Unpack(Packed4 quad) => new()
    {
        A = Load((ushort)quad.Low),
        B = Load((ushort)(quad.Low >> 16)),
        C = Load((ushort)quad.High),
        D = Load((ushort)(quad.High >> 16)),
    };

    /// <inheritdoc/>
    public readonly Packed4 Pack(Energy4 values) => new()
    {
        Low = Store(values.A) | ((uint)Store(values.B) << 16),
        High = Store(values.C) | ((uint)Store(values.D) << 16),
    };
}

/// <summary>The upper half of a binary32, by its bits.</summary>
public struct BFloat16 : IElement<ushort, Packed4>
{
    /// <inheritdoc/>
    public readonly bool HasQuads => true;

    /// <inheritdoc/>
    public readonly double Load(ushort element) => Interop.IntAsFloat((uint)element << 16);

    /// <inheritdoc/>
    public readonly ushort Store(double value) => Narrow.ToBFloat16(value);

    /// <inheritdoc/>
    public readonly Energy4 Unpack(Packed4 quad) => new()
    {
        A = Load((ushort)quad.Low),
        B = Load((ushort)(quad.Low >> 16)),
        C = Load((ushort)quad.High),
        D = Load((ushort)(quad.High >> 16)),
    };

    /// <inheritdoc/>
    public readonly Packed4 Pack(Energy4 values) => new()
    {
        Low = Store(values.A) | ((uint)Store(values.B) << 16),
        High = Store(values.C) | ((uint)Store(values.D) << 16),
    };
}
