namespace EquiNorm.Model;

/// <summary>What a weight is to the norm.</summary>
public enum WeightRole
{
    /// <summary>A weight: always part of the norm.</summary>
    Weight,

    /// <summary>A bias: rescaled with its channel; part of the norm by option.</summary>
    Bias,
}

/// <summary>
/// A tensor W seen as [O, I, K]: O output channels, I input channels, K kernel positions (grouped: block diagonal). Rescaling maps
/// W[o, i, k] to W[o, i, k] * d_out[o] / d_in[i].
/// </summary>
public sealed class Weight
{
    internal Weight(int index, WeightDeclaration declaration, ChannelMap outputs, ChannelMap inputs, int height)
    {
        Index = index;
        Name = declaration.Name;
        ElementType = declaration.ElementType;
        Layout = declaration.Layout;
        Role = declaration.Role;
        OutputScale = declaration.OutputScale;
        Outputs = outputs;
        Inputs = inputs;
        Height = height;
    }

    /// <summary>Position in <see cref="Network.Weights"/>; weights stand in network order.</summary>
    public int Index { get; }

    /// <summary>Unique name.</summary>
    public string Name { get; }

    /// <summary>Storage type of the elements.</summary>
    public ElementType ElementType { get; }

    /// <summary>Where the elements lie.</summary>
    public WeightLayout Layout { get; }

    /// <summary>Weight or bias.</summary>
    public WeightRole Role { get; }

    /// <summary>
    /// A fixed factor per output channel that belongs to the weight but is not stored in it (a folded batch normalisation,
    /// gamma / sqrt(variance + epsilon)); empty if there is none. Energies see it, and applying factors bakes it in.
    /// </summary>
    public ReadOnlyMemory<double> OutputScale { get; }

    /// <summary>The channels that this weight writes, one per output.</summary>
    public ChannelMap Outputs { get; }

    /// <summary>The channels that this weight reads, one per input.</summary>
    public ChannelMap Inputs { get; }

    /// <summary>Number of further weights on the longest path from this weight's output to an output of the network.</summary>
    public int Height { get; }

    /// <summary>
    /// Whether outputs and inputs stand the other way round than they were declared: the weight writes channels that take the reciprocal
    /// factor (<see cref="NetworkBuilder.TieInverse"/>), which is reading channels that take the factor. <see cref="Layout"/>,
    /// <see cref="Outputs"/> and <see cref="Inputs"/> are exchanged, a bias has the constant as output.
    /// </summary>
    public bool IsReversed { get; internal init; }

    /// <inheritdoc/>
    public override string ToString() => $"{Name} [{Layout.Outputs}, {Layout.Inputs}, {Layout.Kernel}]";
}

/// <summary>What <see cref="NetworkBuilder"/> is told about a weight.</summary>
/// <param name="Name">Unique name of the tensor; the same name twice means that the tensor is used twice (tied).</param>
/// <param name="ElementType">Storage type.</param>
/// <param name="Layout">Extents and strides.</param>
public sealed record WeightDeclaration(string Name, ElementType ElementType, WeightLayout Layout)
{
    /// <summary>Weight or bias.</summary>
    public WeightRole Role { get; init; } = WeightRole.Weight;

    /// <summary>See <see cref="Weight.OutputScale"/>; empty, or one finite number per output.</summary>
    public ReadOnlyMemory<double> OutputScale { get; init; }

    /// <summary>See <see cref="Weight.Height"/>, not negative; null to have it found from the data flow.</summary>
    public int? Height { get; init; }

    /// <summary>Name of the channels that the weight writes; null for "output of NAME".</summary>
    public string? OutputName { get; init; }
}
