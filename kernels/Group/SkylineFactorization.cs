using ILGPU;

namespace EquiNorm.Gpu.Kernels;

/// <summary>
/// L D L^T factorization of a sparse symmetric matrix by one group of threads, one thread for each row. Row i of the lower triangle is
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

    /// <summary>
    /// Factorizes in place as L D L^T; false (in all threads) if it is not finite. Unknowns that nothing holds (zero pivots) get 0. Column j of the result holds
    /// L D: entries are divided by the diagonal where they are used.
    /// </summary>
    /// <remarks>
    /// Nothing is overwritten in the epoch behind the one in which others read it: ILGPU moves loads across barriers, towards their use.
    /// </remarks>
    /// <param name="row">The thread's row; threads beyond the last row take part in barriers only.</param>
    public readonly bool Factorize(int row)
    {
        bool works = true;
        Group.Barrier();
        for (int j = 0; j < Rows; j++)
        {
            double pivot = Values[Diagonals[j]];
            works &= pivot <= 1.7976931348623157e308;
            if (Reaches(row, j) && pivot > 0.0)
            {
                double factor = Values[Diagonals[row] - (row - j)] / pivot;
                for (int k = j + 1; k <= row; k++)
                {
                    if (FirstColumns[k] <= j)
                    {
                        Values[Diagonals[row] - (row - k)] -= factor * Values[Diagonals[k] - (k - j)];
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
            if (Reaches(row, j))
            {
                x[row] -= Inverse(j) * Values[Diagonals[row] - (row - j)] * x[j];
            }

            Group.Barrier();
        }

        if (row < Rows)
        {
            x[row] *= Inverse(row);
        }

        Group.Barrier();
        for (int j = Rows - 1; j >= 0; j--)
        {
            if (row < j && row >= FirstColumns[j])
            {
                x[row] -= Inverse(row) * Values[Diagonals[j] - (j - row)] * x[j];
            }

            Group.Barrier();
        }
    }

    private readonly double Inverse(int row)
    {
        double pivot = Values[Diagonals[row]];
        return pivot > 0.0 ? 1.0 / pivot : 0.0;
    }

    // Whether a row below j has an entry in column j.
    private readonly bool Reaches(int row, int j) => row > j && row < Rows && FirstColumns[row < Rows ? row : 0] <= j;
}
