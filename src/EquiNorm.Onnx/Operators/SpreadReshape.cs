using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>
/// Reshapes of factors that depend on several axes. Elements keep their row order, so source and target fall into runs of axes with equal
/// products; within a run the factors repeat with a period P = (extent of the first axis that has factors) * (everything behind it), and
/// the last axes of the target run whose product is a multiple of P take them.
/// </summary>
internal static class SpreadReshape
{
    /// <summary>The table behind a reshape; null if it is not proved where the channels are.</summary>
    public static SplitValue? Apply(NodeContext node, SplitValue x, Extent[] to)
    {
        var from = x.Shape!;
        var blocks = new List<Spread.Block>();
        var (i, j) = (0, 0);
        foreach (var (endI, endJ) in Cuts(from, to))
        {
            int[] carried = [.. Enumerable.Range(0, x.Dims.Length).Where(n => x.Dims[n] >= i && x.Dims[n] < endI)];
            if (carried.Length > 0)
            {
                if (Period(x, from, carried, endI) is not { } offsets || Place(offsets, to, j, endJ) is not { } block)
                {
                    return null;
                }

                blocks.Add(block);
            }

            (i, j) = (endI, endJ);
        }

        return Spread.Make(node, x, blocks, to);
    }

    // Pairs of places in source and target with equal products before (or behind) them, ascending in both, the ends last.
    private static List<(int From, int To)> Cuts(Extent[] from, Extent[] to)
    {
        var cuts = new List<(int, int)>();
        int last = 0;
        for (int i = 1; i < from.Length; i++)
        {
            for (int j = last; j < to.Length; j++)
            {
                if (Extents.SameProduct(from.AsSpan(0, i), to.AsSpan(0, j)) || Extents.SameProduct(from.AsSpan(i), to.AsSpan(j)))
                {
                    cuts.Add((i, j));
                    last = j;
                    break;
                }
            }
        }

        cuts.Add((from.Length, to.Length));
        return cuts;
    }

    // The offsets of a run from the first axis with factors on, in row order.
    private static int[]? Period(SplitValue x, Extent[] from, int[] carried, int end)
    {
        int[] strides = Spread.Strides(x), offsets = [0];
        for (int axis = x.Dims[carried[0]]; axis < end; axis++)
        {
            int at = Array.IndexOf(x.Dims, axis);
            bool isFirst = at == carried[0];
            long extent = isFirst ? x.Extents[at] : from[axis].IsKnown ? from[axis].Value : 0;
            if (extent < 1 || extent * offsets.Length > RangeRules.MaximumFeatures)
            {
                return null;
            }

            var (step, period) = at < 0 ? (0, 1) : (strides[at], x.Extents[at]);
            offsets = [.. offsets.SelectMany(o => Enumerable.Range(0, (int)extent).Select(e => o + e % period * step))];
        }

        return offsets;
    }

    private static Spread.Block? Place(int[] offsets, Extent[] to, int start, int end)
    {
        var (dims, extents) = (new List<int>(), new List<int>());
        long places = 1;
        for (int axis = end - 1; axis >= start; axis--)
        {
            // An axis of unknown extent takes what is left of a period, if no axis of the run is in front of it.
            bool isOpen = !to[axis].IsKnown && axis == start && offsets.Length % places == 0;
            long extent = isOpen ? offsets.Length / places : to[axis].IsKnown ? to[axis].Value : 0;
            if (extent < 1 || extent * places > RangeRules.MaximumFeatures)
            {
                return null;
            }

            places *= extent;
            dims.Insert(0, axis);
            extents.Insert(0, (int)extent);
            if (places % offsets.Length == 0)
            {
                return new Spread.Block([.. dims], [.. extents], [.. Enumerable.Range(0, (int)places).Select(p => offsets[p % offsets.Length])]);
            }
        }

        return null;
    }
}
