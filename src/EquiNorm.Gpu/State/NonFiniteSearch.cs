using EquiNorm.Model;

namespace EquiNorm.Gpu.State;

/// <summary>Finds the NaN or infinity that stopped a solve. Nothing is left to be fast for: the tensor is looked through on the host.</summary>
internal static class NonFiniteSearch
{
    // Elements are fetched in parts of this many bytes.
    private const int PartBytes = 1 << 22;

    /// <summary>Index (output, input, kernel position) of the first element that is not finite.</summary>
    public static (int Output, int Input, int Kernel, double Value)? Find(Weight weight, ulong address, IDeviceQueue queue)
    {
        var layout = weight.Layout;
        var reader = new PartReader(queue, address, weight.ElementType, layout.RequiredElements);
        for (var g = 0; g < layout.Groups; g++)
        {
            for (var o = 0; o < layout.OutputsPerGroup; o++)
            {
                for (var i = 0; i < layout.InputsPerGroup; i++)
                {
                    for (var k = 0; k < layout.Kernel; k++)
                    {
                        var at = layout.Offset + g * layout.GroupStride + o * layout.OutputStride + i * layout.InputStride + k * layout.KernelStride;
                        var value = reader[at];
                        if (!double.IsFinite(value))
                        {
                            return (g * layout.OutputsPerGroup + o, i, k, value);
                        }
                    }
                }
            }
        }

        return null;
    }

    private sealed class PartReader(IDeviceQueue queue, ulong address, ElementType type, long length)
    {
        private readonly byte[] _part = new byte[PartBytes];
        private long _start = -1;

        public double this[long element]
        {
            get
            {
                var size = type.ByteSize();
                var perPart = PartBytes / size;
                var start = element / perPart * perPart;
                if (start != _start)
                {
                    var count = (int)Math.Min(perPart, length - start);
                    queue.Download(address + (ulong)(start * size), _part.AsSpan(0, count * size));
                    _start = start;
                }

                var bytes = _part.AsSpan((int)(element - start) * size, size);
                return type switch
                {
                    ElementType.Float32 => BitConverter.ToSingle(bytes),
                    ElementType.Float64 => BitConverter.ToDouble(bytes),
                    ElementType.Float16 => (double)BitConverter.ToHalf(bytes),
                    _ => BitConverter.UInt32BitsToSingle((uint)BitConverter.ToUInt16(bytes) << 16),
                };
            }
        }
    }
}
