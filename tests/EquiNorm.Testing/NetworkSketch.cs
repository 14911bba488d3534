using EquiNorm.Model;

namespace EquiNorm.Testing;

/// <summary>An activation of a network being sketched: its channels, its node and its image size.</summary>
public sealed record Signal(ChannelAxis Axis, int Node, int Height, int Width)
{
    public int Channels => Axis.Length;

    public int Positions => Height * Width;
}

/// <summary>What is drawn at random while sketching, with its odds.</summary>
public sealed record SketchOptions
{
    /// <summary>Storage types to draw from, one draw per tensor.</summary>
    public IReadOnlyList<ElementType> ElementTypes { get; init; } = [ElementType.Float64];

    /// <summary>Odds of a view with permuted axes, gaps and an offset.</summary>
    public double Strided { get; init; } = 0.25;

    /// <summary>Odds of a separate output scale of random sign.</summary>
    public double OutputScale { get; init; } = 0.2;

    /// <summary>Odds of a bias.</summary>
    public double Bias { get; init; } = 0.6;

    /// <summary>Odds that a connection is 0.</summary>
    public double Sparsity { get; init; }
}

/// <summary>
/// Sketches a network: each call declares it to a <see cref="NetworkBuilder"/>, draws the elements (normal, variance 2 / fan-in) and
/// records how to compute it.
/// </summary>
public sealed class NetworkSketch(Random random, SketchOptions options)
{
    private readonly List<TestTensor> _tensors = [];
    private readonly List<Operation> _operations = [];
    private readonly List<(int Node, int Channels, int Height, int Width)> _inputs = [];
    private readonly List<int> _outputs = [];

    public Random Random { get; } = random;

    public NetworkBuilder Builder { get; } = new();

    public SketchOptions Options { get; } = options;

    public Signal Input(int channels, int height = 1, int width = 1)
    {
        _inputs.Add((_operations.Count, channels, height, width));
        var axis = Builder.Input($"input{_inputs.Count}", channels);
        return Node(axis, height, width, (_, _) => new Activation(channels, height, width));
    }

    /// <summary>A convolution with padding kernel / 2; the same <paramref name="name"/> twice is one tied tensor.</summary>
    public Signal Convolve(
        Signal input, int outputs, int kernelHeight, int kernelWidth, int groups = 1, int stride = 1, string? name = null, double gain = 1)
    {
        var declaration = Existing(name) ?? Declare(name ?? $"conv{_operations.Count}", outputs, input.Channels, kernelHeight * kernelWidth, groups, gain);
        var axis = Builder.Weight(declaration, input.Axis);
        return Node(
            axis,
            (input.Height - 1) / stride + 1,
            (input.Width - 1) / stride + 1,
            (weights, values) => ForwardEvaluator.Convolve(
                values[input.Node], (o, i, k) => weights(declaration.Name, o, i, k), declaration.Layout, kernelWidth, stride, padding: int.MaxValue));
    }

    /// <summary>A dense layer over all channels and positions.</summary>
    public Signal Dense(Signal input, int outputs, string? name = null)
    {
        var declaration = Existing(name) ?? Declare(name ?? $"dense{_operations.Count}", outputs, input.Channels, input.Positions, 1, gain: 1);
        var axis = Builder.Weight(declaration, input.Axis);
        return Node(axis, 1, 1, (weights, values) => ForwardEvaluator.Convolve(
            values[input.Node], (o, i, k) => weights(declaration.Name, o, i, k), declaration.Layout, input.Width, 1, padding: 0));
    }

    /// <summary>One gain per channel, as an unfolded normalisation.</summary>
    public Signal Diagonal(Signal input) => Convolve(input, input.Channels, 1, 1, groups: input.Channels);

    /// <summary>A batch normalisation as it is in training, with the statistics of the image.</summary>
    public Signal BatchNormalization(Signal input)
    {
        var gamma = Declare($"gamma{_operations.Count}", input.Channels, input.Channels, 1, input.Channels, gain: 1);
        var beta = DrawBias($"beta{_operations.Count}", input.Channels);
        var declaration = new WeightDeclaration(beta.Name, beta.ElementType, WeightLayout.Dense(input.Channels, 1));
        var axis = Builder.BatchNormalization(gamma, declaration, input.Axis);
        return Node(axis, input.Height, input.Width, (weights, values) => ForwardEvaluator.BatchNormalization(
            values[input.Node], c => weights(gamma.Name, c, 0, 0), c => weights(beta.Name, c, 0, 0)));
    }

    public Signal Bias(Signal input)
    {
        var tensor = DrawBias($"bias{_operations.Count}", input.Channels);
        Builder.Bias(tensor.Name, tensor.ElementType, input.Axis);
        return Node(input.Axis, input.Height, input.Width, (weights, values) =>
            ForwardEvaluator.AddBias(values[input.Node], c => weights(tensor.Name, c, 0, 0)));
    }

    /// <summary>A bias by the odds of the options.</summary>
    public Signal MaybeBias(Signal input) => Random.Chance(Options.Bias) ? Bias(input) : input;

    /// <summary>Bias by the odds, then ReLU or LeakyReLU.</summary>
    public Signal Activate(Signal input)
    {
        var slope = Random.Chance(0.5) ? 0 : 0.1;
        var biased = MaybeBias(input);
        return Node(biased.Axis, biased.Height, biased.Width, (_, values) => ForwardEvaluator.LeakyRelu(values[biased.Node], slope));
    }

    public Signal MaxPool(Signal input) => Node(
        input.Axis, (input.Height + 1) / 2, (input.Width + 1) / 2, (_, values) => ForwardEvaluator.MaxPool2(values[input.Node]));

    public Signal GlobalAverage(Signal input) =>
        Node(input.Axis, 1, 1, (_, values) => ForwardEvaluator.GlobalAverage(values[input.Node]));

    public Signal Add(params Signal[] inputs) => Node(
        Builder.Add([.. inputs.Select(i => i.Axis)]),
        inputs[0].Height,
        inputs[0].Width,
        (_, values) => ForwardEvaluator.Add([.. inputs.Select(i => values[i.Node])]));

    public Signal Concat(params Signal[] inputs) => Node(
        Builder.Concat([.. inputs.Select(i => i.Axis)]),
        inputs[0].Height,
        inputs[0].Width,
        (_, values) => ForwardEvaluator.Concat([.. inputs.Select(i => values[i.Node])]));

    public Signal Select(Signal input, int[] channels) => Node(
        Builder.Select(input.Axis, channels), input.Height, input.Width, (_, values) => ForwardEvaluator.Select(values[input.Node], channels));

    public Signal Slice(Signal input, int start, int count) => Select(input, [.. Enumerable.Range(start, count)]);

    public void Output(Signal signal)
    {
        _outputs.Add(signal.Node);
        Builder.Output(signal.Axis, $"output{_outputs.Count}");
    }

    public TestNetwork Build() => new(Builder.Build(), _tensors, _operations, _inputs, _outputs);

    private readonly Dictionary<string, WeightDeclaration> _declared = new(StringComparer.Ordinal);

    private WeightDeclaration? Existing(string? name) => name is null ? null : _declared.GetValueOrDefault(name);

    private TestTensor DrawBias(string name, int channels)
    {
        var tensor = new TestTensor(name, Random.Pick([.. Options.ElementTypes]), channels);
        for (var c = 0; c < channels; c++)
        {
            tensor[c] = 0.1 * Random.Normal();
        }

        _tensors.Add(tensor);
        return tensor;
    }

    private Signal Node(ChannelAxis axis, int height, int width, Operation operation)
    {
        _operations.Add(operation);
        return new Signal(axis, _operations.Count - 1, height, width);
    }

    private WeightDeclaration Declare(string name, int outputs, int inputs, int kernel, int groups, double gain)
    {
        var layout = Random.Chance(Options.Strided)
            ? Strided(outputs, inputs, kernel, groups)
            : groups == 1 && Random.Chance(0.3)
                ? WeightLayout.DenseAfterFlattenTransposed(outputs, inputs, kernel)
                : WeightLayout.Convolution(outputs, inputs, kernel, groups);
        var type = Random.Pick([.. Options.ElementTypes]);
        var tensor = new TestTensor(name, type, (int)layout.RequiredElements + Random.Next(3));
        for (var e = 0; e < tensor.Length; e++)
        {
            tensor[e] = 7; // gaps of strided views: must keep this value
        }

        var deviation = gain * Math.Sqrt(2.0 / Math.Max(1, layout.InputsPerGroup * layout.Kernel));
        foreach (var (_, _, at) in TestNetwork.Elements(layout))
        {
            tensor[at] = Random.Chance(Options.Sparsity) ? 0 : deviation * Random.Normal();
        }

        _tensors.Add(tensor);
        var declaration = new WeightDeclaration(name, type, layout);
        if (Random.Chance(Options.OutputScale))
        {
            declaration = declaration with
            {
                OutputScale = Enumerable.Range(0, outputs).Select(_ => Random.Pick(-1, 1) * Math.Exp(0.5 * Random.Normal())).ToArray(),
            };
        }

        return _declared[name] = declaration;
    }

    // The four axes in random order of nesting, each with a gap behind it at times.
    private WeightLayout Strided(int outputs, int inputs, int kernel, int groups)
    {
        var layout = WeightLayout.Convolution(outputs, inputs, kernel, groups);
        int[] extents = [layout.Groups, layout.OutputsPerGroup, layout.InputsPerGroup, layout.Kernel];
        var strides = new long[4];
        long stride = Random.Pick(1, 1, 2);
        foreach (var axis in Random.GetItemsWithoutRepetition(4))
        {
            strides[axis] = stride;
            stride = stride * extents[axis] + Random.Pick(0, 0, 3);
        }

        return layout with
        {
            Offset = Random.Next(4),
            GroupStride = strides[0],
            OutputStride = strides[1],
            InputStride = strides[2],
            KernelStride = strides[3],
        };
    }
}

file static class Permutations
{
    public static int[] GetItemsWithoutRepetition(this Random random, int count)
    {
        var items = Enumerable.Range(0, count).ToArray();
        random.Shuffle(items);
        return items;
    }
}
