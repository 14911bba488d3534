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

        using var factorTable = new DeviceBuffer<double>(queue, factors.ToArray());
        var report = default(ApplyReport);
        foreach (var (type, table) in tables)
        {
            report += Run(type, table.ToArray(), factorTable.View, queue);
        }

        return report;
    }

    private static ApplyReport Run(ElementType type, ScaleTile[] tiles, DeviceView<double> factors, IDeviceQueue queue)
    {
        using var table = new DeviceBuffer<ScaleTile>(queue, tiles);
        using var counts = new DeviceBuffer<ScaleCounts>(queue, tiles.Length);
        queue.Launch(KernelCatalog.Scale(type), tiles.Length, KernelPolicy.GroupSize, new ScaleParameters
        {
            Tiles = table.View,
            Elements = DeviceView<byte>.Everywhere,
            Quads = DeviceView<byte>.Everywhere,
            OutputFactors = factors,
            InputFactors = factors,
            Counts = counts.View,
        });
        var left = new ScaleCounts[tiles.Length];
        counts.Download(left);
        var report = default(ApplyReport);
        foreach (var count in left)
        {
            report += new ApplyReport(count.Overflowed, count.Underflowed);
        }

        return report;
    }
}
