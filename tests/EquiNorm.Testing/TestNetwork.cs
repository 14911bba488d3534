using EquiNorm.Model;

namespace EquiNorm.Testing;

/// <summary>Reads element [output, input within the group, kernel position] of a weight as the network uses it.</summary>
public delegate double ElementReader(string weight, int output, int input, int kernel);

/// <summary>Computes one activation from those before it.</summary>
public delegate Activation Operation(ElementReader weights, IReadOnlyList<Activation> activations);

/// <summary>A network with its elements and an executable form. Made by <see cref="NetworkSketch"/>.</summary>
public sealed class TestNetwork
{
    private readonly IReadOnlyList<Operation> _operations;
    private readonly IReadOnlyList<int> _outputs;
    private readonly IReadOnlyList<(int Node, int Channels, int Height, int Width)> _inputs;
    private readonly Dictionary<string, TestTensor> _byName;

    internal TestNetwork(
        Network network,
        IReadOnlyList<TestTensor> tensors,
        IReadOnlyList<Operation> operations,
        IReadOnlyList<(int Node, int Channels, int Height, int Width)> inputs,
        IReadOnlyList<int> outputs)
    {
        Network = network;
        Tensors = tensors;
        _operations = operations;
        _inputs = inputs;
        _outputs = outputs;
        _byName = tensors.ToDictionary(t => t.Name, StringComparer.Ordinal);
    }

    /// <summary>A network with elements and no executable form.</summary>
    public static TestNetwork OfElements(Network network, IReadOnlyList<TestTensor> tensors) => new(network, tensors, [], [], []);

    public Network Network { get; }

    public IReadOnlyList<TestTensor> Tensors { get; }

    public OutputScales Scales { get; private init; } = OutputScales.Separate;

    public TestTensor this[string name] => _byName[name];

    /// <summary>Binds the live elements: what writes to the binding writes to this network.</summary>
    public NetworkTensors Bind()
    {
        var tensors = new NetworkTensors(Network);
        foreach (var tensor in Tensors)
        {
            tensor.BindTo(tensors);
        }

        return tensors;
    }

    /// <summary>A deep copy of the elements.</summary>
    public TestNetwork Clone() => With(Scales);

    /// <summary>A copy whose output scales are said to be part of the stored elements, for use after factors were applied to it.</summary>
    public TestNetwork With(OutputScales scales) => new(Network, [.. Tensors.Select(t => t.Clone())], _operations, _inputs, _outputs)
    {
        Scales = scales,
    };

    /// <summary>A copy to run and not to bind, in float64: each element [output, input] of a weight becomes <paramref name="map"/> of what it was.</summary>
    public TestNetwork WithElements(Func<Weight, Func<int, int, double, double>> map)
    {
        var tensors = new List<TestTensor>();
        foreach (var weight in Network.Weights)
        {
            var (from, to) = (_byName[weight.Name], new TestTensor(weight.Name, ElementType.Float64, _byName[weight.Name].Length));
            var change = map(weight);
            foreach (var (o, i, at) in Elements(weight.Layout))
            {
                to[at] = change(o, i, from[at]);
            }

            tensors.Add(to);
        }

        return new(Network, tensors, _operations, _inputs, _outputs) { Scales = Scales };
    }

    /// <summary>All outputs, one after the other, for random inputs drawn from <paramref name="seed"/>.</summary>
    public double[] Run(int seed)
    {
        var random = new Random(seed);
        var activations = new List<Activation>();
        foreach (var operation in _operations)
        {
            activations.Add(operation(Read, activations));
            if (_inputs.FirstOrDefault(i => i.Node == activations.Count - 1) is { Channels: > 0 } input)
            {
                activations[^1] = new Activation(input.Channels, input.Height, input.Width).Map(_ => random.Normal());
            }
        }

        return [.. _outputs.SelectMany(o => activations[o].Data)];
    }

    /// <summary>Multiplies W[o, i, k] by exp(u[o] - u[i]) by plain loops: the rescaling of the text, apart from the product's.</summary>
    public void Rescale(ReadOnlySpan<double> logFactors)
    {
        foreach (var weight in Network.Weights)
        {
            var outputs = weight.Outputs.ToChannels(Network.Groups);
            var inputs = weight.Inputs.ToChannels(Network.Groups);
            var tensor = _byName[weight.Name];
            foreach (var (o, i, at) in Elements(weight.Layout))
            {
                tensor[at] *= Math.Exp(logFactors[outputs[o]] - logFactors[inputs[i]]);
            }
        }
    }

    /// <summary>Log factors: normal with deviation <paramref name="sigma"/> in free groups, 0 in pinned ones.</summary>
    public double[] RandomLogFactors(Random random, double sigma)
    {
        var u = new double[Network.ChannelCount];
        foreach (var group in Network.Groups.Where(g => !g.IsPinned))
        {
            for (var c = 0; c < group.Count; c++)
            {
                u[group.FirstChannel + c] = sigma * random.Normal();
            }
        }

        return u;
    }

    /// <summary>Output channel, input channel and address of every element of a layout, from its definition.</summary>
    public static IEnumerable<(int Output, int Input, long Address)> Elements(WeightLayout layout)
    {
        for (var g = 0; g < layout.Groups; g++)
        {
            for (var o = 0; o < layout.OutputsPerGroup; o++)
            {
                for (var i = 0; i < layout.InputsPerGroup; i++)
                {
                    for (var k = 0; k < layout.Kernel; k++)
                    {
                        yield return (
                            g * layout.OutputsPerGroup + o,
                            g * layout.InputsPerGroup + i,
                            layout.Offset + g * layout.GroupStride + o * layout.OutputStride + i * layout.InputStride + k * layout.KernelStride);
                    }
                }
            }
        }
    }

    private double Read(string name, int output, int input, int kernel)
    {
        var weight = Network.Weight(name);
        var layout = weight.Layout;
        var group = output / layout.OutputsPerGroup;
        var address = layout.Offset + group * layout.GroupStride + output % layout.OutputsPerGroup * layout.OutputStride
            + input * layout.InputStride + kernel * layout.KernelStride;
        var scale = Scales == OutputScales.Separate && !weight.OutputScale.IsEmpty ? weight.OutputScale.Span[output] : 1;
        return scale * _byName[name][address];
    }
}

/// <summary>Distributions.</summary>
public static class RandomExtensions
{
    /// <summary>Standard normal (Box-Muller).</summary>
    public static double Normal(this Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    public static T Pick<T>(this Random random, params ReadOnlySpan<T> choices) => choices[random.Next(choices.Length)];

    public static bool Chance(this Random random, double probability) => random.NextDouble() < probability;

    /// <summary>
    /// max |a - b| / max |a|. Infinity for NaN, for lengths that differ and if all of a is 0 and b is not: comparisons of NUnit take NaN for less than every number.
    /// </summary>
    public static double Deviation(IReadOnlyList<double> expected, IReadOnlyList<double> actual)
    {
        var scale = expected.Select(Math.Abs).DefaultIfEmpty(0).Max();
        var differences = expected.Zip(actual, (a, b) => a == b ? 0 : Math.Abs(a - b) / scale).DefaultIfEmpty(0).ToArray();
        return expected.Count == actual.Count && double.IsFinite(scale) && differences.All(double.IsFinite) ? differences.Max() : double.PositiveInfinity;
    }
}
