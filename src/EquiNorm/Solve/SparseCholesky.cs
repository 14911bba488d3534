namespace EquiNorm.Solve;

/// <summary>
/// L D L^T factorisation of a graph Laplacian with grounded nodes (symmetric positive semidefinite), n unknowns. The elimination order
/// (minimum degree) and the pattern of L are found once; chains fill nothing, residual networks next to nothing.
/// </summary>
internal sealed class SparseCholesky
{
    private readonly int[] _place;
    private readonly int[][] _below;
    private readonly double[][] _lower;
    private readonly double[] _diagonal;
    private readonly double[] _work;
    private readonly double[] _permuted;

    /// <param name="count">Number of unknowns.</param>
    /// <param name="couplings">Pairs of unknowns that may be coupled.</param>
    public SparseCholesky(int count, IEnumerable<(int First, int Second)> couplings)
    {
        (_place, _below) = Eliminate(count, couplings);
        _lower = [.. _below.Select(b => new double[b.Length])];
        _diagonal = new double[count];
        _work = new double[count];
        _permuted = new double[count];
    }

    /// <summary>Sets the matrix to zero.</summary>
    public void Clear()
    {
        Array.Clear(_diagonal);
        foreach (var column in _lower)
        {
            Array.Clear(column);
        }
    }

    /// <summary>Adds the Laplacian of an edge of weight <paramref name="weight"/>; -1 stands for the ground.</summary>
    public void Add(int a, int b, double weight)
    {
        if (a >= 0)
        {
            _diagonal[_place[a]] += weight;
        }

        if (b >= 0)
        {
            _diagonal[_place[b]] += weight;
        }

        if (a >= 0 && b >= 0)
        {
            var (column, row) = _place[a] < _place[b] ? (_place[a], _place[b]) : (_place[b], _place[a]);
            _lower[column][Array.BinarySearch(_below[column], row)] -= weight;
        }
    }

    /// <summary>Factorises and solves in place. Unknowns that nothing holds (zero pivots) get 0.</summary>
    /// <returns>False if the result is not finite.</returns>
    public bool Solve(double[] rightHandSide)
    {
        Factorize();
        for (var v = 0; v < _place.Length; v++)
        {
            _permuted[_place[v]] = rightHandSide[v];
        }

        for (var j = 0; j < _below.Length; j++)
        {
            for (var k = 0; k < _below[j].Length; k++)
            {
                _permuted[_below[j][k]] -= _lower[j][k] * _permuted[j];
            }
        }

        for (var j = _below.Length - 1; j >= 0; j--)
        {
            var value = _diagonal[j] > 0 ? _permuted[j] / _diagonal[j] : 0;
            for (var k = 0; k < _below[j].Length; k++)
            {
                value -= _lower[j][k] * _permuted[_below[j][k]];
            }

            _permuted[j] = value;
        }

        var finite = true;
        for (var v = 0; v < _place.Length; v++)
        {
            rightHandSide[v] = _permuted[_place[v]];
            finite &= double.IsFinite(rightHandSide[v]);
        }

        return finite;
    }

    // Right-looking: column j is scaled by its pivot and subtracted from the columns that it touches.
    private void Factorize()
    {
        for (var j = 0; j < _below.Length; j++)
        {
            var rows = _below[j];
            var column = _lower[j];
            var pivot = _diagonal[j];
            if (!(pivot > 0))
            {
                Array.Clear(column);
                _diagonal[j] = 0;
                continue;
            }

            for (var k = 0; k < rows.Length; k++)
            {
                _work[k] = column[k] / pivot;
            }

            for (var k = 0; k < rows.Length; k++)
            {
                var target = rows[k];

                // The exact pivot of a Laplacian cannot fall below zero; rounding can take it there where a node hangs by a thread.
                _diagonal[target] = Math.Max(_diagonal[target] - _work[k] * column[k], 1e-14 * _diagonal[target]);
                for (var m = k + 1; m < rows.Length; m++)
                {
                    _lower[target][Array.BinarySearch(_below[target], rows[m])] -= _work[k] * column[m];
                }
            }

            Array.Copy(_work, column, rows.Length);
        }
    }

    private static (int[] Place, int[][] Below) Eliminate(int count, IEnumerable<(int First, int Second)> couplings)
    {
        var neighbours = new HashSet<int>[count];
        for (var v = 0; v < count; v++)
        {
            neighbours[v] = [];
        }

        foreach (var (a, b) in couplings)
        {
            neighbours[a].Add(b);
            neighbours[b].Add(a);
        }

        var queue = new PriorityQueue<int, (int Degree, int Node)>();
        for (var v = 0; v < count; v++)
        {
            queue.Enqueue(v, (neighbours[v].Count, v));
        }

        var place = new int[count];
        Array.Fill(place, -1);
        var later = new int[count][];
        var next = 0;
        while (queue.TryDequeue(out var node, out var key))
        {
            if (place[node] >= 0 || key.Degree != neighbours[node].Count)
            {
                continue; // outdated entry; the node stands in the queue again with its present degree
            }

            place[node] = next;
            later[next++] = [.. neighbours[node]];
            foreach (var a in neighbours[node])
            {
                neighbours[a].Remove(node);
                neighbours[a].UnionWith(neighbours[node]);
                neighbours[a].Remove(a);
                queue.Enqueue(a, (neighbours[a].Count, a));
            }
        }

        return (place, [.. later.Select(nodes => nodes.Select(n => place[n]).Order().ToArray())]);
    }
}
