using EquiNorm.Gpu.Tables;
using ILGPU;

namespace EquiNorm.Gpu.Kernels;

/// <summary>
/// The fused pass: reads each tile once and sums its energies by rows and by columns, weighted by the factors of the other axis. One
/// group of threads works on a tile; each warp takes rows of its own, each thread at most four columns. All additions have a fixed
/// order, so results have the same bits whatever the scheduling. At p = infinity the largest takes the place of every sum.
/// </summary>
/// <remarks>
/// Work: every element is read once. Per element one conversion and three float64 operations, and 10 shuffles for 16 elements of a full
/// row. Four independent loads are in flight in each thread.
/// </remarks>
internal static class SumTiles<TElement, TScalar, TQuad, TPower>
    where TElement : struct, IElement<TScalar, TQuad>
    where TScalar : unmanaged
    where TQuad : unmanaged
    where TPower : struct, IPower
{
    private const int Warps = TileLimits.GroupSize / 32;
    private const int StageWords = TileLimits.StageBytes / 16;

    public static void Run(SumArguments<TScalar, TQuad> a)
    {
        var stageMemory = SharedMemory.Allocate<Float4>(Warps * StageWords);
        var columnSums = SharedMemory.Allocate<double>(Warps * TileLimits.StripeColumns);
        var rowSums = SharedMemory.Allocate<double>(TileLimits.Rows);
        var rowWeights = SharedMemory.Allocate<double>(TileLimits.Rows);
        var warpNorms = SharedMemory.Allocate<double>(2 * Warps);
        if (a.Condition.Length > 0 && a.Condition[0] == 0)
        {
            return;
        }

        int thread = Group.IdxX;
        int set = Grid.IdxX / a.TileCount;
        var tile = a.Tiles[Grid.IdxX - set * a.TileCount];
        if (Grid.IdxX == 0)
        {
            for (long n = thread; n < a.Reset.Length; n += Group.DimX)
            {
                a.Reset[n] = 0;
            }
        }

        if (a.OutputFactors.Length > 0)
        {
            a.OutputFactors = a.OutputFactors.SubView((long)set * a.FactorStride, a.FactorStride);
            a.InputFactors = a.InputFactors.SubView((long)set * a.FactorStride, a.FactorStride);
        }

        a.Sums = a.Sums.SubView((long)set * a.SumStride, a.SumStride);
        a.Norms = a.Norms.SubView((long)set * a.NormStride, a.NormStride);
        int lane = thread & 31;
        int warp = thread >> 5;
        int warps = Group.DimX >> 5;
        bool staged = (tile.Flags & TileFlags.Staged) != 0;
        bool vector = default(TElement).HasQuads && (tile.Flags & TileFlags.Vector) != 0;
        bool diagonal = (tile.Flags & TileFlags.Diagonal) != 0;
        bool selfEdges = (tile.Flags & TileFlags.SelfEdges) != 0;
        bool rowsAreOutputs = (tile.Flags & TileFlags.RowsAreOutputs) != 0;
        var rowFactors = rowsAreOutputs ? a.OutputFactors : a.InputFactors;
        var columnFactors = rowsAreOutputs ? a.InputFactors : a.OutputFactors;
        int rowScales = rowsAreOutputs ? tile.Scales : -1;
        int columnScales = rowsAreOutputs && !diagonal ? -1 : tile.Scales;

        // Consecutive columns for 16-byte loads, else neighbouring threads on neighbouring columns.
        bool consecutive = vector && !staged;
        int lanes = tile.LanesPerRow;
        int place = lane & (lanes - 1);
        int step = consecutive ? 1 : lanes;
        int rowsAtOnce = 32 / lanes;
        int rowOfLane = lane / lanes;
        var stage = stageMemory.SubView(warp * StageWords, StageWords);

        for (int r = thread; r < tile.Rows; r += Group.DimX)
        {
            int channel = diagonal ? -1 : a.Channels[tile.RowChannels + r];
            rowSums[r] = 0.0;
            rowWeights[r] = diagonal ? 1.0 : ColumnQuad.Factor(rowFactors, channel);
        }

        Group.Barrier();
        double self = 0.0;
        double norm = 0.0;
        for (int stripe = 0; stripe < tile.Columns; stripe += tile.StripeColumns)
        {
            int end = Math.Min(stripe + tile.StripeColumns, tile.Columns);
            var columns = new ColumnQuad { First = stripe + (consecutive ? 4 * place : place), Step = step, End = end };
            columns.Gather(a.Channels, tile.ColumnChannels, columnFactors, a.Scales, columnScales);
            var sums = new Energy4();
            if (staged)
            {
                for (int r = warp; r < tile.Rows; r += warps)
                {
                    TileReads<TElement, TScalar, TQuad, TPower>.Stage(a, tile, stage, r, stripe, end, lane, vector);
                    Warp.Barrier();
                    var energies = TileReads<TElement, TScalar, TQuad, TPower>.SumStaged(stage.Cast<TScalar>(), tile, columns, stripe, a.Exponent);
                    Warp.Barrier();
                    double sum = Add(a, tile, ref columns, ref sums, ref self, energies, r, rowWeights, rowScales, selfEdges, diagonal);
                    sum = Within(sum, 32);
                    if (lane == 0)
                    {
                        rowSums[r] = Both(rowSums[r], sum);
                    }
                }
            }
            else
            {
                int stride = warps * rowsAtOnce;
                int r = warp * rowsAtOnce + rowOfLane;

                // Every thread of a warp takes part in each round, whether its row is there or not.
                for (int round = warp * rowsAtOnce; round < tile.Rows; round += 4 * stride, r += 4 * stride)
                {
                    bool second = r + stride < tile.Rows;
                    bool third = r + 2 * stride < tile.Rows;
                    bool fourth = r + 3 * stride < tile.Rows;
                    var e0 = new Energy4();
                    var e1 = new Energy4();
                    var e2 = new Energy4();
                    var e3 = new Energy4();
                    if (vector)
                    {
                        TileReads<TElement, TScalar, TQuad, TPower>.LoadVectors(a, tile, columns, r, stride, r < tile.Rows, second, third, fourth, ref e0, ref e1, ref e2, ref e3);
                    }
                    else
                    {
                        e0 = TileReads<TElement, TScalar, TQuad, TPower>.LoadScalars(a, tile, columns, r, r < tile.Rows);
                        e1 = TileReads<TElement, TScalar, TQuad, TPower>.LoadScalars(a, tile, columns, r + stride, second);
                        e2 = TileReads<TElement, TScalar, TQuad, TPower>.LoadScalars(a, tile, columns, r + 2 * stride, third);
                        e3 = TileReads<TElement, TScalar, TQuad, TPower>.LoadScalars(a, tile, columns, r + 3 * stride, fourth);
                    }

                    double s0 = 0.0;
                    double s1 = 0.0;
                    double s2 = 0.0;
                    double s3 = 0.0;
                    if (r < tile.Rows)
                    {
                        s0 = Add(a, tile, ref columns, ref sums, ref self, e0, r, rowWeights, rowScales, selfEdges, diagonal);
                    }

                    if (second)
                    {
                        s1 = Add(a, tile, ref columns, ref sums, ref self, e1, r + stride, rowWeights, rowScales, selfEdges, diagonal);
                    }

                    if (third)
                    {
                        s2 = Add(a, tile, ref columns, ref sums, ref self, e2, r + 2 * stride, rowWeights, rowScales, selfEdges, diagonal);
                    }

                    if (fourth)
                    {
                        s3 = Add(a, tile, ref columns, ref sums, ref self, e3, r + 3 * stride, rowWeights, rowScales, selfEdges, diagonal);
                    }

                    s0 = Within(s0, lanes);
                    s1 = Within(s1, lanes);
                    s2 = Within(s2, lanes);
                    s3 = Within(s3, lanes);
                    if (place == 0)
                    {
                        if (r < tile.Rows)
                        {
                            rowSums[r] = Both(rowSums[r], s0);
                        }

                        if (second)
                        {
                            rowSums[r + stride] = Both(rowSums[r + stride], s1);
                        }

                        if (third)
                        {
                            rowSums[r + 2 * stride] = Both(rowSums[r + 2 * stride], s2);
                        }

                        if (fourth)
                        {
                            rowSums[r + 3 * stride] = Both(rowSums[r + 3 * stride], s3);
                        }
                    }
                }

                sums.A = Across(sums.A, lanes);
                sums.B = Across(sums.B, lanes);
                sums.C = Across(sums.C, lanes);
                sums.D = Across(sums.D, lanes);
            }

            if (rowOfLane == 0)
            {
                columns.Store(sums, columnSums, warp * TileLimits.StripeColumns - stripe);
            }

            Group.Barrier();
            for (int c = thread; c < end - stripe; c += Group.DimX)
            {
                double total = 0.0;
                for (int w = 0; w < warps; w++)
                {
                    total = Both(total, columnSums[w * TileLimits.StripeColumns + c]);
                }

                if (diagonal)
                {
                    norm = Both(norm, StoreDiagonal(a, tile, stripe + c, total));
                }
                else
                {
                    a.Sums[tile.ColumnSums + stripe + c] = total;
                }
            }

            Group.Barrier();
        }

        if (!diagonal)
        {
            for (int r = thread; r < tile.Rows; r += Group.DimX)
            {
                double total = rowSums[r];
                a.Sums[tile.RowSums + r] = total;
                norm = Both(norm, rowWeights[r] * total);
            }
        }

        norm = Within(norm, 32);
        self = Within(self, 32);
        if (lane == 0)
        {
            warpNorms[warp] = norm;
            warpNorms[Warps + warp] = self;
        }

        Group.Barrier();
        if (thread == 0)
        {
            double totalNorm = 0.0;
            double totalSelf = 0.0;
            for (int w = 0; w < warps; w++)
            {
                totalNorm = Both(totalNorm, warpNorms[w]);
                totalSelf = Both(totalSelf, warpNorms[Warps + w]);
            }

            a.Norms[tile.Norm] = totalNorm;
            // They do not depend on factors: every set would write the same.
            if (selfEdges && set == 0)
            {
                a.SelfEnergies[tile.Norm] = totalSelf;
            }
        }
    }

    // Adds the energies of one row to the column sums; returns this thread's share of the row sum.
    private static double Add(
        SumArguments<TScalar, TQuad> a,
        in SumTile tile,
        ref ColumnQuad columns,
        ref Energy4 sums,
        ref double self,
        Energy4 e,
        int row,
        ArrayView<double> rowWeights,
        int rowScales,
        bool selfEdges,
        bool diagonal)
    {
        double factor = rowWeights[row];
        if (tile.Scales >= 0)
        {
            double scale = rowScales >= 0 && !diagonal ? a.Scales[rowScales + row] : 1.0;
            e.A *= scale * columns.ScaleA;
            e.B *= scale * columns.ScaleB;
            e.C *= scale * columns.ScaleC;
            e.D *= scale * columns.ScaleD;
        }

        if (selfEdges)
        {
            int channel = diagonal ? -1 : a.Channels[tile.RowChannels + row];
            var own = columns.RemoveSelf(ref e, channel, a.Channels, diagonal ? tile.RowChannels : -1);
            self = Both(self, Both(Both(Both(own.A, own.B), own.C), own.D));
        }

        if (tile.Energies >= 0 && a.Energies.Length > 0)
        {
            columns.Store(e, a.Energies, tile.Energies + (long)row * tile.EnergyStride);
        }

        sums.A = Both(sums.A, factor * e.A);
        sums.B = Both(sums.B, factor * e.B);
        sums.C = Both(sums.C, factor * e.C);
        sums.D = Both(sums.D, factor * e.D);
        return Both(Both(Both(Both(0.0, e.A * columns.FactorA), e.B * columns.FactorB), e.C * columns.FactorC), e.D * columns.FactorD);
    }

    private static double Both(double total, double energy) => default(TPower).Combine(total, energy);

    // Over each aligned run of threads; every thread of the run gets the result.
    private static double Within(double value, int lanes)
    {
        for (int mask = 1; mask < lanes; mask <<= 1)
        {
            value = Both(value, Warp.ShuffleXor(value, mask));
        }

        return value;
    }

    // Over the threads that have the same place in each run.
    private static double Across(double value, int lanes)
    {
        for (int mask = lanes; mask < 32; mask <<= 1)
        {
            value = Both(value, Warp.ShuffleXor(value, mask));
        }

        return value;
    }

    // Sums on both axes of an element that ties one channel to one channel.
    private static double StoreDiagonal(SumArguments<TScalar, TQuad> a, in SumTile tile, int column, double energy)
    {
        int output = a.Channels[tile.RowChannels + column];
        int input = a.Channels[tile.ColumnChannels + column];
        double outputFactor = ColumnQuad.Factor(a.OutputFactors, output);
        double inputFactor = ColumnQuad.Factor(a.InputFactors, input);
        a.Sums[tile.RowSums + column] = energy * inputFactor;
        a.Sums[tile.ColumnSums + column] = energy * outputFactor;
        return energy * inputFactor * outputFactor;
    }
}
