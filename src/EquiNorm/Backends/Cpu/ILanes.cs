// The vector operations that the kernels are written in, once for all widths: TLanes names the width, TVector is the
// register type (Vector512<double>, Vector256<double>, Vector128<double>, or double itself for tails and scalar machines).
// All values are float64. Loads widen exactly. Masks are vectors whose lanes are all ones or all zeros.
// The runtime's own ISimdVector is internal; static abstract members of struct type arguments compile to the same
// instructions as writing each width by hand.

namespace EquiNorm.Backends.Cpu;

internal unsafe interface ILanes<TVector>
    where TVector : unmanaged
{
    /// <summary>Number of float64 lanes.</summary>
    static abstract int Count { get; }

    static abstract TVector Create(double value);

    static abstract TVector LoadFloat64(byte* source);

    static abstract TVector LoadFloat32(byte* source);

    static abstract TVector LoadFloat16(byte* source);

    static abstract TVector LoadBFloat16(byte* source);

    static abstract void StoreFloat64(byte* destination, TVector value);

    /// <summary>Rounds to nearest even.</summary>
    static abstract void StoreFloat32(byte* destination, TVector value);

    /// <summary>The value must already be representable in binary16, or be at least 65536 in magnitude, or NaN.</summary>
    static abstract void StoreFloat16(byte* destination, TVector value);

    /// <summary>The value must already be representable in bfloat16, or be at least 2^128 in magnitude, or NaN.</summary>
    static abstract void StoreBFloat16(byte* destination, TVector value);

    static abstract TVector Add(TVector left, TVector right);

    static abstract TVector Subtract(TVector left, TVector right);

    static abstract TVector Multiply(TVector left, TVector right);

    /// <summary>left * right + addend, fused where the machine has it.</summary>
    static abstract TVector MultiplyAdd(TVector left, TVector right, TVector addend);

    /// <summary>The larger one; <paramref name="right"/> if one is NaN.</summary>
    static abstract TVector Max(TVector left, TVector right);

    /// <summary>The larger one of |left| and |right|; unspecified if one is NaN.</summary>
    static abstract TVector MaxMagnitude(TVector left, TVector right);

    /// <summary>The smaller one of |left| and |right|; unspecified if one is NaN.</summary>
    static abstract TVector MinMagnitude(TVector left, TVector right);

    static abstract TVector Abs(TVector value);

    static abstract TVector Sqrt(TVector value);

    static abstract TVector Exp(TVector value);

    static abstract TVector Log(TVector value);

    static abstract TVector And(TVector left, TVector right);

    static abstract TVector Or(TVector left, TVector right);

    static abstract TVector LessThan(TVector left, TVector right);

    static abstract TVector LessOrEqual(TVector left, TVector right);

    /// <summary>True where the two differ or one is NaN.</summary>
    static abstract TVector NotEqual(TVector left, TVector right);

    static abstract TVector Select(TVector mask, TVector whenTrue, TVector whenFalse);

    static abstract bool AnyTrue(TVector mask);

    /// <summary>Whether some lane of <paramref name="left"/> is at most that of <paramref name="right"/>.</summary>
    static abstract bool AnyLessOrEqual(TVector left, TVector right);

    /// <summary>Number of lanes whose mask is set.</summary>
    static abstract int CountTrue(TVector mask);

    /// <summary>The lanes' bits as 64-bit integers, shifted left by 52: an integer becomes an exponent.</summary>
    static abstract TVector ShiftLeft52(TVector value);

    /// <summary>The lanes' bits as 64-bit integers, shifted right by 52: sign and exponent become an integer.</summary>
    static abstract TVector ShiftRight52(TVector value);

    static abstract double Sum(TVector value);

    static abstract double MaxLane(TVector value);

    /// <summary>Lane r of the result is the sum of the lanes of rows[r], r in [0, Count): one transposing reduction.</summary>
    static abstract TVector SumEach(TVector* rows);
}
