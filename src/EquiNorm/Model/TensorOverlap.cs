namespace EquiNorm.Model;

/// <summary>
/// Refuses tensors that share elements: each would be rescaled by the other's factors, too. Views that are interleaved (columns of one
/// buffer) are allowed; of two views with gaps only those are found that begin at the same element.
/// </summary>
internal static class TensorOverlap
{
    /// <exception cref="TensorException">Two tensors that are bound share memory.</exception>
    public static void Refuse(NetworkTensors tensors)
    {
        var spans = new List<(nint First, nint End, bool IsDense, string Name)>();
        foreach (var weight in tensors.Network.Weights)
        {
            if (tensors.IsBound(weight.Index))
            {
                Add(tensors[weight.Index], weight.Layout, weight.Name);
            }
        }

        foreach (var companion in tensors.Companions)
        {
            Add(companion.Memory, companion.Layout, $"{companion.Weight.Name} ({companion.Kind}, slot {companion.Slot})");
        }

        spans.Sort((a, b) => a.First.CompareTo(b.First));
        for (var n = 1; n < spans.Count; n++)
        {
            // Spans before this one that reach into it.
            for (var m = n - 1; m >= 0 && m >= n - Neighbours; m--)
            {
                if (spans[m].End > spans[n].First
                    && ((spans[m].IsDense && spans[n].IsDense) || spans[m].First == spans[n].First))
                {
                    throw new TensorException(
                        TensorError.WrongShape,
                        $"Tensors '{spans[m].Name}' and '{spans[n].Name}' share memory at 0x{spans[n].First:x}. A tensor that is used twice is one weight, declared twice under one name.");
                }
            }
        }

        void Add(TensorMemory memory, WeightLayout layout, string name)
        {
            if (layout.Elements > 0)
            {
                var size = memory.ElementType.ByteSize();
                spans.Add((
                    memory.Address + (nint)(layout.Offset * size),
                    memory.Address + (nint)(layout.RequiredElements * size),
                    layout.RequiredElements - layout.Offset == layout.Elements,
                    name));
            }
        }
    }

    // Interleaved views of one buffer are few; beyond them nothing that begins earlier reaches so far, as a rule.
    private const int Neighbours = 64;
}
