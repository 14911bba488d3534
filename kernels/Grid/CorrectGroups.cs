using EquiNorm.Gpu.Tables;
using ILGPU;
using ILGPU.Backends.EntryPoints;

namespace EquiNorm.Gpu.Kernels;

/// <summary>What the coarse correction reads and writes.</summary>
public struct CoarseArguments
{
    /// <summary>The blocks of all weights.</summary>
    public ArrayView<CoarseTerm> Terms;

    /// <summary>Norms of tiles: all tiles with live channels on both axes, then with frozen inputs, frozen outputs, both.</summary>
    public ArrayView<double> Norms;

    /// <summary>Whether there are frozen channels, and so more than the first set of norms.</summary>
    public ArrayView<int> Condition;

    /// <summary>log lambda of each weight, less the prescale of its energies.</summary>
    public ArrayView<double> LogScales;

    /// <summary>Energies between a channel and itself, by tile; empty if there are none.</summary>
    public ArrayView<double> SelfEnergies;

    /// <summary>The references of groups: read, and shifted.</summary>
    public ArrayView<double> References;

    /// <summary>The group of each unknown.</summary>
    public ArrayView<int> Groups;

    /// <summary>For each unknown where its terms start in <see cref="Incidents"/>; one more number than unknowns.</summary>
    public ArrayView<int> IncidentStarts;

    /// <summary>2 t where term t has the unknown on its output axis, 2 t + 1 where it has it on its input axis.</summary>
    public ArrayView<int> Incidents;

    /// <summary>Index of the diagonal of each row of the matrix.</summary>
    public ArrayView<int> Diagonals;

    /// <summary>First column of each row of the matrix.</summary>
    public ArrayView<int> FirstColumns;

    /// <summary>Room for the matrix.</summary>
    public ArrayView<double> Matrix;

    /// <summary>Room for the logarithms of norms, four for each term.</summary>
    public ArrayView<double> LogNorms;

    /// <summary>Receives log F before the correction, and the number of Newton steps.</summary>
    public ArrayView<double> Report;

    /// <summary>Its word becomes 1 if some norm is not finite, else 0.</summary>
    public ArrayView<int> Status;

    /// <summary>p.</summary>
    public double Norm;

    /// <summary>Norms from one set to the next.</summary>
    public int NormStride;

    /// <summary>Number of unknowns; 0 to correct nothing.</summary>
    public int Unknowns;

    /// <summary>Number of terms.</summary>
    public int TermCount;

    /// <summary>Unused.</summary>
    public int Reserved;
}

/// <summary>
/// The coarse correction, by one group of threads: minimises sum N exp(p (s_out - s_in)) over one number per channel group. A damped
/// Newton method from the better of s = 0 and the least-squares fit that makes all norms equal, which on a chain is the minimiser. Never
/// ends above the value at s = 0.
/// </summary>
public static class CorrectGroups
{
    // Newton converges quadratically once the norms agree within a factor of e; before that each step gains about 1/p.
    private const int MaxSteps = 60;
    private const double Infinity = 1.0 / 0.0;
    private const double Largest = 1.7976931348623157e308;

    /// <summary>Corrects all groups; unknowns are t = p s.</summary>
    [KernelName("CorrectGroups")]
    public static void Run(CoarseArguments a)
    {
        var scratch = SharedMemory.Allocate<double>(TileLimits.GroupSize / 32);
        var best = SharedMemory.Allocate<double>(TileLimits.GroupSize);
        var trial = SharedMemory.Allocate<double>(TileLimits.GroupSize);
        var step = SharedMemory.Allocate<double>(TileLimits.GroupSize);
        var gradient = SharedMemory.Allocate<double>(TileLimits.GroupSize);
        int thread = Group.IdxX;
        bool frozen = a.Condition.Length > 0 && a.Condition[0] != 0;
        int terms = frozen ? 3 * a.TermCount : a.TermCount;
        ReadNorms(a, terms, frozen);
        best[thread] = 0.0;
        Group.Barrier();

        bool finite = Describe(a, terms, frozen, scratch, out double largest);
        if (a.Unknowns > 0 && finite)
        {
            var matrix = new SkylineFactorization { Values = a.Matrix, Diagonals = a.Diagonals, FirstColumns = a.FirstColumns, Rows = a.Unknowns };
            Normalize(a, terms, scratch);
            double value = Value(a, terms, best, scratch);
            if (FitLeastSquares(a, terms, matrix, trial, gradient, step, scratch))
            {
                double fitted = Value(a, terms, trial, scratch);
                if (fitted < value)
                {
                    best[thread] = trial[thread];
                    value = fitted;
                }
            }

            int taken = 0;
            bool moving = true;
            while (moving && taken < MaxSteps)
            {
                Group.Barrier();
                moving = NewtonStep(a, terms, matrix, best, trial, step, gradient, scratch, ref value);
                taken += moving ? 1 : 0;
            }

            Group.Barrier();
            if (thread < a.Unknowns)
            {
                a.References[a.Groups[thread]] += best[thread];
            }

            if (thread == 0)
            {
                a.Report[1] = taken;
            }
        }

        if (thread == 0)
        {
            a.Report[0] = largest;
            a.Status[0] = finite ? 0 : 1;
        }
    }

    // log N of every term, a warp for each: its threads add up the norms of tiles in a fixed order. Behind them what no unknown changes:
    // what lies between two frozen channels, or between a channel and itself.
    private static void ReadNorms(CoarseArguments a, int terms, bool frozen)
    {
        int lane = Group.IdxX & 31;
        int constants = frozen || a.SelfEnergies.Length > 0 ? a.TermCount : 0;
        for (int n = Group.IdxX >> 5; n < terms + constants; n += Group.DimX >> 5)
        {
            bool isConstant = n >= terms;
            int set = isConstant ? 3 : n / a.TermCount;
            int t = isConstant ? n - terms : n - set * a.TermCount;
            var term = a.Terms[t];
            double sum = 0.0;
            for (int i = lane; i < term.TileCount; i += 32)
            {
                if (!isConstant || frozen)
                {
                    sum += a.Norms[(long)set * a.NormStride + term.Tiles + i];
                }

                if (isConstant && a.SelfEnergies.Length > 0)
                {
                    sum += a.SelfEnergies[term.Tiles + i];
                }
            }

            sum = WarpSums.Within(sum, 32);
            if (lane == 0)
            {
                // Frozen channels stand outside the reference of their group.
                double reference = (set >= 2 ? 0.0 : a.References[term.OutputGroup]) - (set == 1 || set == 3 ? 0.0 : a.References[term.InputGroup]);
                a.LogNorms[n] = Transcendental.Log(sum) + a.LogScales[term.Weight] + reference;
            }
        }
    }

    // log F; false if it is not finite.
    private static bool Describe(CoarseArguments a, int terms, bool frozen, ArrayView<double> scratch, out double logObjective)
    {
        int all = terms + (frozen || a.SelfEnergies.Length > 0 ? a.TermCount : 0);
        double highest = -Infinity;
        bool finite = true;
        for (int n = Group.IdxX; n < all; n += Group.DimX)
        {
            double log = a.LogNorms[n];
            finite &= log <= Largest;
            highest = Math.Max(highest, log);
        }

        highest = GroupSums.Max(highest, scratch);
        double scale = highest > -Largest && highest <= Largest ? highest : 0.0;
        double total = 0.0;
        for (int n = Group.IdxX; n < all; n += Group.DimX)
        {
            total += Transcendental.Exp(a.LogNorms[n] - scale);
        }

        total = GroupSums.Sum(total, scratch);
        double bad = GroupSums.Sum(finite ? 0.0 : 1.0, scratch);
        logObjective = Transcendental.Log(total) + scale;
        return bad == 0.0;
    }

    // Norms relative to the largest that an unknown changes; those that none changes leave the problem.
    private static void Normalize(CoarseArguments a, int terms, ArrayView<double> scratch)
    {
        double highest = -Infinity;
        for (int n = Group.IdxX; n < terms; n += Group.DimX)
        {
            bool moves = Output(a, n) != Input(a, n);
            a.LogNorms[n] = moves ? a.LogNorms[n] : -Infinity;
            highest = Math.Max(highest, a.LogNorms[n]);
        }

        highest = GroupSums.Max(highest, scratch);
        for (int n = Group.IdxX; n < terms; n += Group.DimX)
        {
            a.LogNorms[n] = highest > -Largest ? a.LogNorms[n] - highest : -Infinity;
        }

        Group.Barrier();
    }

    private static int Output(CoarseArguments a, int n)
    {
        int set = n / a.TermCount;
        return set == 2 ? -1 : a.Terms[n - set * a.TermCount].Output;
    }

    private static int Input(CoarseArguments a, int n)
    {
        int set = n / a.TermCount;
        return set == 1 ? -1 : a.Terms[n - set * a.TermCount].Input;
    }

    private static double Difference(CoarseArguments a, int n, ArrayView<double> t)
    {
        int output = Output(a, n);
        int input = Input(a, n);
        return (output >= 0 ? t[output] : 0.0) - (input >= 0 ? t[input] : 0.0);
    }

    private static double Value(CoarseArguments a, int terms, ArrayView<double> t, ArrayView<double> scratch)
    {
        Group.Barrier();
        double value = 0.0;
        for (int n = Group.IdxX; n < terms; n += Group.DimX)
        {
            value += Transcendental.Exp(a.LogNorms[n] + Difference(a, n, t));
        }

        value = GroupSums.Sum(value, scratch);
        return double.IsNaN(value) ? Infinity : value;
    }

    // The matrix sum_n c_n b_n b_n^T and, for the thread's unknown, sum_n g_n b_n, where b_n is +1 at the output and -1 at the input.
    private static double Assemble(
        CoarseArguments a, int terms, in SkylineFactorization matrix, ArrayView<double> at, int kind)
    {
        int v = Group.IdxX;
        Group.Barrier();
        matrix.Clear(v);
        double gradient = 0.0;
        double diagonal = 0.0;
        if (v < a.Unknowns)
        {
            for (int set = 0; set * a.TermCount < terms; set++)
            {
                for (int i = a.IncidentStarts[v]; i < a.IncidentStarts[v + 1]; i++)
                {
                    int n = set * a.TermCount + (a.Incidents[i] >> 1);
                    bool isInput = (a.Incidents[i] & 1) != 0;
                    int own = isInput ? Input(a, n) : Output(a, n);
                    int other = isInput ? Output(a, n) : Input(a, n);
                    if (own < 0 || own == other || !(a.LogNorms[n] > -Largest))
                    {
                        continue;
                    }

                    double norm = kind == 0 ? Transcendental.Exp(a.LogNorms[n] + Difference(a, n, at)) : 1.0;
                    double slope = kind == 0 ? norm : (kind == 1 ? -a.LogNorms[n] : 1.0);
                    gradient += isInput ? -slope : slope;
                    diagonal += norm;
                    if (other >= 0 && other < v)
                    {
                        matrix.Add(v, other, -norm);
                    }
                }
            }

            // A group all of whose channels are frozen is in no term: it stays where it is.
            matrix.Add(v, v, diagonal > 0.0 ? diagonal : 1.0);
        }

        Group.Barrier();
        return gradient;
    }

    // t with log N_n + t_out - t_in = kappa in the least-squares sense, kappa free too.
    private static bool FitLeastSquares(
        CoarseArguments a,
        int terms,
        in SkylineFactorization matrix,
        ArrayView<double> fit,
        ArrayView<double> slopes,
        ArrayView<double> work,
        ArrayView<double> scratch)
    {
        int v = Group.IdxX;
        fit[v] = Assemble(a, terms, matrix, work, 1);
        slopes[v] = Assemble(a, terms, matrix, work, 2);
        if (!matrix.Factorize(v))
        {
            return false;
        }

        matrix.Solve(v, fit);
        matrix.Solve(v, slopes);
        double numerator = 0.0;
        double denominator = 0.0;
        for (int n = v; n < terms; n += Group.DimX)
        {
            if (a.LogNorms[n] > -Largest)
            {
                double constant = a.LogNorms[n] + Difference(a, n, fit);
                double slope = Difference(a, n, slopes) - 1.0;
                numerator -= constant * slope;
                denominator += slope * slope;
            }
        }

        numerator = GroupSums.Sum(numerator, scratch);
        denominator = GroupSums.Sum(denominator, scratch);
        fit[v] += denominator > 0.0 ? numerator / denominator * slopes[v] : 0.0;
        Group.Barrier();
        return true;
    }

    private static bool NewtonStep(
        CoarseArguments a,
        int terms,
        in SkylineFactorization matrix,
        ArrayView<double> best,
        ArrayView<double> trial,
        ArrayView<double> step,
        ArrayView<double> gradient,
        ArrayView<double> scratch,
        ref double value)
    {
        int v = Group.IdxX;
        gradient[v] = Assemble(a, terms, matrix, best, 0);
        step[v] = gradient[v];
        if (!matrix.Factorize(v))
        {
            return false;
        }

        matrix.Solve(v, step);

        // Newton decrement: half of it is the decrease that the quadratic model expects.
        double decrement = GroupSums.Sum(v < a.Unknowns ? gradient[v] * step[v] : 0.0, scratch);
        bool found = false;
        if (decrement > 1e-16 * value)
        {
            for (double length = 1.0; !found && length > 1e-6; length *= 0.5)
            {
                trial[v] = v < a.Unknowns ? best[v] - length * step[v] : 0.0;
                double next = Value(a, terms, trial, scratch);
                if (next <= value - 0.1 * length * decrement)
                {
                    best[v] = trial[v];
                    value = next;
                    found = true;
                }
            }
        }

        return found;
    }
}
