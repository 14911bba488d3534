using System.Numerics;
using System.Runtime.CompilerServices;

namespace EquiNorm.Backends.Cpu;

/// <summary>Vectors of partial sums, one behind the other, combined in order: added up, or the largest of them taken.</summary>
/// <param name="Parts">Number of vectors.</param>
/// <param name="Stride">Numbers from vector to vector.</param>
/// <param name="Length">Numbers of a vector.</param>
/// <param name="TakesLargest">Whether the largest is taken.</param>
internal readonly unsafe record struct PartialSums(int Parts, long Stride, int Length, bool TakesLargest)
{
    /// <summary>Combines the numbers [first, first + count) into the sums of <paramref name="vectors"/>, if there are any.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Combine(SumVectors vectors, double* partials, int first, int count)
    {
        if (vectors.Sums == 0 || first >= Length)
        {
            return;
        }

        count = Math.Min(count, Length - first);
        var total = vectors.SumsAt + first;
        new ReadOnlySpan<double>(partials + first, count).CopyTo(new Span<double>(total, count));
        for (var part = 1; part < Parts; part++)
        {
            var partial = partials + (part * Stride) + first;
            var i = 0;
            for (; i <= count - Vector<double>.Count; i += Vector<double>.Count)
            {
                var (left, right) = (Vector.Load(total + i), Vector.Load(partial + i));
                (TakesLargest ? Vector.Max(left, right) : left + right).Store(total + i);
            }

            for (; i < count; i++)
            {
                total[i] = TakesLargest ? Math.Max(total[i], partial[i]) : total[i] + partial[i];
            }
        }
    }
}
