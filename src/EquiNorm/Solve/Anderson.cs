namespace EquiNorm.Solve;

/// <summary>
/// Anderson acceleration of a fixed-point map u -> g(u): the combination of the last points, weights summing to 1, whose differences
/// f = g(u) - u combine to the smallest Euclidean norm. Works on the channels that may move; the least-squares problem has as many
/// unknowns as points are kept, less one.
/// </summary>
internal sealed class Anderson
{
    private readonly int _capacity;
    private readonly List<(double[] Image, double[] Difference)> _points = [];

    /// <param name="depth">Number of differences that are combined.</param>
    public Anderson(int depth) => _capacity = depth + 1;

    /// <summary>Number of points kept.</summary>
    public int Count => _points.Count;

    /// <summary>Forgets all points.</summary>
    public void Clear() => _points.Clear();

    /// <summary>Records a point and its image.</summary>
    public void Add(ReadOnlySpan<double> point, ReadOnlySpan<double> image)
    {
        var difference = new double[point.Length];
        for (var c = 0; c < difference.Length; c++)
        {
            difference[c] = image[c] - point[c];
        }

        if (_points.Count == _capacity)
        {
            _points.RemoveAt(0);
        }

        _points.Add((image.ToArray(), difference));
    }

    /// <summary>Writes the extrapolated point; false if there is nothing to extrapolate from.</summary>
    public bool TryExtrapolate(Span<double> result)
    {
        var count = _points.Count - 1;
        if (count < 1)
        {
            return false;
        }

        // Differences of successive f, and the normal equations, ridged so that nearly parallel differences do no harm.
        var last = _points[^1];
        var changes = new double[count][];
        for (var j = 0; j < count; j++)
        {
            changes[j] = Subtract(_points[j + 1].Difference, _points[j].Difference);
        }

        var matrix = new double[count, count];
        var weights = new double[count];
        for (var i = 0; i < count; i++)
        {
            for (var j = 0; j <= i; j++)
            {
                matrix[i, j] = matrix[j, i] = Dot(changes[i], changes[j]);
            }

            weights[i] = Dot(changes[i], last.Difference);
        }

        if (!SolveRidged(matrix, weights))
        {
            return false;
        }

        last.Image.CopyTo(result);
        for (var j = 0; j < count; j++)
        {
            var (newer, older) = (_points[j + 1].Image, _points[j].Image);
            for (var c = 0; c < result.Length; c++)
            {
                result[c] -= weights[j] * (newer[c] - older[c]);
            }
        }

        foreach (var u in result)
        {
            if (!double.IsFinite(u))
            {
                return false;
            }
        }

        return true;
    }

    private static bool SolveRidged(double[,] matrix, double[] weights)
    {
        var count = weights.Length;
        for (var i = 0; i < count; i++)
        {
            matrix[i, i] *= 1 + 1e-10;
            if (!(matrix[i, i] > 0))
            {
                return false;
            }
        }

        // Cholesky; the matrix is at most 5 x 5.
        for (var j = 0; j < count; j++)
        {
            for (var k = 0; k < j; k++)
            {
                for (var i = j; i < count; i++)
                {
                    matrix[i, j] -= matrix[i, k] * matrix[j, k];
                }
            }

            if (!(matrix[j, j] > 0))
            {
                return false;
            }

            var pivot = Math.Sqrt(matrix[j, j]);
            for (var i = j; i < count; i++)
            {
                matrix[i, j] /= pivot;
            }
        }

        for (var i = 0; i < count; i++)
        {
            for (var k = 0; k < i; k++)
            {
                weights[i] -= matrix[i, k] * weights[k];
            }

            weights[i] /= matrix[i, i];
        }

        for (var i = count - 1; i >= 0; i--)
        {
            for (var k = i + 1; k < count; k++)
            {
                weights[i] -= matrix[k, i] * weights[k];
            }

            weights[i] /= matrix[i, i];
        }

        return true;
    }

    private static double[] Subtract(double[] a, double[] b)
    {
        var result = new double[a.Length];
        for (var c = 0; c < result.Length; c++)
        {
            result[c] = a[c] - b[c];
        }

        return result;
    }

    private static double Dot(double[] a, double[] b)
    {
        double sum = 0;
        for (var c = 0; c < a.Length; c++)
        {
            sum += a[c] * b[c];
        }

        return sum;
    }
}
