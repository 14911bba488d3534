namespace EquiNorm.Onnx.Analysis;

/// <summary>
/// An extent of a shape: a number, or an unknown that is equal to itself only. Equal symbols are provably equal extents, so a
/// reshape computed from Shape and Gather can be followed without knowing the batch size.
/// </summary>
/// <param name="Value">The number, if <paramref name="Symbol"/> is 0.</param>
/// <param name="Symbol">0 for a number.</param>
internal readonly record struct Extent(long Value, int Symbol)
{
    /// <summary>Whether it is a number.</summary>
    public bool IsKnown => Symbol == 0;

    /// <summary>Whether it is the number <paramref name="value"/>.</summary>
    public bool Is(long value) => IsKnown && Value == value;

    /// <summary>A number.</summary>
    public static implicit operator Extent(long value) => new(value, 0);
}

/// <summary>Makes unknown extents, and computes with shapes.</summary>
internal sealed class Extents
{
    private readonly Dictionary<string, Extent> _named = new(StringComparer.Ordinal);
    private int _symbols;

    /// <summary>A new unknown.</summary>
    public Extent Unknown() => new(0, ++_symbols);

    /// <summary>The unknown of that name ("batch_size" in two graph inputs is one extent).</summary>
    public Extent Named(string name)
    {
        if (name.Length == 0)
        {
            return Unknown();
        }

        if (!_named.TryGetValue(name, out var extent))
        {
            _named.Add(name, extent = Unknown());
        }

        return extent;
    }

    /// <summary>The product; null if it is neither a number nor a single unknown.</summary>
    public static Extent? Product(ReadOnlySpan<Extent> extents)
    {
        long known = 1;
        Extent? unknown = null;
        foreach (var extent in extents)
        {
            if (extent.IsKnown ? extent.Value < 0 : unknown is not null)
            {
                return null;
            }

            if (!extent.IsKnown)
            {
                unknown = extent;
            }
            else if (extent.Value != 0 && known > long.MaxValue / extent.Value)
            {
                return null;
            }
            else
            {
                known *= extent.Value;
            }
        }

        return unknown is null ? known : known == 1 ? unknown : null;
    }

    /// <summary>Whether two products are provably equal: numbers multiply to the same, unknowns are the same ones.</summary>
    public static bool SameProduct(ReadOnlySpan<Extent> a, ReadOnlySpan<Extent> b) =>
        Split(a) is var (knownA, unknownA) && Split(b) is var (knownB, unknownB) && knownA == knownB && unknownA.SequenceEqual(unknownB);

    private static (UInt128 Known, List<int> Unknown) Split(ReadOnlySpan<Extent> extents)
    {
        UInt128 known = 1;
        var unknown = new List<int>();
        foreach (var extent in extents)
        {
            if (extent.IsKnown)
            {
                known *= (UInt128)(ulong)extent.Value; // ranks are small: a wrap would need a tensor beyond any memory
            }
            else
            {
                unknown.Add(extent.Symbol);
            }
        }

        unknown.Sort();
        return (known, unknown);
    }
}
