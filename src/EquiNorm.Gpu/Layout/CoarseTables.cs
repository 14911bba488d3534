using EquiNorm.Gpu.Tables;
using EquiNorm.Plan;

namespace EquiNorm.Gpu.Layout;

/// <summary>The coarse problem of a plan as the device solves it: terms, unknowns, and the skyline of the matrix.</summary>
internal sealed class CoarseTables
{
    public CoarseTables(DeviceLayout layout)
    {
        var plan = layout.Plan;
        var unknown = new int[plan.Groups.Count];
        Array.Fill(unknown, -1);
        Groups = [.. plan.Groups.Where(g => !g.Group.IsPinned && g.Group.Count > 0).Select(g => g.Group.Index)];
        for (var v = 0; v < Groups.Length; v++)
        {
            unknown[Groups[v]] = v;
        }

        var terms = new List<CoarseTerm>();
        foreach (var weight in plan.Weights)
        {
            for (var o = 0; o < weight.Segments(Axis.Output).Length; o++)
            {
                for (var i = 0; i < weight.Segments(Axis.Input).Length; i++)
                {
                    var panels = layout.PanelsOf(weight.Index, o, i);
                    if (panels.IsEmpty)
                    {
                        continue;
                    }

                    var (output, input) = (weight.Segments(Axis.Output)[o].Group, weight.Segments(Axis.Input)[i].Group);
                    terms.Add(new CoarseTerm
                    {
                        Tiles = panels[0].Norms,
                        TileCount = panels[^1].Norms + panels[^1].Tiles - panels[0].Norms,
                        Weight = weight.Index,
                        OutputGroup = output,
                        InputGroup = input,
                        Output = unknown[output],
                        Input = unknown[input],
                    });
                }
            }
        }

        Terms = [.. terms];
        (IncidentStarts, Incidents) = FindIncidents();
        (Diagonals, FirstColumns, MatrixSize) = FindSkyline();
    }

    /// <summary>The blocks.</summary>
    public CoarseTerm[] Terms { get; }

    /// <summary>The group of each unknown.</summary>
    public int[] Groups { get; }

    /// <summary>Where the incidents of each unknown start.</summary>
    public int[] IncidentStarts { get; }

    /// <summary>2 t for an unknown on the output axis of term t, 2 t + 1 on its input axis.</summary>
    public int[] Incidents { get; }

    /// <summary>Index of the diagonal of each row.</summary>
    public int[] Diagonals { get; }

    /// <summary>First column of each row.</summary>
    public int[] FirstColumns { get; }

    /// <summary>Numbers that the matrix takes.</summary>
    public int MatrixSize { get; }

    private (int[] Starts, int[] Incidents) FindIncidents()
    {
        var lists = new List<int>[Groups.Length];
        for (var v = 0; v < lists.Length; v++)
        {
            lists[v] = [];
        }

        for (var t = 0; t < Terms.Length; t++)
        {
            if (Terms[t].Output >= 0)
            {
                lists[Terms[t].Output].Add(2 * t);
            }

            if (Terms[t].Input >= 0)
            {
                lists[Terms[t].Input].Add(2 * t + 1);
            }
        }

        var starts = new int[Groups.Length + 1];
        for (var v = 0; v < lists.Length; v++)
        {
            starts[v + 1] = starts[v] + lists[v].Count;
        }

        return (starts, [.. lists.SelectMany(l => l)]);
    }

    private (int[] Diagonals, int[] FirstColumns, int Size) FindSkyline()
    {
        var first = Enumerable.Range(0, Groups.Length).ToArray();
        foreach (var term in Terms)
        {
            if (term.Output >= 0 && term.Input >= 0)
            {
                var (low, high) = (Math.Min(term.Output, term.Input), Math.Max(term.Output, term.Input));
                first[high] = Math.Min(first[high], low);
            }
        }

        var diagonals = new int[Groups.Length];
        var size = 0;
        for (var v = 0; v < diagonals.Length; v++)
        {
            size = checked(size + v - first[v] + 1);
            diagonals[v] = size - 1;
        }

        return (diagonals, first, size);
    }
}
