using EquiNorm.Model;

namespace EquiNorm.Gpu.State;

/// <summary>Finds the NaN or infinity that stopped a solve. Nothing is left to be fast for: the tensor is looked through on the host.</summary>
internal static class NonFiniteSearch
{
    // Elements are fetched in parts of this many bytes.
    private const int PartBytes = 1 << 22;

    /// <summary>Index (output, input, kernel position) of the first element in memory that is not finite.</summary>
    public static (int Output, int Input, int Kernel, double Value)? Find(Weight weight, ulong address, IDeviceQueue queue)
    {
        var layout = weight.Layout;
        var reader = new PartReader(queue, address, weight.ElementType, layout.RequiredElements);

        // In the order of memory, so that each part is fetched once.
        (int Extent, long Stride, int Axis)[] axes =
            [(layout.OutputsPerGroup, layout.OutputStride, 0), (layout.InputsPerGroup, layout.InputStride, 1), (layout.Kernel, layout.KernelStride, 2)];
        axes = [.. axes.OrderByDescending(a => a.Extent > 1 ? a.Stride : long.MaxValue)];
        Span<int> index = stackalloc int[3];
        for (var g = 0; g < layout.Groups; g++)
        {
            for (var a = 0; a < axes[0].Extent; a++)
            {
                for (var b = 0; b < axes[1].Extent; b++)
                {
                    for (var c = 0; c < axes[2].Extent; c++)
                    {
                        var value = reader[layout.Offset + g * layout.GroupStride + a * axes[0].Stride + b * axes[1].Stride + c * axes[2].Stride];
                        if (!double.IsFinite(value))
                        {
                            (index[axes[0].Axis], index[axes[1].Axis], index[axes[2].Axis]) = (a, b, c);
                            return (g * layout.OutputsPerGroup + index[0], index[1], index[2], value);
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
