namespace EquiNorm.Solve;

/// <summary>
/// n running sums, each with the rounding errors of its additions beside it (Knuth's exact addition): as if added in twice the precision and
/// rounded once.
/// </summary>
/// <param name="count">n.</param>
internal sealed class CompensatedSums(int count)
{
    private readonly double[] _sums = new double[count];
    private readonly double[] _errors = new double[count];

    /// <summary>A sum.</summary>
    public double this[int index] => _sums[index] + _errors[index];

    /// <summary>A sum as it was rounded, and what rounding left.</summary>
    public (double Sum, double Error) Parts(int index) => (_sums[index], _errors[index]);

    /// <summary>Sets all sums to 0.</summary>
    public void Clear()
    {
        Array.Clear(_sums);
        Array.Clear(_errors);
    }

    /// <summary>Adds to a sum.</summary>
    public void Add(int index, double term) => Add(ref _sums[index], ref _errors[index], term);

    /// <summary>sum += term, error += what rounding left of that.</summary>
    public static void Add(ref double sum, ref double error, double term)
    {
        var next = sum + term;
        var taken = next - sum;
        error += sum - (next - taken) + (term - taken);
        sum = next;
    }
}
