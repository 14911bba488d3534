namespace EquiNorm.Model;

/// <summary>From a framework's shape and strides to the view [groups, outputs, inputs, kernel positions] of a weight.</summary>
internal static class TensorLayouts
{
    // Times an extent it stays within 64 bits.
    private const long LongestStride = 1L << 31 << 20;

    public static WeightLayout Of(WeightLayout declared, string name, TensorView tensor)
    {
        var strides = tensor.StridesOf(name);
        for (var d = 0; d < strides.Length; d++)
        {
            // Where there is one position, nobody steps.
            strides[d] = tensor.Shape[d] <= 1 ? 0 : strides[d];
            if (strides[d] is < 0 or > LongestStride)
            {
                throw Wrong(declared, name, $"strides [{string.Join(", ", strides)}]");
            }
        }

        var axes = Axes(declared, tensor.Shape, strides) ?? throw Wrong(declared, name, $"[{string.Join(", ", tensor.Shape)}]");
        if (axes.Kernel < 0)
        {
            throw Wrong(declared, name, $"kernel dimensions with strides [{string.Join(", ", strides[2..])}], which are not one run");
        }

        var outputsFirst = declared.Order != TensorOrder.InputOutput;
        var layout = declared with
        {
            Offset = 0,
            GroupStride = axes.Group,
            OutputStride = outputsFirst ? axes.First : axes.Second,
            InputStride = outputsFirst ? axes.Second : axes.First,
            KernelStride = axes.Kernel,
        };
        try
        {
            layout.Validate(name);
        }
        catch (NetworkException e)
        {
            throw new TensorException(TensorError.WrongShape, e.Message);
        }

        return layout;
    }

    // Strides of the view; null if the extents differ, a negative kernel stride if the kernel dimensions are not one run.
    private static (long Group, long First, long Second, long Kernel)? Axes(WeightLayout declared, IReadOnlyList<long> shape, long[] strides)
    {
        if (declared.Order == TensorOrder.GroupOutputInput)
        {
            var (positions, positionStride) = Run(shape, strides, 3);
            return shape.Count >= 3 && shape[0] == declared.Groups && shape[1] == declared.OutputsPerGroup && shape[2] == declared.InputsPerGroup
                && positions == declared.Kernel
                ? (strides[0], strides[1], strides[2], positionStride)
                : null;
        }

        var outputsFirst = declared.Order == TensorOrder.OutputInput;
        var first = outputsFirst ? declared.OutputsPerGroup : declared.InputsPerGroup;
        var second = outputsFirst ? declared.InputsPerGroup : declared.OutputsPerGroup;
        var allFirst = (long)declared.Groups * first;
        var kernel = declared.Kernel;
        if (shape.Count == 1)
        {
            // A bias [outputs], a diagonal [channels].
            return second == 1 && kernel == 1 && shape[0] == allFirst ? (first * strides[0], strides[0], 1, 1) : null;
        }

        if (shape.Count == 0)
        {
            return null;
        }

        var (extents, kernelStride) = Run(shape, strides, 2);
        if (shape[0] == allFirst && shape[1] == second && extents == kernel)
        {
            return (first * strides[0], strides[0], strides[1], kernelStride);
        }

        // Behind a flatten the inputs are [channels * positions].
        if (extents == 1 && outputsFirst && shape[0] == allFirst && shape[1] == (long)second * kernel)
        {
            return (first * strides[0], strides[0], kernel * strides[1], strides[1]);
        }

        return extents == 1 && !outputsFirst && shape[0] == allFirst * kernel && shape[1] == second
            ? (first * kernel * strides[0], kernel * strides[0], strides[1], strides[0])
            : null;
    }

    // Dimensions that nest are one axis: each stride is the next extent times the next stride.
    private static (long Extents, long Stride) Run(IReadOnlyList<long> shape, long[] strides, int outermost)
    {
        var (extents, stride, reach) = (1L, 1L, -1L);
        for (var n = shape.Count - 1; n >= outermost; n--)
        {
            if (shape[n] == 1)
            {
                continue;
            }

            if (shape[n] < 0 || (shape[n] > 0 && extents > int.MaxValue / shape[n]))
            {
                return (-1, 1);
            }

            stride = reach < 0 ? strides[n] : stride;
            stride = reach >= 0 && strides[n] != reach ? -1 : stride;
            extents *= shape[n];
            reach = strides[n] * shape[n];
        }

        return (extents, stride);
    }

    private static TensorException Wrong(WeightLayout declared, string name, string given) => new(
        TensorError.WrongShape,
        $"Tensor '{name}' is declared with {declared.Outputs} outputs, {declared.InputsPerGroup} inputs"
            + (declared.Groups > 1 ? $" in each of {declared.Groups} groups" : "")
            + $" and {declared.Kernel} kernel positions{(declared.Order == TensorOrder.InputOutput ? ", inputs first" : "")}; it was given {given}.");
}
