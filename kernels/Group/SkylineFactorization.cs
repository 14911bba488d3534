using ILGPU;

namespace EquiNorm.Gpu.Kernels;

/// <summary>
/// Cholesky factorization of a sparse symmetric matrix by one group of threads, one thread for each row. Row i of the lower triangle is
/// stored from its first entry that is not zero up to the diagonal; fill-in stays inside.
/// </summary>
public struct SkylineFactorization
{
    /// <summary>The rows, one behind the other.</summary>
    public ArrayView<double> Values;

    /// <summary>Index of each row's diagonal in <see cref="Values"/>.</summary>
    public ArrayView<int> Diagonals;

    /// <summary>Column of each row's first entry.</summary>
    public ArrayView<int> FirstColumns;

    /// <summary>Number of rows.</summary>
    public int Rows;

    /// <summary>Clears this thread's row.</summary>
    public readonly void Clear(int row)
    {
        if (row < Rows)
        {
            for (int n = Diagonals[row] - (row - FirstColumns[row]); n <= Diagonals[row]; n++)
            {
                Values[n] = 0.0;
            }
        }
    }

    /// <summary>Adds to an entry of this thread's row.</summary>
    public readonly void Add(int row, int column, double value) => Values[Diagonals[row] - (row - column)] += value;

    /// <summary>Factorizes in place; false (in all threads) if the matrix is not positive definite.</summary>
    /// <param name="row">The thread's row; threads beyond the last row take part in barriers only.</param>
    public readonly bool Factorize(int row)
    {
        bool works = true;
        Group.Barrier();
        for (int j = 0; j < Rows; j++)
        {
            double pivot = Values[Diagonals[j]];
            works &= pivot > 0.0 && pivot <= 1.7976931348623157e308;
            double root = Math.Sqrt(works ? pivot : 1.0);
            Group.Barrier();
            if (row == j)
            {
                Values[Diagonals[j]] = root;
            }

            bool reaches = row > j && row < Rows && FirstColumns[row < Rows ? row : 0] <= j;
            if (reaches)
            {
                Values[Diagonals[row] - (row - j)] /= root;
            }

            Group.Barrier();
            if (reaches)
            {
                double own = Values[Diagonals[row] - (row - j)];
                for (int k = j + 1; k <= row; k++)
                {
                    if (FirstColumns[k] <= j)
                    {
                        Values[Diagonals[row] - (row - k)] -= own * Values[Diagonals[k] - (k - j)];
                    }
                }
            }

            Group.Barrier();
        }

        return works;
    }

    /// <summary>Solves with the factorized matrix, in place.</summary>
    /// <param name="row">The thread's row.</param>
    /// <param name="x">The right-hand side, then the solution.</param>
    public readonly void Solve(int row, ArrayView<double> x)
    {
        Group.Barrier();
        for (int j = 0; j < Rows; j++)
        {
            double value = x[j] / Values[Diagonals[j]];
            Group.Barrier();
            if (row == j)
            {
                x[j] = value;
            }
            else if (row > j && row < Rows)
            {
                if (FirstColumns[row] <= j)
                {
                    x[row] -= Values[Diagonals[row] - (row - j)] * value;
                }
            }

            Group.Barrier();
        }

        for (int j = Rows - 1; j >= 0; j--)
        {
            double value = x[j] / Values[Diagonals[j]];
            Group.Barrier();
            if (row == j)
            {
                x[j] = value;
            }
            else if (row < j && row >= FirstColumns[j])
            {
                x[row] -= Values[Diagonals[j] - (j - row)] * value;
            }

            Group.Barrier();
        }
    }
}
