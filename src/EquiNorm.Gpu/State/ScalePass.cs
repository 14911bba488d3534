using EquiNorm.Backends;
using EquiNorm.Gpu.Layout;
using EquiNorm.Gpu.Tables;
using EquiNorm.Model;
using EquiNorm.Problem;

namespace EquiNorm.Gpu.State;

/// <summary>A tensor to be multiplied by its factors.</summary>
/// <param name="Weight">The weight that it is, or moves with.</param>
/// <param name="Layout">Its layout.</param>
/// <param name="Type">Its storage type.</param>
/// <param name="Power">The power of the weight's factors.</param>
/// <param name="Source">Address on the device to read from.</param>
/// <param name="Target">Address on the device to write to; may be the same.</param>
internal readonly record struct ScaledTensor(
    Weight Weight, WeightLayout Layout, ElementType Type, int Power, ulong Source, ulong Target);

/// <summary>Multiplies tensors on the device by given factors: one launch for each storage type, however many tensors there are.</summary>
internal static class ScalePass
{
    /// <summary>Multiplies, waits, and tells what left the range.</summary>
    public static ApplyReport Run(Scalings scalings, IEnumerable<ScaledTensor> tensors, IDeviceQueue queue)
    {
        // Factors by position, not by channel: output scales are baked in, and steep factors balanced between the two sides.
        var factors = new List<double>();
        var tables = new Dictionary<ElementType, List<ScaleTile>>();
        foreach (var (weight, layout, type, power, source, target) in tensors)
        {
            if (layout.Elements == 0)
            {
                continue;
            }

            var (outputs, inputs) = scalings.FactorsOf(weight, power);
            var table = tables.TryGetValue(type, out var known) ? known : tables[type] = [];
            foreach (var tile in ScaleLayout.Tiles(layout, type, source, target, factors.Count, factors.Count + outputs.Length, 1))
            {
                table.Add(tile with { Counts = table.Count });
            }

            factors.AddRange(outputs);
            factors.AddRange(inputs);
        }

        // Everything is allocated before the first element is written.
        var launches = new List<(ElementType Type, DeviceBuffer<ScaleTile> Tiles, DeviceBuffer<ScaleCounts> Counts)>();
        using var factorTable = new DeviceBuffer<double>(queue, factors.ToArray());
        try
        {
            foreach (var (type, table) in tables)
            {
                var tiles = new DeviceBuffer<ScaleTile>(queue, table.ToArray());
                launches.Add((type, tiles, null!));
                launches[^1] = (type, tiles, new DeviceBuffer<ScaleCounts>(queue, table.Count));
            }

            queue.Prepare(launches.Select(l => KernelCatalog.Scale(l.Type)));
            foreach (var (type, tiles, counts) in launches)
            {
                queue.Launch(KernelCatalog.Scale(type), (int)tiles.Length, KernelPolicy.GroupSize, new ScaleParameters
                {
                    Tiles = tiles.View,
                    Elements = DeviceView<byte>.Everywhere,
                    Quads = DeviceView<byte>.Everywhere,
                    OutputFactors = factorTable.View,
                    InputFactors = factorTable.View,
                    Counts = counts.View,
                });
            }

            return launches.Aggregate(default(ApplyReport), (report, launch) => report + Read(launch.Counts));
        }
        finally
        {
            foreach (var (_, tiles, counts) in launches)
            {
                tiles.Dispose();
                counts?.Dispose();
            }
        }
    }

    private static ApplyReport Read(DeviceBuffer<ScaleCounts> counts)
    {
        var left = new ScaleCounts[counts.Length];
        counts.Download(left);
        var report = default(ApplyReport);
        foreach (var count in left)
        {
            report += new ApplyReport(count.Overflowed, count.Underflowed);
        }

        return report;
    }
}
