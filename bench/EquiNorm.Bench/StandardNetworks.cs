using EquiNorm.Model;

namespace EquiNorm.Bench;

/// <summary>
/// The networks of the benchmarks, generated: Kaiming normal weights, made unequal by multiplying each hidden channel by exp(N(0, 1.5^2))
/// with the function kept. Shapes of VGG-16, ResNet-18 and MobileNetV2 are torchvision's with batch normalisation folded.
/// </summary>
internal static class StandardNetworks
{
    /// <summary>Names that <see cref="Create"/> knows.</summary>
    public static IReadOnlyList<string> Names { get; } = ["15x500", "conv-net", "vgg16", "resnet18", "mobilenet_v2", "100x64"];

    /// <summary>A network with its elements, by name.</summary>
    public static GeneratedNetwork Create(string name, int seed = 1)
    {
        var generator = new NetworkGenerator(seed);
        Declare(name, generator);
        return generator.Finish();
    }

    /// <summary>A network without its elements, by name.</summary>
    public static Network Shape(string name, ElementType type = ElementType.Float32)
    {
        var generator = new NetworkGenerator(seed: 0, type);
        Declare(name, generator);
        return generator.Build();
    }

    private static void Declare(string name, NetworkGenerator generator)
    {
        switch (name)
        {
            case "15x500":
                Dense(generator, [3072, .. Enumerable.Repeat(500, 15), 10]);
                break;
            case "100x64":
                Dense(generator, [64, .. Enumerable.Repeat(64, 100), 10]);
                break;
            case "conv-net":
                ConvNet(generator);
                break;
            case "vgg16":
                Vgg16(generator);
                break;
            case "resnet18":
                ResNet18(generator);
                break;
            case "mobilenet_v2":
                MobileNetV2(generator);
                break;
            default:
                throw new ArgumentException($"Unknown network '{name}'. Known: {string.Join(", ", Names)}.", nameof(name));
        }
    }

    /// <summary>A chain of dense layers of the given widths.</summary>
    /// <param name="widths">Inputs, hidden channels, outputs.</param>
    /// <param name="seed">Seed of the weights.</param>
    /// <param name="period">After how many the normal numbers repeat, null for never: gigabytes of them take longer to draw than to measure.</param>
    public static GeneratedNetwork DenseChain(int[] widths, int seed, int? period = null)
    {
        var generator = new NetworkGenerator(seed, period: period);
        Dense(generator, widths);
        return generator.Finish();
    }

    private static void Dense(NetworkGenerator g, int[] widths)
    {
        var x = g.Input(widths[0]);
        for (var n = 1; n < widths.Length; n++)
        {
            x = g.Dense(x, widths[n]);
        }

        g.Output(x);
    }

    // Gitman & Ginsburg 2017; 28 x 28 input.
    private static void ConvNet(NetworkGenerator g)
    {
        var x = g.Input(3);
        foreach (var (width, kernel) in (ReadOnlySpan<(int, int)>)
            [(128, 9), (128, 9), (128, 9), (256, 9), (256, 9), (256, 9), (320, 9), (320, 1), (10, 1)])
        {
            x = g.Convolution(x, width, kernel);
        }

        g.Output(x);
    }

    private static void Vgg16(NetworkGenerator g)
    {
        var x = g.Input(3);
        foreach (var width in (ReadOnlySpan<int>)[64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512])
        {
            x = g.Convolution(x, width, 9);
        }

        x = g.DenseAfterFlatten(x, 4096, 49);
        x = g.Dense(x, 4096);
        g.Output(g.Dense(x, 1000));
    }

    private static void ResNet18(NetworkGenerator g)
    {
        var x = g.Convolution(g.Input(3), 64, 49);
        foreach (var width in (ReadOnlySpan<int>)[64, 128, 256, 512])
        {
            for (var block = 0; block < 2; block++)
            {
                var branch = g.Convolution(g.Convolution(x, width, 9), width, 9);
                x = g.Add(block == 0 && width != 64 ? g.Convolution(x, width, 1) : x, branch);
            }
        }

        g.Output(g.Dense(x, 1000));
    }

    private static void MobileNetV2(NetworkGenerator g)
    {
        var x = g.Convolution(g.Input(3), 32, 9);
        var width = 32;
        foreach (var (expand, channels, repeats) in (ReadOnlySpan<(int, int, int)>)
            [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)])
        {
            for (var n = 0; n < repeats; n++)
            {
                var hidden = expand == 1 ? x : g.Convolution(x, width * expand, 1);
                var branch = g.Convolution(g.Depthwise(hidden, 9), channels, 1);
                x = n == 0 ? branch : g.Add(x, branch);
                width = channels;
            }
        }

        x = g.Convolution(x, 1280, 1);
        g.Output(g.Dense(x, 1000));
    }
}

/// <summary>A network and its float32 elements, by weight.</summary>
internal sealed record GeneratedNetwork(Network Network, float[][] Elements)
{
    /// <summary>Bytes of all weights.</summary>
    public long Bytes => Elements.Sum(e => (long)e.Length * sizeof(float));

    /// <summary>The same network with elements of its own.</summary>
    public GeneratedNetwork Copy() => this with { Elements = [.. Elements.Select(e => e.AsSpan().ToArray())] };

    /// <summary>Momentum of every weight, to be bound with <see cref="BindMomentum"/>.</summary>
    public float[][] CreateMomentum()
    {
        var random = new Random(2);
        return [.. Elements.Select(e => Enumerable.Range(0, e.Length).Select(_ => (float)(random.NextDouble() - 0.5)).ToArray())];
    }

    /// <summary>Binds a first moment to every weight.</summary>
    public void BindMomentum(NetworkTensors tensors, float[][] momentum)
    {
        foreach (var weight in Network.Weights)
        {
            tensors.BindCompanion(weight.Name, CompanionKind.FirstMoment, momentum[weight.Index]);
        }
    }

    /// <summary>Binds the elements.</summary>
    public NetworkTensors Bind()
    {
        var tensors = new NetworkTensors(Network);
        foreach (var weight in Network.Weights)
        {
            tensors.Bind(weight.Name, Elements[weight.Index]);
        }

        return tensors;
    }
}

/// <summary>Builds a network layer by layer and fills it with random weights.</summary>
internal sealed class NetworkGenerator(int seed, ElementType type = ElementType.Float32, int? period = null)
{
    private readonly NetworkBuilder _builder = new();
    private readonly Random _random = new(seed);
    private readonly double[] _normals = new double[period ?? 0];
    private int _count;
    private int _next;

    public ChannelAxis Input(int channels) => _builder.Input("input", channels);

    public ChannelAxis Dense(ChannelAxis x, int outputs) => Weight(WeightLayout.Dense(outputs, x.Length), x);

    public ChannelAxis DenseAfterFlatten(ChannelAxis x, int outputs, int positions) =>
        Weight(WeightLayout.DenseAfterFlatten(outputs, x.Length, positions), x);

    public ChannelAxis Convolution(ChannelAxis x, int outputs, int kernel, int groups = 1) =>
        Weight(WeightLayout.Convolution(outputs, x.Length, kernel, groups), x);

    public ChannelAxis Depthwise(ChannelAxis x, int kernel) => Weight(WeightLayout.Depthwise(x.Length, kernel), x);

    public ChannelAxis Add(ChannelAxis a, ChannelAxis b) => _builder.Add(a, b);

    public void Output(ChannelAxis x) => _builder.Output(x);

    public Network Build() => _builder.Build();

    public GeneratedNetwork Finish()
    {
        var network = Build();
        foreach (ref var normal in _normals.AsSpan())
        {
            normal = Normal();
        }

        var scale = new double[network.ChannelCount];
        foreach (var group in network.Groups)
        {
            for (var c = 0; c < group.Count; c++)
            {
                scale[group.FirstChannel + c] = group.IsPinned ? 1 : Math.Exp(1.5 * Normal());
            }
        }

        var elements = network.Weights.Select(w => Elements(w, network, scale)).ToArray();
        return new GeneratedNetwork(network, elements);
    }

    private ChannelAxis Weight(WeightLayout layout, ChannelAxis x) =>
        _builder.Weight(new WeightDeclaration($"weight{_count++}", type, layout), x);

    private float[] Elements(Weight weight, Network network, double[] scale)
    {
        var layout = weight.Layout;
        var outputs = weight.Outputs.ToChannels(network.Groups);
        var inputs = weight.Inputs.ToChannels(network.Groups);
        var elements = new float[layout.Elements];
        var deviation = Math.Sqrt(2.0 / ((double)layout.InputsPerGroup * layout.Kernel));
        var n = 0;
        for (var o = 0; o < outputs.Length; o++)
        {
            var firstInput = o / layout.OutputsPerGroup * layout.InputsPerGroup;
            for (var i = 0; i < layout.InputsPerGroup; i++)
            {
                var factor = deviation * scale[outputs[o]] / scale[inputs[firstInput + i]];
                for (var k = 0; k < layout.Kernel; k++)
                {
                    elements[n++] = (float)(factor * Draw());
                }
            }
        }

        return elements;
    }

    private double Draw()
    {
        if (_normals.Length == 0)
        {
            return Normal();
        }

        _next = _next + 1 == _normals.Length ? 0 : _next + 1;
        return _normals[_next];
    }

    // Marsaglia's polar method.
    private double Normal()
    {
        double x, y, s;
        do
        {
            x = 2 * _random.NextDouble() - 1;
            y = 2 * _random.NextDouble() - 1;
            s = x * x + y * y;
        }
        while (s >= 1 || s == 0);
        return x * Math.Sqrt(-2 * Math.Log(s) / s);
    }
}
