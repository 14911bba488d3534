using EquiNorm.Model;

namespace EquiNorm.Gpu.State;

/// <summary>
/// Copies of tensors of the host on the device. Tensors that are interleaved in one buffer of the host share one copy: with copies of their
/// own each would bring back what it found between its elements, over what the others have changed.
/// </summary>
internal sealed class HostCopies : IDisposable
{
    // Every storage type is aligned in a copy if the host's buffer is aligned to this.
    private const int Alignment = 8;

    private readonly List<(nint First, int Lead, DeviceBuffer<byte> Copy)> _copies = [];
    private readonly ulong[] _addresses;

    /// <param name="queue">The device.</param>
    /// <param name="tensors">The tensors: where the view begins, and its layout.</param>
    public HostCopies(IDeviceQueue queue, IEnumerable<(TensorMemory Memory, WeightLayout Layout)> tensors)
    {
        (TensorMemory Memory, WeightLayout Layout)[] all = [.. tensors];
        _addresses = new ulong[all.Length];
        var order = Enumerable.Range(0, all.Length).OrderBy(n => First(all[n])).ToArray();
        try
        {
            for (var start = 0; start < order.Length;)
            {
                var (first, end, next) = (First(all[order[start]]), End(all[order[start]]), start + 1);
                for (; next < order.Length && First(all[order[next]]) < end; next++)
                {
                    end = Math.Max(end, End(all[order[next]]));
                }

                // A copy of one tensor begins aligned; one of several keeps the alignment that they have in the host's memory.
                var lead = next == start + 1 ? 0 : (int)(first % Alignment);
                var copy = new DeviceBuffer<byte>(queue, end - first + lead);
                _copies.Add((first, lead, copy));
                for (; start < next; start++)
                {
                    var address = copy.View.Address + (ulong)(all[order[start]].Memory.Address - first + lead);
                    var size = (ulong)all[order[start]].Memory.ElementType.ByteSize();
                    _addresses[order[start]] = address % size == 0 ? address : throw new TensorException(
                        TensorError.WrongShape, $"A tensor at 0x{all[order[start]].Memory.Address:x} is not aligned to its elements of {size} bytes.");
                }
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Where the view of a tensor begins on the device; elements before the layout's offset are not there.</summary>
    public ulong Address(int tensor) => _addresses[tensor];

    /// <summary>Copies to the device.</summary>
    public void Upload() => Each((copy, address, lead) => copy.UploadFrom(address, lead));

    /// <summary>Copies back.</summary>
    public void Download() => Each((copy, address, lead) => copy.DownloadTo(address, lead));

    public void Dispose()
    {
        foreach (var (_, _, copy) in _copies)
        {
            copy.Dispose();
        }

        _copies.Clear();
    }

    private void Each(Action<DeviceBuffer<byte>, nint, long> transfer)
    {
        foreach (var (first, lead, copy) in _copies)
        {
            transfer(copy, first - lead, lead);
        }
    }

    private static nint First((TensorMemory Memory, WeightLayout Layout) tensor) =>
        tensor.Memory.Address + (nint)(tensor.Layout.Offset * tensor.Memory.ElementType.ByteSize());

    private static nint End((TensorMemory Memory, WeightLayout Layout) tensor) =>
        tensor.Memory.Address + (nint)(tensor.Layout.RequiredElements * tensor.Memory.ElementType.ByteSize());
}
