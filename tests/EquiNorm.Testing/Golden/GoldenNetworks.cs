using System.Runtime.InteropServices;
using EquiNorm.Model;

namespace EquiNorm.Testing.Golden;

/// <summary>
/// Weights of two exported dense networks, float32, one matrix after the other, and their optima at p = 2 without biases.
/// 7-5-3 is stored [inputs, outputs], 33-17-129-65-2 [outputs, inputs].
/// </summary>
public static class GoldenNetworks
{
    public const double SmallOptimum = 12.3265694306897;

    public const double LargeOptimum = 159.851138519245;

    public static NetworkTensors Small() => Chain("dense-7-5-3", [7, 5, 3], WeightLayout.DenseTransposed);

    public static NetworkTensors Large() => Chain("dense-33-17-129-65-2", [33, 17, 129, 65, 2], WeightLayout.Dense);

    private static NetworkTensors Chain(string resource, int[] widths, Func<int, int, WeightLayout> layout)
    {
        using var stream = typeof(GoldenNetworks).Assembly.GetManifestResourceStream(resource)
            ?? throw new InvalidOperationException($"No resource {resource}.");
        var builder = new NetworkBuilder();
        var axis = builder.Input("input", widths[0]);
        for (var k = 1; k < widths.Length; k++)
        {
            axis = builder.Weight(new($"layer{k}", ElementType.Float32, layout(widths[k], widths[k - 1])), axis);
        }

        builder.Output(axis);
        var tensors = new NetworkTensors(builder.Build());
        for (var k = 1; k < widths.Length; k++)
        {
            var elements = new float[widths[k] * widths[k - 1]];
            stream.ReadExactly(MemoryMarshal.AsBytes(elements.AsSpan()));
            tensors.Bind($"layer{k}", elements.AsMemory());
        }

        return tensors;
    }
}
