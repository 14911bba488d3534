namespace EquiNorm.Bench;

/// <summary>Where a kernel's operands are when it begins.</summary>
public enum Cache
{
    /// <summary>One matrix, used again and again: in the smallest cache that holds it.</summary>
    Hot,

    /// <summary>As many matrices in turn as fill 512 MB, so that each comes from memory.</summary>
    Cold,
}

/// <summary>Square float32 matrices that are handed out in turn.</summary>
internal sealed class Matrices
{
    private const long ColdBytes = 512L << 20;

    private readonly float[][] _matrices;
    private int _next;

    public Matrices(int size, Cache cache)
    {
        var bytes = (long)size * size * sizeof(float);
        _matrices = new float[cache == Cache.Hot ? 1 : (int)Math.Max(1, (ColdBytes + bytes - 1) / bytes)][];
        var random = new Random(1);
        var first = new float[(long)size * size];
        foreach (ref var element in first.AsSpan())
        {
            element = random.NextSingle() - 0.5f;
        }

        for (var n = 0; n < _matrices.Length; n++)
        {
            _matrices[n] = n == 0 ? first : [.. first];
        }
    }

    /// <summary>The next one.</summary>
    public float[] Next()
    {
        _next = _next + 1 == _matrices.Length ? 0 : _next + 1;
        return _matrices[_next];
    }
}
