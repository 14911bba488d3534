namespace EquiNorm.Model;

/// <summary>
/// Where the elements of a weight lie in its tensor: a view [groups, outputs per group, inputs per group, kernel positions] with one
/// stride each. Element (g, o, i, k) is at <c>Offset + g*GroupStride + o*OutputStride + i*InputStride + k*KernelStride</c>.
/// </summary>
/// <remarks>
/// Kernel positions share one factor, so height, width, depth and flattened image positions are all one extent, <see cref="Kernel"/>.
/// Extents are counts, strides and the offset are in elements. Use the factory methods for contiguous tensors.
/// </remarks>
public sealed record WeightLayout
{
    /// <summary>Number of independent blocks (1 for a dense layer, the channel count for a depthwise convolution).</summary>
    public required int Groups { get; init; }

    /// <summary>Output channels of one block.</summary>
    public required int OutputsPerGroup { get; init; }

    /// <summary>Input channels of one block.</summary>
    public required int InputsPerGroup { get; init; }

    /// <summary>Kernel positions that share a factor.</summary>
    public required int Kernel { get; init; }

    /// <summary>
    /// Which dimensions the stored tensor has, for those who hand it over with shape and strides. Says nothing of where elements lie, and has no
    /// part in equality.
    /// </summary>
    public TensorOrder Order { get; init; }

    /// <summary>First element.</summary>
    public long Offset { get; init; }

    /// <summary>Distance between blocks.</summary>
    public required long GroupStride { get; init; }

    /// <summary>Distance between output channels of one block.</summary>
    public required long OutputStride { get; init; }

    /// <summary>Distance between input channels of one block.</summary>
    public required long InputStride { get; init; }

    /// <summary>Distance between kernel positions.</summary>
    public required long KernelStride { get; init; }

    /// <summary>Output channels of all blocks.</summary>
    public int Outputs => Groups * OutputsPerGroup;

    /// <summary>Input channels of all blocks.</summary>
    public int Inputs => Groups * InputsPerGroup;

    /// <summary>Number of (output, input) pairs: the size of the energy matrix.</summary>
    public long Edges => (long)Groups * OutputsPerGroup * InputsPerGroup;

    /// <summary>Number of elements.</summary>
    public long Elements => Edges * Kernel;

    /// <summary>True if every block is a single (output, input) pair: a depthwise convolution or a diagonal.</summary>
    public bool IsDiagonal => OutputsPerGroup == 1 && InputsPerGroup == 1;

    /// <summary>The smallest number of elements that a tensor must have to hold this view; 0 for an empty view.</summary>
    public long RequiredElements => Elements == 0
        ? 0
        : Offset + 1 + (Groups - 1) * GroupStride + (OutputsPerGroup - 1) * OutputStride
            + (InputsPerGroup - 1) * InputStride + (Kernel - 1) * KernelStride;

    /// <summary>A dense layer stored [outputs, inputs] (torch's Linear, Gemm with transB = 1).</summary>
    public static WeightLayout Dense(int outputs, int inputs) => Convolution(outputs, inputs, 1);

    /// <summary>A dense layer stored [inputs, outputs] (MatMul, Gemm with transB = 0).</summary>
    public static WeightLayout DenseTransposed(int outputs, int inputs) => DenseAfterFlattenTransposed(outputs, inputs, 1);

    /// <summary>A dense layer stored [outputs, channels * positions], behind a flatten of [channels, positions].</summary>
    public static WeightLayout DenseAfterFlatten(int outputs, int channels, int positions) => Convolution(outputs, channels, positions);

    /// <summary>A dense layer stored [channels * positions, outputs], behind a flatten of [channels, positions].</summary>
    public static WeightLayout DenseAfterFlattenTransposed(int outputs, int channels, int positions) => new()
    {
        Order = TensorOrder.InputOutput,
        Groups = 1,
        OutputsPerGroup = outputs,
        InputsPerGroup = channels,
        Kernel = positions,
        GroupStride = 0,
        OutputStride = 1,
        InputStride = (long)positions * outputs,
        KernelStride = outputs,
    };

    /// <summary>A convolution stored [outputs, inputs / groups, kernel positions].</summary>
    /// <exception cref="ArgumentException">The channel counts are not multiples of <paramref name="groups"/>.</exception>
    public static WeightLayout Convolution(int outputs, int inputs, int kernel, int groups = 1)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(groups);
        if (outputs % groups != 0 || inputs % groups != 0)
        {
            throw new ArgumentException($"{outputs} outputs and {inputs} inputs do not divide into {groups} groups.");
        }

        var inputsPerGroup = inputs / groups;
        var outputsPerGroup = outputs / groups;
        return new WeightLayout
        {
            Groups = groups,
            OutputsPerGroup = outputsPerGroup,
            InputsPerGroup = inputsPerGroup,
            Kernel = kernel,
            GroupStride = (long)outputsPerGroup * inputsPerGroup * kernel,
            OutputStride = (long)inputsPerGroup * kernel,
            InputStride = kernel,
            KernelStride = 1,
        };
    }

    /// <summary>A transposed convolution stored [inputs, outputs / groups, kernel positions].</summary>
    /// <exception cref="ArgumentException">The channel counts are not multiples of <paramref name="groups"/>.</exception>
    public static WeightLayout TransposedConvolution(int outputs, int inputs, int kernel, int groups = 1)
    {
        // The stored tensor is that of the convolution in the other direction.
        var mirrored = Convolution(inputs, outputs, kernel, groups);
        return mirrored with
        {
            Order = TensorOrder.InputOutput,
            OutputsPerGroup = mirrored.InputsPerGroup,
            InputsPerGroup = mirrored.OutputsPerGroup,
            GroupStride = groups == 1 ? 0 : mirrored.GroupStride,
            OutputStride = mirrored.InputStride,
            InputStride = mirrored.OutputStride,
        };
    }

    /// <summary>A depthwise convolution stored [channels, 1, kernel positions].</summary>
    public static WeightLayout Depthwise(int channels, int kernel) => Convolution(channels, channels, kernel, channels);

    /// <summary>One number per channel, from channel c to channel c (the gain of a normalisation).</summary>
    public static WeightLayout Diagonal(int channels) => Depthwise(channels, 1);

    /// <summary>The same elements with outputs as inputs and inputs as outputs.</summary>
    public WeightLayout Reversed()
    {
        var isContiguous = Groups == 1 && RequiredElements - Offset == Elements && Order != TensorOrder.GroupOutputInput;
        var order = Order switch
        {
            TensorOrder.OutputInput when !IsDiagonal => TensorOrder.InputOutput,
            TensorOrder.InputOutput => TensorOrder.OutputInput,
            var same => same,
        };
        return this with
        {
            Order = order,
            OutputsPerGroup = InputsPerGroup,
            InputsPerGroup = OutputsPerGroup,
            OutputStride = InputStride,
            InputStride = OutputStride,

            // A single block has no stride, nor has a single position; the factory methods give them these, and equal layouts shall be equal.
            KernelStride = !isContiguous || Kernel > 1 ? KernelStride : order == TensorOrder.OutputInput ? 1 : InputsPerGroup,
            GroupStride = !isContiguous ? GroupStride : order == TensorOrder.OutputInput ? Elements : 0,
        };
    }

    /// <summary>The layout of another tensor with the same extents: a framework's, by its shape and strides.</summary>
    /// <param name="name">Names the tensor in errors.</param>
    /// <param name="tensor">
    /// [outputs, inputs per group, kernel...] or [inputs, outputs per group, kernel...], as <see cref="Order"/> says; one dimension for a bias
    /// or a diagonal. Inputs behind a flatten are [channels * positions].
    /// </param>
    /// <exception cref="TensorException">The extents differ, or no strides of kernel positions say where they lie.</exception>
    public WeightLayout WithTensor(string name, TensorView tensor) => TensorLayouts.Of(this, name, tensor);

    /// <summary>Whether another layout has the same extents, strides and offset.</summary>
    public bool Equals(WeightLayout? other) => other is not null && Numbers == other.Numbers;

    /// <inheritdoc/>
    public override int GetHashCode() => Numbers.GetHashCode();

    private (int, int, int, int, long, long, long, long, long) Numbers =>
        (Groups, OutputsPerGroup, InputsPerGroup, Kernel, Offset, GroupStride, OutputStride, InputStride, KernelStride);

    /// <summary>Whether another layout has every element in the same place.</summary>
    public bool HasSamePlaces(WeightLayout other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return HasSameExtents(other) && (Elements == 0 || (Offset == other.Offset
            && Same(Groups, GroupStride, other.GroupStride) && Same(OutputsPerGroup, OutputStride, other.OutputStride)
            && Same(InputsPerGroup, InputStride, other.InputStride) && Same(Kernel, KernelStride, other.KernelStride)));

        static bool Same(int extent, long stride, long otherStride) => extent <= 1 || stride == otherStride;
    }

    /// <summary>Whether another layout has the same extents.</summary>
    public bool HasSameExtents(WeightLayout other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return Groups == other.Groups && OutputsPerGroup == other.OutputsPerGroup && InputsPerGroup == other.InputsPerGroup
            && Kernel == other.Kernel;
    }

    /// <summary>
    /// Whether the channels with the larger stride are the outermost dimension of the storage, one contiguous row each, so that the
    /// tensor can be processed a few rows at a time.
    /// </summary>
    public bool HasStorageRows => IsOutputMajor
        ? FollowOn(OutputsPerGroup, OutputStride) && RowFits(OutputStride, InputsPerGroup, InputStride)
        : FollowOn(InputsPerGroup, InputStride) && RowFits(InputStride, OutputsPerGroup, OutputStride);

    /// <summary>Whether output channels are further apart than input channels (convolutions, torch's Linear).</summary>
    public bool IsOutputMajor => IsDiagonal || OutputsPerGroup == 1 || (InputsPerGroup > 1 ? OutputStride >= InputStride : OutputStride >= Kernel);

    /// <summary>Number of storage rows, if there are any: all output channels, or all input channels.</summary>
    public int StorageRows => IsOutputMajor ? Outputs : Inputs;

    /// <summary>Elements of a storage row.</summary>
    public long StorageRowElements => !IsOutputMajor ? InputsPerGroup > 1 || Groups == 1 ? InputStride : GroupStride
        : OutputsPerGroup > 1 ? OutputStride
        : Groups > 1 ? GroupStride
        : (long)InputsPerGroup * Kernel;

    // Whether the rows of a block are followed by those of the next one; a single row per block has no stride of its own.
    private bool FollowOn(int rowsPerGroup, long stride) => Groups == 1 || rowsPerGroup == 1 || GroupStride == rowsPerGroup * stride;

    private bool RowFits(long stride, int inner, long innerStride) =>
        StorageRows <= 1 || 1 + (inner - 1) * innerStride + (Kernel - 1) * KernelStride <= Math.Max(stride, StorageRowElements);

    internal void Validate(string weight)
    {
        Require(Groups >= 1, nameof(Groups), Groups);
        Require(OutputsPerGroup >= 0, nameof(OutputsPerGroup), OutputsPerGroup);
        Require(InputsPerGroup >= 0, nameof(InputsPerGroup), InputsPerGroup);
        Require(Kernel >= 0, nameof(Kernel), Kernel);
        Require(Offset >= 0, nameof(Offset), Offset);
        Require(GroupStride >= 0, nameof(GroupStride), GroupStride);
        Require(OutputStride >= 0, nameof(OutputStride), OutputStride);
        Require(InputStride >= 0, nameof(InputStride), InputStride);
        Require(KernelStride >= 0, nameof(KernelStride), KernelStride);
        try
        {
            _ = checked(Groups * OutputsPerGroup);
            _ = checked(Groups * InputsPerGroup);
            _ = checked((long)Outputs * InputsPerGroup * Kernel);
            _ = checked(Offset + 1 + (Groups - 1) * GroupStride + (OutputsPerGroup - 1L) * OutputStride
                + (InputsPerGroup - 1L) * InputStride + (Kernel - 1L) * KernelStride);
        }
        catch (OverflowException)
        {
            throw new NetworkException($"Weight '{weight}': the extents of its layout overflow.");
        }

        RequireDistinctElements(weight);

        void Require(bool condition, string axis, long value)
        {
            if (!condition)
            {
                throw new NetworkException($"Weight '{weight}': {axis} is {value}.");
            }
        }
    }

    // An element with two addresses in the view would be rescaled twice. Axes must nest: each stride beyond the reach of the smaller ones.
    private void RequireDistinctElements(string weight)
    {
        (int Extent, long Stride)[] axes =
            [(Groups, GroupStride), (OutputsPerGroup, OutputStride), (InputsPerGroup, InputStride), (Kernel, KernelStride)];
        if (axes.Any(a => a.Extent == 0))
        {
            return;
        }

        long reach = 0;
        foreach (var (extent, stride) in axes.Where(a => a.Extent > 1).OrderBy(a => a.Stride))
        {
            if (stride <= reach)
            {
                throw new NetworkException($"Weight '{weight}': elements of its layout overlap (a stride of {stride} within {reach + 1} elements).");
            }

            reach += (extent - 1) * stride;
        }
    }
}

/// <summary>The dimensions of a stored tensor, outermost first.</summary>
public enum TensorOrder
{
    /// <summary>[outputs, inputs per group, kernel...]: torch's Linear and Conv, ONNX's Conv, Gemm with transB = 1.</summary>
    OutputInput,

    /// <summary>[inputs, outputs per group, kernel...]: MatMul, Gemm with transB = 0, transposed convolutions.</summary>
    InputOutput,

    /// <summary>[groups, outputs per group, inputs per group, kernel...]: a view of any strides.</summary>
    GroupOutputInput,
}
