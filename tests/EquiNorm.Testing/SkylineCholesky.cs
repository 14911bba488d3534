namespace EquiNorm.Testing;

/// <summary>
/// Solves A x = b for a symmetric positive definite A given by its off-diagonal pairs and its diagonal: reverse Cuthill-McKee order,
/// then L D L^T within the skyline. Plain, for a few thousand unknowns with layers of a few dozen.
/// </summary>
public sealed class SkylineCholesky
{
    private readonly int[] _place;
    private readonly int[] _first;
    private readonly double[][] _rows;
    private readonly double[] _pivots;

    /// <param name="count">Number of unknowns.</param>
    /// <param name="pairs">Positions of the off-diagonal entries that may differ from 0, each pair in any order.</param>
    public SkylineCholesky(int count, IEnumerable<(int A, int B)> pairs)
    {
        var neighbours = new HashSet<int>[count];
        for (var i = 0; i < count; i++)
        {
            neighbours[i] = [];
        }

        foreach (var (a, b) in pairs)
        {
            neighbours[a].Add(b);
            neighbours[b].Add(a);
        }

        _place = Order(neighbours);
        _first = new int[count];
        for (var i = 0; i < count; i++)
        {
            _first[_place[i]] = neighbours[i].Select(n => _place[n]).Append(_place[i]).Min();
        }

        _rows = [.. _first.Select((f, i) => new double[i - f])];
        _pivots = new double[count];
    }

    /// <summary>Solves with the given entries.</summary>
    public double[] Solve(double[] diagonal, IEnumerable<(int A, int B, double Value)> offDiagonal, double[] rightSide)
    {
        foreach (var row in _rows)
        {
            Array.Clear(row);
        }

        foreach (var (a, b, value) in offDiagonal)
        {
            var (row, column) = (Math.Max(_place[a], _place[b]), Math.Min(_place[a], _place[b]));
            _rows[row][column - _first[row]] += value;
        }

        for (var i = 0; i < diagonal.Length; i++)
        {
            _pivots[_place[i]] = diagonal[i];
        }

        Factor();
        return Substitute(rightSide);
    }

    private void Factor()
    {
        for (var i = 0; i < _rows.Length; i++)
        {
            var row = _rows[i];
            for (var j = _first[i]; j < i; j++)
            {
                // row[j] becomes L[i, j] * D[j]; divided below.
                var from = Math.Max(_first[i], _first[j]);
                row[j - _first[i]] -= Dot(row.AsSpan(from - _first[i], j - from), _rows[j].AsSpan(from - _first[j], j - from));
            }

            var pivot = _pivots[i];
            for (var j = _first[i]; j < i; j++)
            {
                var scaled = row[j - _first[i]] / _pivots[j];
                pivot -= scaled * row[j - _first[i]];
                row[j - _first[i]] = scaled;
            }

            _pivots[i] = pivot > 0 ? pivot : 1e-16 * _pivots[i];
        }
    }

    private double[] Substitute(double[] rightSide)
    {
        var x = new double[rightSide.Length];
        for (var i = 0; i < x.Length; i++)
        {
            x[_place[i]] = rightSide[i];
        }

        for (var i = 0; i < x.Length; i++)
        {
            x[i] -= Dot(_rows[i], x.AsSpan(_first[i], i - _first[i]));
        }

        for (var i = 0; i < x.Length; i++)
        {
            x[i] /= _pivots[i];
        }

        for (var i = x.Length - 1; i >= 0; i--)
        {
            for (var j = _first[i]; j < i; j++)
            {
                x[j] -= _rows[i][j - _first[i]] * x[i];
            }
        }

        return [.. Enumerable.Range(0, x.Length).Select(i => x[_place[i]])];
    }

    private static double Dot(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        var sum = 0.0;
        for (var i = 0; i < a.Length; i++)
        {
            sum += a[i] * b[i];
        }

        return sum;
    }

    private static int[] Order(HashSet<int>[] neighbours)
    {
        var place = new int[neighbours.Length];
        Array.Fill(place, -1);
        var next = neighbours.Length;
        foreach (var root in Enumerable.Range(0, place.Length).OrderBy(i => neighbours[i].Count))
        {
            if (place[root] >= 0)
            {
                continue;
            }

            var queue = new Queue<int>([root]);
            place[root] = --next;
            while (queue.TryDequeue(out var i))
            {
                foreach (var n in neighbours[i].Where(n => place[n] < 0).OrderBy(n => neighbours[n].Count))
                {
                    place[n] = --next;
                    queue.Enqueue(n);
                }
            }
        }

        return place;
    }
}
