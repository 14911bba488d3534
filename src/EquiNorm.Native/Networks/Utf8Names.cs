using System.Text;
using EquiNorm.Model;

namespace EquiNorm.Native.Networks;

/// <summary>Weights by the bytes of their names, so that no string is made to look one up.</summary>
internal sealed class Utf8Names
{
    private readonly Dictionary<byte[], Weight>.AlternateLookup<ReadOnlySpan<byte>> _byName;

    public Utf8Names(IReadOnlyList<Weight> weights)
    {
        var byName = new Dictionary<byte[], Weight>(weights.Count, new Bytes());
        foreach (var weight in weights)
        {
            // Names that differ only in what UTF-8 cannot say become one; the first has it.
            byName.TryAdd(Encoding.UTF8.GetBytes(weight.Name), weight);
        }

        _byName = byName.GetAlternateLookup<ReadOnlySpan<byte>>();
    }

    /// <summary>The weight of that name, or null.</summary>
    public Weight? Find(ReadOnlySpan<byte> name) => _byName.TryGetValue(name, out var weight) ? weight : null;

    private sealed class Bytes : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>
    {
        public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

        public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);

        public int GetHashCode(byte[] bytes) => GetHashCode(bytes.AsSpan());

        public int GetHashCode(ReadOnlySpan<byte> alternate)
        {
            var hash = default(HashCode);
            hash.AddBytes(alternate);
            return hash.ToHashCode();
        }

        public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();
    }
}
