using EquiNorm.Backends;
using EquiNorm.Backends.Cpu;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Testing;

namespace EquiNorm.Gpu.Bench.Check;

/// <summary>Scaled elements, bit for bit, and the counts of overflow and underflow, for layouts of all kinds.</summary>
internal static class ScaleChecks
{
    /// <summary>All tensors of a random network whose elements are of one type.</summary>
    /// <param name="group">Where checks are counted.</param>
    /// <param name="device">The device.</param>
    /// <param name="network">Random elements.</param>
    /// <param name="random">Draws factors and further elements.</param>
    /// <param name="sigma">Deviation of the log factors; large ones overflow and underflow.</param>
    /// <param name="context">For messages.</param>
    public static void Run(CheckGroup group, CheckDevice device, TestNetwork network, Random random, double sigma, string context)
    {
        using var cpu = new CpuBackend(1);
        using var queue = device.OpenPoisoned();
        using var gpu = new GpuBackend(queue);
        Spread(network, random);
        var scalings = new Scalings(network.Network, network.RandomLogFactors(random, sigma));
        var (here, there) = (network.Clone(), network.Clone());
        using var source = network.Bind();
        using var onHost = here.Bind();
        using var onDevice = there.Bind();
        foreach (var weight in network.Network.Weights)
        {
            var expected = Apply(cpu, scalings, weight, source, onHost);
            var actual = Apply(gpu, scalings, weight, source, onDevice);
            var at = Elements.FirstDifferentByte(onHost[weight.Index], onDevice[weight.Index]);
            group.That(at < 0, at < 0 ? "" : Describe(context, weight, at, source, onHost, onDevice));
            group.That(actual == expected, $"{context}: '{weight.Name}' counts {actual} instead of {expected}");

            // In place, too.
            _ = Apply(gpu, scalings, weight, source, source);
            group.That(
                Elements.FirstDifferentByte(onHost[weight.Index], source[weight.Index]) < 0,
                $"{context}: '{weight.Name}' in place differs from out of place");
        }
    }

    private static ApplyReport Apply(IBackend backend, Scalings scalings, Weight weight, NetworkTensors from, NetworkTensors to) =>
        backend.CreateScaler(scalings, weight).Apply(from[weight.Index], to[weight.Index]);

    // Zeros of both signs, infinities, and magnitudes down to the smallest that the type can hold.
    private static void Spread(TestNetwork network, Random random)
    {
        foreach (var tensor in network.Tensors)
        {
            var smallest = tensor.ElementType switch
            {
                ElementType.Float64 => -1074,
                ElementType.Float16 => -24,
                ElementType.Float32 => -149,
                _ => -133,
            };
            for (var n = 0; n < tensor.Length; n++)
            {
                tensor[n] = random.Next(20) switch
                {
                    0 => 0,
                    1 => -0.0,
                    2 => double.NegativeInfinity,
                    3 or 4 => Math.ScaleB(random.Normal(), smallest + random.Next(4)),
                    5 or 6 => Math.ScaleB(random.Normal(), smallest + random.Next(-smallest)),
                    _ => tensor[n],
                };
            }
        }
    }

    private static string Describe(string context, Weight weight, int at, NetworkTensors source, NetworkTensors expected, NetworkTensors actual)
    {
        var element = at / weight.ElementType.ByteSize();
        return FormattableString.Invariant(
            $"{context}: element {element} of '{weight.Name}', {Elements.Read(source[weight.Index], element):R}, became {Elements.Read(actual[weight.Index], element):R} instead of {Elements.Read(expected[weight.Index], element):R}");
    }
}
