namespace EquiNorm.Solve;

/// <summary>
/// L D L^T factorisation of a graph Laplacian with grounded nodes (symmetric positive semidefinite), n unknowns. The elimination order
/// (minimum degree) and the pattern of L are found once; chains fill nothing, residual networks next to nothing.
/// </summary>
/// <remarks>
/// What is kept of a node is its weight to the ground, not its diagonal: the diagonal is the sum of its weights, and elimination adds
/// products of weights to weights. Nothing is subtracted, so that nodes tied together a million million times more tightly than to the rest
/// keep what ties them to the rest (the elimination of Grassmann, Taksar and Heyman). For the same reason right-hand sides are compensated sums:
/// what pulls such nodes as a whole is the small sum of large elements.
/// </remarks>
internal sealed class SparseCholesky
{
    private readonly int[] _place;
    private readonly int[][] _below;
    private readonly double[][] _lower;
    private readonly double[] _ground;
    private readonly double[] _diagonal;
    private readonly double[] _work;
    private readonly double[] _permuted;
    private readonly double[] _rest;

    /// <param name="count">Number of unknowns.</param>
    /// <param name="couplings">Pairs of unknowns that may be coupled.</param>
    public SparseCholesky(int count, IEnumerable<(int First, int Second)> couplings)
    {
        (_place, _below) = Eliminate(count, couplings);
        _lower = [.. _below.Select(b => new double[b.Length])];
        _ground = new double[count];
        _diagonal = new double[count];
        _work = new double[count];
        _permuted = new double[count];
        _rest = new double[count];
    }

    /// <summary>Sets the matrix to zero.</summary>
    public void Clear()
    {
        Array.Clear(_ground);
        foreach (var column in _lower)
        {
            Array.Clear(column);
        }
    }

    /// <summary>Adds the Laplacian of an edge of weight <paramref name="weight"/>; -1 stands for the ground.</summary>
    public void Add(int a, int b, double weight)
    {
        if (a < 0 || b < 0)
        {
            var node = Math.Max(a, b);
            if (node >= 0)
            {
                _ground[_place[node]] += weight;
            }

            return;
        }

        var (column, row) = _place[a] < _place[b] ? (_place[a], _place[b]) : (_place[b], _place[a]);
        _lower[column][Array.BinarySearch(_below[column], row)] -= weight;
    }

    /// <summary>Factorises and solves. Unknowns that nothing holds (zero pivots) get 0.</summary>
    /// <param name="rightHandSide">One sum for each unknown.</param>
    /// <param name="solution">Receives one number for each unknown.</param>
    /// <returns>False if the result is not finite.</returns>
    public bool Solve(CompensatedSums rightHandSide, Span<double> solution)
    {
        Factorize();
        for (var v = 0; v < _place.Length; v++)
        {
            (_permuted[_place[v]], _rest[_place[v]]) = rightHandSide.Parts(v);
        }

        for (var j = 0; j < _below.Length; j++)
        {
            PassOn(j);
        }

        for (var j = _below.Length - 1; j >= 0; j--)
        {
            var value = _diagonal[j] > 0 ? (_permuted[j] + _rest[j]) / _diagonal[j] : 0;
            for (var k = 0; k < _below[j].Length; k++)
            {
                value -= _lower[j][k] * _permuted[_below[j][k]];
            }

            _permuted[j] = value;
        }

        var finite = true;
        for (var v = 0; v < _place.Length; v++)
        {
            solution[v] = _permuted[_place[v]];
            finite &= double.IsFinite(solution[v]);
        }

        return finite;
    }

    // Forward substitution: what pulls node j goes to its neighbours and to the ground, by shares. The nearest neighbour gets what the others
    // leave, so that the pull on all nodes together is kept to the last bit, however the shares were rounded.
    private void PassOn(int j)
    {
        if (_below[j].Length == 0 || _diagonal[j] == 0)
        {
            return;
        }

        var nearest = Array.IndexOf(_lower[j], _lower[j].Min());
        var (left, error) = (_permuted[j], _rest[j]);
        var pull = left + error;
        CompensatedSums.Add(ref left, ref error, -pull * (_ground[j] / _diagonal[j]));
        for (var k = 0; k < _below[j].Length; k++)
        {
            if (k != nearest)
            {
                var part = -_lower[j][k] * pull;
                CompensatedSums.Add(ref left, ref error, -part);
                CompensatedSums.Add(ref _permuted[_below[j][k]], ref _rest[_below[j][k]], part);
            }
        }

        ref var sum = ref _permuted[_below[j][nearest]];
        ref var rest = ref _rest[_below[j][nearest]];
        CompensatedSums.Add(ref sum, ref rest, left);
        CompensatedSums.Add(ref sum, ref rest, error);
    }

    // Right-looking: column j is scaled by its pivot and subtracted from the columns that it touches.
    private void Factorize()
    {
        for (var j = 0; j < _below.Length; j++)
        {
            var rows = _below[j];
            var column = _lower[j];
            var pivot = _ground[j];
            foreach (var coupling in column)
            {
                pivot -= coupling;
            }

            _diagonal[j] = pivot;
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
                _ground[target] -= _work[k] * _ground[j];
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
