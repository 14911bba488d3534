using EquiNorm.Model;

namespace EquiNorm.Description;

/// <summary>What a description says that a weight is.</summary>
internal enum WeightKind
{
    /// <summary>From every input of a block to every output.</summary>
    Weight,

    /// <summary>From input channel c to output channel c.</summary>
    Diagonal,

    /// <summary>Without input.</summary>
    Bias,
}

/// <summary>What is wrong with a stored tensor.</summary>
/// <param name="Property">The property at fault.</param>
/// <param name="Expected">What would be right.</param>
internal readonly record struct TensorProblem(string Property, string Expected);

/// <summary>
/// A tensor as a description gives it: extents and strides by dimension. With the channels of its references it becomes a
/// <see cref="WeightLayout"/> [groups, outputs per group, inputs per group, kernel positions]. A dense weight may have a multiple of its
/// inputs: channels behind a flatten, positions innermost.
/// </summary>
/// <param name="Kind">What it is.</param>
/// <param name="Order">Its dimensions.</param>
/// <param name="Groups">Blocks; null if it is not said.</param>
/// <param name="Shape">Extents.</param>
/// <param name="Strides">In elements, one for each dimension; null: contiguous.</param>
/// <param name="Offset">First element.</param>
internal sealed record StoredTensor(
    WeightKind Kind, TensorOrder Order, int? Groups, long[] Shape, long[]? Strides = null, long Offset = 0)
{
    /// <summary>The layout for <paramref name="outputs"/> and <paramref name="inputs"/> channels; null with a problem if it does not fit.</summary>
    public WeightLayout? Layout(int outputs, int inputs, out TensorProblem problem)
    {
        problem = default;
        if (Strides is not null && Strides.Length != Shape.Length)
        {
            problem = new("strides", $"one stride for each of the {Shape.Length} dimensions is expected");
            return null;
        }

        if (!TryContiguous(out var contiguous))
        {
            problem = new("shape", $"at most {NetworkDescription.MaxElements} elements are expected");
            return null;
        }

        var strides = Strides ?? contiguous;
        if (!AreInReach(strides))
        {
            problem = new(Strides is null ? "offset" : "strides", $"a last element below {NetworkDescription.MaxElements} is expected");
            return null;
        }

        return (Kind, Order) switch
        {
            (_, TensorOrder.GroupOutputInput) => Blocks(outputs, inputs, strides, out problem),
            (WeightKind.Diagonal, _) => Diagonal(outputs, inputs, strides, out problem),
            (WeightKind.Bias, _) => Bias(outputs, strides, out problem),
            (_, TensorOrder.InputOutput) => Matrix(inputs, outputs, strides, "inputs", "outputs", out problem),
            _ => Matrix(outputs, inputs, strides, "outputs", "inputs", out problem),
        };
    }

    private WeightLayout? Diagonal(int outputs, int inputs, long[] strides, out TensorProblem problem)
    {
        problem = inputs != outputs
            ? new("input", $"{outputs} channels, as many as the output has, are expected")
            : new("shape", $"[{outputs}] is expected, one number for each channel, and at least one channel");
        return inputs == outputs && Shape.Length == 1 && Shape[0] == outputs && outputs > 0
            ? WeightLayout.Diagonal(outputs) with { GroupStride = strides[0], Offset = Offset }
            : null;
    }

    private WeightLayout? Bias(int outputs, long[] strides, out TensorProblem problem)
    {
        problem = new("shape", $"[{outputs}] or [{outputs}, positions...] is expected, one number for each output channel");
        if (Shape.Length < 1 || Shape[0] != outputs || !TryKernel(1, strides, out var kernel, out var stride, ref problem))
        {
            return null;
        }

        var layout = WeightLayout.Convolution(outputs, 1, kernel) with { Offset = Offset };
        return Strides is null ? layout : layout with { OutputStride = strides[0], KernelStride = stride };
    }

    private WeightLayout? Blocks(int outputs, int inputs, long[] strides, out TensorProblem problem)
    {
        problem = new("shape", $"[groups, outputs / groups, inputs / groups, kernel...] of {outputs} outputs and {inputs} inputs is expected");
        if (Shape.Length < 3 || Shape[0] < 1 || Shape[0] * Shape[1] != outputs || Shape[0] * Shape[2] != inputs)
        {
            return null;
        }

        if (Groups is { } groups && groups != Shape[0])
        {
            problem = new("groups", $"{Shape[0]} groups, the first extent of the shape, are expected");
            return null;
        }

        return !TryKernel(3, strides, out var kernel, out var stride, ref problem) ? null : new WeightLayout
        {
            Order = Order,
            Groups = (int)Shape[0],
            OutputsPerGroup = (int)Shape[1],
            InputsPerGroup = (int)Shape[2],
            Kernel = kernel,
            Offset = Offset,
            GroupStride = strides[0],
            OutputStride = strides[1],
            InputStride = strides[2],
            KernelStride = stride,
        };
    }

    // The outer dimension counts all channels of its axis, the inner one those of a block.
    private WeightLayout? Matrix(int outer, int inner, long[] strides, string outerName, string innerName, out TensorProblem problem)
    {
        var groups = Groups ?? 1;
        var isTransposed = Order == TensorOrder.InputOutput;
        var form = $"[{outerName}, {innerName}{(groups > 1 ? $" / {groups}" : "")}, kernel...] of {outer} {outerName} and {inner} {innerName} is expected";
        problem = new("shape", form);
        if (Shape.Length < 2)
        {
            return null;
        }

        var features = isTransposed ? Shape[0] : Shape[1] * groups;
        var (channels, others, given) = isTransposed ? (outer, inner, Shape[1] * groups) : (inner, outer, Shape[0]);
        var isDense = Shape.Length == 2 && groups == 1;
        if (given != others || (features != channels && !(isDense && channels > 0 && features > 0 && features % channels == 0)))
        {
            problem = isDense ? problem with { Expected = $"{form}, or a multiple of the {channels} inputs behind a flatten" } : problem;
            return null;
        }

        if (outer % groups != 0 || inner % groups != 0)
        {
            problem = new("groups", $"a divisor of {outer} {outerName} and {inner} {innerName} is expected");
            return null;
        }

        if (isDense)
        {
            return Dense(others, channels, channels == 0 ? 1 : (int)(features / channels), strides, isTransposed);
        }

        if (!TryKernel(2, strides, out var kernel, out var stride, ref problem))
        {
            return null;
        }

        if (Strides is null && !isTransposed)
        {
            return WeightLayout.Convolution(outer, inner, kernel, groups) with { Offset = Offset };
        }

        var (outerPerGroup, innerPerGroup) = (outer / groups, inner / groups);
        return new WeightLayout
        {
            Order = Order,
            Groups = groups,
            OutputsPerGroup = isTransposed ? innerPerGroup : outerPerGroup,
            InputsPerGroup = isTransposed ? outerPerGroup : innerPerGroup,
            Kernel = kernel,
            Offset = Offset,
            GroupStride = groups == 1 ? 0 : outerPerGroup * strides[0],
            OutputStride = strides[isTransposed ? 1 : 0],
            InputStride = strides[isTransposed ? 0 : 1],
            KernelStride = stride,
        };
    }

    private WeightLayout Dense(int outputs, int channels, int positions, long[] strides, bool isTransposed)
    {
        var layout = (isTransposed
            ? WeightLayout.DenseAfterFlattenTransposed(outputs, channels, positions)
            : WeightLayout.DenseAfterFlatten(outputs, channels, positions)) with
        { Offset = Offset };
        return Strides is null ? layout : layout with
        {
            GroupStride = 0,
            OutputStride = strides[isTransposed ? 1 : 0],
            InputStride = positions * strides[isTransposed ? 0 : 1],
            KernelStride = strides[isTransposed ? 0 : 1],
        };
    }

    // Kernel dimensions from `first` on are one extent of a layout: each must continue the one inside it. Those of extent 1 have no say.
    private bool TryKernel(int first, long[] strides, out int kernel, out long stride, ref TensorProblem problem)
    {
        (kernel, stride) = (1, 1);
        long count = 1;
        for (var d = Shape.Length - 1; d >= first; d--)
        {
            if (Shape[d] == 1 && Shape.Length > first + 1)
            {
                continue;
            }

            if (count == 1)
            {
                stride = strides[d];
            }
            else if (Shape[d] > 1 && count > 1 && strides[d] != count * stride)
            {
                problem = new("strides", "kernel dimensions that lie one behind the other, as if they were one, are expected");
                return false;
            }

            count *= Shape[d];
            if (count > int.MaxValue)
            {
                problem = new("shape", $"at most {int.MaxValue} kernel positions are expected");
                return false;
            }
        }

        kernel = (int)count;
        return true;
    }

    // What is below this bound can be multiplied by an extent without overflow in the layouts above.
    private bool AreInReach(long[] strides)
    {
        Int128 last = Offset;
        for (var d = 0; d < strides.Length; d++)
        {
            if (strides[d] is < 0 or > NetworkDescription.MaxElements)
            {
                return false;
            }

            last += (Int128)Math.Max(0, Shape[d] - 1) * strides[d];
        }

        return last < NetworkDescription.MaxElements;
    }

    private bool TryContiguous(out long[] strides)
    {
        strides = new long[Shape.Length];
        long stride = 1;
        for (var d = Shape.Length - 1; d >= 0; d--)
        {
            strides[d] = stride;
            if (Shape[d] is < 0 or > int.MaxValue || (Shape[d] > 0 && stride > NetworkDescription.MaxElements / Shape[d]))
            {
                return false;
            }

            stride *= Shape[d];
        }

        return true;
    }
}
