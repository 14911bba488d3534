namespace EquiNorm.Plan;

/// <summary>
/// Strongly connected components of the graph whose nodes are the free groups and whose arrows are the weights (Tarjan's algorithm,
/// iterative). Residual streams make cycles: stream -> branch -> stream.
/// </summary>
internal sealed class GroupComponents
{
    private readonly int[] _component;
    private readonly bool[] _cyclic;

    private GroupComponents(int[] component, bool[] cyclic)
    {
        _component = component;
        _cyclic = cyclic;
    }

    /// <summary>The component of a group; -1 for pinned groups.</summary>
    public int this[int group] => _component[group];

    /// <summary>Whether some walk of weights leads from the group back to it.</summary>
    public bool IsCyclic(int group) => _cyclic[group];

    /// <summary>Whether any group is on such a walk.</summary>
    public bool HasCycles => _cyclic.Contains(true);

    public static GroupComponents Of(PlannedWeight[] weights, PlannedGroup[] groups)
    {
        var count = groups.Length;
        var next = new int[count][];
        for (var g = 0; g < count; g++)
        {
            next[g] = groups[g].Group.IsPinned ? [] : Successors(weights, groups, g);
        }

        var component = new int[count];
        var index = new int[count];
        var low = new int[count];
        var onStack = new bool[count];
        var sizes = new List<int>();
        Array.Fill(component, -1);
        Array.Fill(index, -1);
        var path = new Stack<int>();
        var work = new Stack<(int Node, int Child)>();
        var counter = 0;
        for (var root = 0; root < count; root++)
        {
            if (groups[root].Group.IsPinned || index[root] >= 0)
            {
                continue;
            }

            Enter(root);
            while (work.TryPop(out var top))
            {
                var (node, child) = top;
                if (child > 0)
                {
                    low[node] = Math.Min(low[node], low[next[node][child - 1]]);
                }

                while (child < next[node].Length && index[next[node][child]] >= 0)
                {
                    var seen = next[node][child++];
                    low[node] = onStack[seen] ? Math.Min(low[node], index[seen]) : low[node];
                }

                if (child < next[node].Length)
                {
                    work.Push((node, child + 1));
                    Enter(next[node][child]);
                }
                else if (low[node] == index[node])
                {
                    Close(node);
                }
            }
        }

        var cyclic = new bool[count];
        for (var g = 0; g < count; g++)
        {
            cyclic[g] = component[g] >= 0 && (sizes[component[g]] > 1 || next[g].Contains(g));
        }

        return new GroupComponents(component, cyclic);

        void Enter(int node)
        {
            index[node] = low[node] = counter++;
            onStack[node] = true;
            path.Push(node);
            work.Push((node, 0));
        }

        void Close(int node)
        {
            var size = 0;
            int member;
            do
            {
                member = path.Pop();
                onStack[member] = false;
                component[member] = sizes.Count;
                size++;
            }
            while (member != node);
            sizes.Add(size);
        }
    }

    private static int[] Successors(PlannedWeight[] weights, PlannedGroup[] groups, int group)
    {
        var successors = new SortedSet<int>();
        foreach (var sink in groups[group].Sinks)
        {
            foreach (var segment in weights[sink.Weight].Segments(Axis.Output))
            {
                if (!groups[segment.Group].Group.IsPinned)
                {
                    successors.Add(segment.Group);
                }
            }
        }

        return [.. successors];
    }
}
