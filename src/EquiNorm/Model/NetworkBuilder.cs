namespace EquiNorm.Model;

/// <summary>
/// Builds a <see cref="Network"/> from its data flow. Every call that makes an activation returns the channels of that activation;
/// pass them on to what reads it. Channels that must share a factor are merged one by one (union-find), so additions, concatenations,
/// splits and tied weights combine freely.
/// </summary>
/// <example>
/// <code>
/// var builder = new NetworkBuilder();
/// var input = builder.Input("image", 3);
/// var stream = builder.Weight(new("conv1", ElementType.Float32, WeightLayout.Convolution(64, 3, 9)), input);
/// var branch = builder.Weight(new("conv2", ElementType.Float32, WeightLayout.Convolution(64, 64, 9)), stream);
/// stream = builder.Add(stream, branch);
/// builder.Output(builder.Weight(new("fc", ElementType.Float32, WeightLayout.Dense(10, 64)), stream));
/// Network network = builder.Build();
/// </code>
/// </example>
public sealed class NetworkBuilder
{
    private readonly ChannelUnion _union = new();
    private readonly Dictionary<string, TensorUse> _uses = new(StringComparer.Ordinal);
    private readonly List<TensorUse> _order = [];
    private readonly List<string> _notes = [];
    private readonly List<(int Channel, string Name)> _inverse = [];
    private ChannelAxis? _one;

    /// <summary>Channels that come from outside the network: never rescaled.</summary>
    public ChannelAxis Input(string name, int count) => Pinned(name, count, $"network input {name}");

    /// <summary>New channels that are never rescaled.</summary>
    /// <param name="name">Name of the channels.</param>
    /// <param name="count">Number of channels.</param>
    /// <param name="reason">Why they are pinned.</param>
    /// <param name="behind">The activations that they are computed from, for the depth of the weights in front of them; null: none.</param>
    public ChannelAxis Pinned(string name, int count, string reason, ChannelAxis? behind = null)
    {
        if (behind is not null)
        {
            Own(behind);
        }

        var axis = new ChannelAxis(this, Free(name, count).Channels, behind is null ? [] : [behind]);
        Pin(axis, reason);
        return axis;
    }

    /// <summary>A place in the data flow behind activations, without channels: what an operator makes of them that leaves none to be followed.</summary>
    public ChannelAxis Behind(params ReadOnlySpan<ChannelAxis> axes)
    {
        foreach (var axis in axes)
        {
            Own(axis);
        }

        return new ChannelAxis(this, [], [.. axes]);
    }

    /// <summary>New channels without a source yet.</summary>
    public ChannelAxis Free(string name, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        return new ChannelAxis(this, _union.Create(name, count), []);
    }

    /// <summary>Declares that the network's function depends on these channels as they are: pins them.</summary>
    public void Output(ChannelAxis axis, string name = "output") => Pin(axis, $"network output {name}");

    /// <summary>Pins channels, for a reason that names the operator or the request.</summary>
    public void Pin(ChannelAxis axis, string reason)
    {
        Own(axis);
        foreach (var channel in axis.Channels)
        {
            _union.Pin(channel, reason);
        }
    }

    /// <summary>Whether all of these channels are pinned by what has been declared so far; what comes later may pin more.</summary>
    public bool IsPinned(ChannelAxis axis)
    {
        Own(axis);
        return Array.TrueForAll(axis.Channels, _union.IsPinned);
    }

    /// <summary>A weight that reads <paramref name="input"/>; returns the channels that it writes.</summary>
    /// <exception cref="NetworkException">The layout does not fit the input, or contradicts an earlier use of the tensor.</exception>
    public ChannelAxis Weight(WeightDeclaration declaration, ChannelAxis input)
    {
        Own(input);
        Require(declaration);
        RequireLength(declaration.Name, "input", input.Length, declaration.Layout.Inputs);
        var output = new ChannelAxis(
            this,
            _union.Create(declaration.OutputName ?? $"output of {declaration.Name}", declaration.Layout.Outputs),
            [input]);
        Use(declaration, output, input);
        return output;
    }

    /// <summary>
    /// A weight between channels that both exist: what it computes is added to <paramref name="output"/>. Returns the sum, which has the
    /// channels of <paramref name="output"/>; pass it on to what reads it, so that heights are found.
    /// </summary>
    /// <exception cref="NetworkException">The layout does not fit the channels, or contradicts an earlier use of the tensor.</exception>
    public ChannelAxis Weight(WeightDeclaration declaration, ChannelAxis input, ChannelAxis output)
    {
        Own(input);
        Own(output);
        Require(declaration);
        RequireLength(declaration.Name, "input", input.Length, declaration.Layout.Inputs);
        RequireLength(declaration.Name, "output", output.Length, declaration.Layout.Outputs);
        var sum = new ChannelAxis(this, output.Channels, [output, input]);
        Use(declaration, sum, input);
        return sum;
    }

    /// <summary>
    /// A batch normalisation in training, y = gamma (x - mean) / sqrt(variance + epsilon) + beta with the statistics of the batch; returns
    /// the channels of y. It takes the scale out of x, so the channels of x are pinned and what writes them is left alone; gamma and beta
    /// are multiplied by the factor of y, and gamma counts in the norm. Running statistics are those of x: they stay as they are, in
    /// training and in evaluation.
    /// </summary>
    /// <param name="gamma">One number per channel, <see cref="WeightLayout.Diagonal"/> or a strided form of it.</param>
    /// <param name="beta">One number per channel, <see cref="WeightLayout.Dense"/> with one input; null if there is none.</param>
    /// <param name="axis">The channels of x.</param>
    /// <exception cref="NetworkException">A layout does not fit the channels, or gamma is no diagonal.</exception>
    public ChannelAxis BatchNormalization(WeightDeclaration gamma, WeightDeclaration? beta, ChannelAxis axis)
    {
        if (!gamma.Layout.IsDiagonal || gamma.Layout.Kernel != 1)
        {
            throw new NetworkException($"Weight '{gamma.Name}': the gain of a normalisation has one number per channel, WeightLayout.Diagonal.");
        }

        var output = Weight(gamma, axis);
        if (beta is not null)
        {
            Bias(beta, output);
        }

        Pin(axis, $"read by batch normalisation {gamma.Name} in training");
        return output;
    }

    /// <summary>A bias per channel: rescaled with it, part of the norm by option.</summary>
    public void Bias(string name, ElementType elementType, ChannelAxis axis) =>
        Bias(new WeightDeclaration(name, elementType, WeightLayout.Dense(axis.Length, 1)), axis);

    /// <summary>A bias per channel, with a layout of its own.</summary>
    public void Bias(WeightDeclaration declaration, ChannelAxis axis)
    {
        Own(axis);
        Require(declaration);
        RequireLength(declaration.Name, "output", axis.Length, declaration.Layout.Outputs);
        RequireLength(declaration.Name, "input", 1, declaration.Layout.Inputs);
        Use(declaration with { Role = WeightRole.Bias }, axis, One());
    }

    /// <summary>
    /// A bias of channels that take the reciprocals of the factors of <paramref name="axis"/> (of keys; the axis is that of the queries): it
    /// is divided by them.
    /// </summary>
    /// <param name="declaration">Its layout has one output and reads the axis, <see cref="WeightLayout.Reversed"/> of that of a bias.</param>
    /// <param name="axis">The channels.</param>
    public void ReciprocalBias(WeightDeclaration declaration, ChannelAxis axis)
    {
        Own(axis);
        Require(declaration);
        RequireLength(declaration.Name, "output", 1, declaration.Layout.Outputs);
        RequireLength(declaration.Name, "input", axis.Length, declaration.Layout.Inputs);
        Use(declaration with { Role = WeightRole.Bias }, One(), axis);
    }

    /// <summary>The sum of activations: channel c of each shares one factor.</summary>
    /// <exception cref="NetworkException">The channel counts differ.</exception>
    public ChannelAxis Add(params ReadOnlySpan<ChannelAxis> axes)
    {
        Tie(axes);
        return new ChannelAxis(this, axes[0].Channels, [.. axes]);
    }

    /// <summary>Makes channel c of each axis share one factor.</summary>
    /// <exception cref="NetworkException">The channel counts differ.</exception>
    public void Tie(params ReadOnlySpan<ChannelAxis> axes)
    {
        if (axes.IsEmpty)
        {
            throw new ArgumentException("At least one axis is needed.", nameof(axes));
        }

        foreach (var axis in axes)
        {
            Own(axis);
            if (axis.Length != axes[0].Length)
            {
                throw new NetworkException(
                    $"Cannot tie {axis.Length} channels ({_union.NameOf(axis)}) to {axes[0].Length} ({_union.NameOf(axes[0])}).");
            }

            for (var c = 0; c < axis.Length; c++)
            {
                _union.Merge(axes[0].Channels[c], axis.Channels[c]);
            }
        }
    }

    /// <summary>
    /// Makes channel c of one axis have the reciprocal factor of channel c of the other: queries and keys, of which only products with each
    /// other are used. Weights that write reciprocal channels are divided by the factor. What cannot be expressed so (a weight that reads
    /// channels that are rescaled by themselves and writes reciprocal ones) pins the linked channels when the network is built.
    /// </summary>
    /// <param name="axis">Channels.</param>
    /// <param name="reciprocal">As many others.</param>
    /// <param name="name">What multiplies them, for the reason if they are pinned.</param>
    /// <exception cref="NetworkException">The channel counts differ.</exception>
    public void TieInverse(ChannelAxis axis, ChannelAxis reciprocal, string name)
    {
        Own(axis);
        Own(reciprocal);
        if (axis.Length != reciprocal.Length)
        {
            throw new NetworkException(
                $"Cannot link {reciprocal.Length} channels ({_union.NameOf(reciprocal)}) to {axis.Length} ({_union.NameOf(axis)}).");
        }

        for (var c = 0; c < axis.Length; c++)
        {
            _union.MergeReciprocal(axis.Channels[c], reciprocal.Channels[c]);
            _inverse.Add((axis.Channels[c], name));
        }
    }

    /// <summary>Activations side by side along the channel axis.</summary>
    public ChannelAxis Concat(params ReadOnlySpan<ChannelAxis> axes)
    {
        var channels = new List<int>();
        foreach (var axis in axes)
        {
            Own(axis);
            channels.AddRange(axis.Channels);
        }

        return new ChannelAxis(this, [.. channels], [.. axes]);
    }

    /// <summary>Some channels of an activation, in the order given (a slice, a split, a channel shuffle).</summary>
    public ChannelAxis Select(ChannelAxis axis, IEnumerable<int> positions)
    {
        Own(axis);
        return new ChannelAxis(this, [.. positions.Select(Channel)], [axis]);

        int Channel(int position) => (uint)position < (uint)axis.Length
            ? axis.Channels[position]
            : throw new ArgumentOutOfRangeException(nameof(positions), position, $"The axis has {axis.Length} channels.");
    }

    /// <summary>Channels [start, start + count) of an activation.</summary>
    public ChannelAxis Slice(ChannelAxis axis, int start, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start + (long)count, axis.Length);
        return Select(axis, Enumerable.Range(start, count));
    }

    /// <summary>A remark for the user that travels with the network.</summary>
    public void Note(string text) => _notes.Add(text);

    /// <summary>The network as declared so far.</summary>
    public Network Build() => Build(ActivationHeights.Of(_order));

    /// <summary>The network as declared so far, with heights, one per weight, where a declaration has none.</summary>
    internal Network Build(IReadOnlyList<int> heights)
    {
        var isReversed = ReciprocalChannels.Orient(_union, _order, _inverse);
        var (groups, places) = _union.Group();
        var weights = new Weight[_order.Count];
        for (var t = 0; t < weights.Length; t++)
        {
            var use = _order[t];
            var (output, input) = (ChannelUnion.MapOf(use.Output, places), ChannelUnion.MapOf(use.Input, places));
            var height = use.Declaration.Height ?? heights[t];
            weights[t] = isReversed[t]
                ? new Weight(t, use.Declaration with { Layout = use.Declaration.Layout.Reversed() }, input, output, height) { IsReversed = true }
                : new Weight(t, use.Declaration, output, input, height) { IsReversed = ReferenceEquals(use.Output, _one) };
        }

        return new Network(weights, groups, [.. _notes]);
    }

    /// <summary>
    /// Where the positions of an axis lie in the network that <see cref="Build()"/> makes now; for tensors that are rescaled without being
    /// weights (running means, optimizer state).
    /// </summary>
    public ChannelMap MapOf(ChannelAxis axis)
    {
        Own(axis);
        return ChannelUnion.MapOf(axis, _union.Group().Places);
    }

    private void Use(WeightDeclaration declaration, ChannelAxis output, ChannelAxis input)
    {
        if (!_uses.TryGetValue(declaration.Name, out var first))
        {
            var use = new TensorUse(declaration, output, input, []);
            _uses.Add(declaration.Name, use);
            _order.Add(use);
            return;
        }

        if (first.Declaration.ElementType != declaration.ElementType)
        {
            throw new NetworkException(
                $"Weight '{declaration.Name}' is used as {first.Declaration.ElementType} and as {declaration.ElementType}.");
        }

        if (!first.Declaration.OutputScale.Span.SequenceEqual(declaration.OutputScale.Span))
        {
            // Applying bakes the scale in, and one tensor cannot hold two.
            throw new NetworkException($"Weight '{declaration.Name}' is used with two output scales: give each use a copy of its own.");
        }

        if (first.Declaration.Height != declaration.Height)
        {
            throw new NetworkException($"Weight '{declaration.Name}' is used with two heights: it has one, the largest of its uses.");
        }

        // One stored tensor with several uses needs the same factor at each: merge out with out and in with in, count it once.
        first.Others.Add((output, input));
        if (first.Declaration.Layout == declaration.Layout && first.Declaration.Role == declaration.Role)
        {
            Tie(first.Output, output);
            Tie(first.Input, input);
            return;
        }

        var reason = $"tensor {declaration.Name} is used in two ways that cannot share factors";
        _notes.Add($"Tied weight '{declaration.Name}' is pinned: it is used with different layouts or roles.");
        foreach (var axis in (ReadOnlySpan<ChannelAxis>)[first.Output, first.Input, output, input])
        {
            Pin(axis, reason);
        }
    }

    private ChannelAxis One()
    {
        if (_one is null)
        {
            // Last, wherever the first bias stands: a network written down without this group and read again has the same channels.
            _one = Pinned("constant one", 1, "constant input of biases");
            _union.PlaceLast(_one.Channels[0]);
        }

        return _one;
    }

    private void Own(ChannelAxis axis)
    {
        if (!ReferenceEquals(axis.Owner, this))
        {
            throw new ArgumentException("The channels belong to another builder.", nameof(axis));
        }
    }

    private static void RequireLength(string weight, string axis, int actual, int declared)
    {
        if (actual != declared)
        {
            throw new NetworkException($"Weight '{weight}': its {axis} axis has {declared} channels, the activation has {actual}.");
        }
    }

    private static void Require(WeightDeclaration declaration)
    {
        declaration.Layout.Validate(declaration.Name);
        if (declaration.Height < 0)
        {
            throw new NetworkException($"Weight '{declaration.Name}': its height is {declaration.Height}; it cannot be negative.");
        }

        var scale = declaration.OutputScale.Span;
        if (scale.IsEmpty)
        {
            return;
        }

        RequireLength(declaration.Name, "output scale", declaration.Layout.Outputs, scale.Length);
        for (var o = 0; o < scale.Length; o++)
        {
            if (!double.IsFinite(scale[o]))
            {
                throw new NetworkException($"Weight '{declaration.Name}': the scale of output {o} is {scale[o]}.");
            }
        }
    }
}
