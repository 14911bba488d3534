using System.Runtime.InteropServices;
using EquiNorm.Backends.Cpu;
using EquiNorm.Model;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Backends.Cpu;

/// <summary>Any cut of a tensor into runs of elements must give the same bits as element by element.</summary>
public class ElementScalerTests
{
    private static readonly WeightLayout[] Layouts =
    [
        WeightLayout.Dense(5, 7),
        WeightLayout.Dense(33, 1),
        WeightLayout.Dense(1, 40),
        WeightLayout.DenseTransposed(6, 5),
        WeightLayout.Convolution(4, 3, 9),
        WeightLayout.Convolution(8, 6, 3, 2),
        WeightLayout.Depthwise(9, 9),
        WeightLayout.DenseAfterFlatten(3, 4, 25),
        WeightLayout.DenseAfterFlattenTransposed(5, 3, 4),
        WeightLayout.TransposedConvolution(5, 3, 4),
        WeightLayout.TransposedConvolution(8, 6, 3, 2),
        WeightLayout.TransposedConvolution(9, 9, 9, 9),
        WeightLayout.TransposedConvolution(3, 6, 4, 3),
        WeightLayout.TransposedConvolution(6, 3, 4, 3),
        WeightLayout.TransposedConvolution(1, 5, 4),
    ];

    [Test]
    public void Every_cut_gives_the_product_rounded_once(
        [ValueSource(nameof(Layouts))] WeightLayout layout, [Values(1, 2, 5, 16, 63, 1000)] int run)
    {
        var random = new Random(TestSeeds.Of($"{layout}", run));
        var outputs = Numbers(random, layout.Outputs);
        var inputs = Numbers(random, layout.Inputs);
        var elements = Array.ConvertAll(Numbers(random, (int)layout.Elements), w => (float)w);
        var expected = Expected(layout, elements, outputs, inputs);
        var scaler = new ElementScaler(layout, ElementType.Float32, outputs, inputs);

        for (var first = 0; first < elements.Length; first += run)
        {
            var (_, finite) = scaler.Scale(first, MemoryMarshal.AsBytes(elements.AsSpan(first, Math.Min(run, elements.Length - first))));
            Assert.That(finite, Is.True);
        }

        Assert.That(elements, Is.EqualTo(expected), TestSeeds.Repeat);
    }

    [Test]
    public void Overflow_and_NaN_are_reported()
    {
        var scaler = new ElementScaler(WeightLayout.Dense(2, 2), ElementType.Float32, [1e30, 1], [1e10, 1]);
        float[] overflows = [1, 1, 1, 1];
        float[] isNaN = [0, 1, 1, float.NaN];

        Assert.That(scaler.Scale(0, MemoryMarshal.AsBytes(overflows.AsSpan())).Report.Overflowed, Is.EqualTo(1));
        Assert.That(scaler.Scale(0, MemoryMarshal.AsBytes(overflows.AsSpan())).AllFinite, Is.False);
        Assert.That(scaler.Scale(0, MemoryMarshal.AsBytes(isNaN.AsSpan())).AllFinite, Is.False);
    }

    [Test]
    public void A_run_outside_the_tensor_is_refused()
    {
        var scaler = new ElementScaler(WeightLayout.Dense(2, 2), ElementType.Float32, [1, 1], [1, 1]);

        Assert.Throws<ArgumentOutOfRangeException>(() => scaler.Scale(3, new byte[8]));
        Assert.Throws<ArgumentOutOfRangeException>(() => scaler.Scale(-1, new byte[4]));
        Assert.Throws<ArgumentOutOfRangeException>(() => scaler.Scale(0, new byte[3]));
    }

    private static double[] Numbers(Random random, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => Math.Exp(2 * random.NextDouble() - 1))];

    private static float[] Expected(WeightLayout layout, float[] elements, double[] outputs, double[] inputs)
    {
        var expected = new float[elements.Length];
        for (var g = 0; g < layout.Groups; g++)
        {
            for (var o = 0; o < layout.OutputsPerGroup; o++)
            {
                for (var i = 0; i < layout.InputsPerGroup; i++)
                {
                    for (var k = 0; k < layout.Kernel; k++)
                    {
                        var at = g * layout.GroupStride + o * layout.OutputStride + i * layout.InputStride + k * layout.KernelStride;
                        var factor = outputs[g * layout.OutputsPerGroup + o] * inputs[g * layout.InputsPerGroup + i];
                        expected[at] = (float)(elements[at] * factor);
                    }
                }
            }
        }

        return expected;
    }
}
