using EquiNorm.Model;

namespace EquiNorm.Description;

/// <summary>An entry of the list of weights: one use of a tensor.</summary>
/// <param name="Place">Where it stands.</param>
/// <param name="Declaration">The tensor.</param>
/// <param name="Output">The channels that it writes.</param>
/// <param name="Input">The channels that it reads; null for a bias.</param>
/// <param name="IsReciprocal">A bias that is divided by the factors of its channels, <paramref name="Output"/>.</param>
internal sealed record WeightEntry(JsonPlace Place, WeightDeclaration Declaration, ChannelAxis Output, ChannelAxis? Input, bool IsReciprocal)
{
    private static readonly string[] Properties =
        ["name", "type", "kind", "shape", "order", "groups", "strides", "offset", "output", "input", "height"];

    /// <summary>Extents of the stored tensor, outermost first; null where strides or an offset make the entry a view of it.</summary>
    public IReadOnlyList<long>? StoredShape { get; private init; }

    /// <summary>Reads an entry.</summary>
    public static WeightEntry Read(JsonPlace place, AxisTable axes, int version)
    {
        var properties = place.Properties(Properties);
        if (properties is not [{ } name, { } type, var kindText, { } shape, var orderText, var groups, var strides, var offset, var output, var input, var height]
            || (output is null && (version < 2 || input is null)))
        {
            throw place.Wrong("a weight needs name, type, shape and output.");
        }

        var kind = kindText?.Word(("weight", WeightKind.Weight), ("diagonal", WeightKind.Diagonal), ("bias", WeightKind.Bias)) ?? WeightKind.Weight;
        var order = orderText?.Word(
            ("output-input", TensorOrder.OutputInput),
            ("input-output", TensorOrder.InputOutput),
            ("group-output-input", TensorOrder.GroupOutputInput)) ?? TensorOrder.OutputInput;
        var isReciprocal = kind == WeightKind.Bias && output is null;
        if (isReciprocal)
        {
            (output, input) = (input, output);
        }

        RequireFor(kind, order, orderText, groups, input, place);
        var tensor = new StoredTensor(
            kind,
            order,
            (int?)groups?.Integer(1, NetworkDescription.MaxChannels),
            Numbers(shape, "a list of extents", int.MaxValue),
            strides is null ? null : Numbers(strides, "a list of strides", NetworkDescription.MaxElements),
            offset?.Integer(0, NetworkDescription.MaxElements) ?? 0);
        var (outputAxis, inputAxis) = (axes.Resolve(output ?? throw place.Wrong("a weight that is no bias needs output.")), input is null ? null : axes.Resolve(input));
        var layout = tensor.Layout(outputAxis.Length, inputAxis?.Length ?? 1, out var problem);
        if (layout is null)
        {
            throw (properties[Array.IndexOf(Properties, problem.Property)] ?? place).Unexpected(problem.Expected);
        }

        var declaration = new WeightDeclaration(name.Text(), ElementTypeWords.Read(type), isReciprocal ? layout.Reversed() : layout)
        {
            Role = kind == WeightKind.Bias ? WeightRole.Bias : WeightRole.Weight,
            Height = (int?)height?.Integer(0, int.MaxValue),
        };
        return new WeightEntry(place, declaration, outputAxis, inputAxis, isReciprocal)
        {
            StoredShape = tensor is { Strides: null, Offset: 0 } ? tensor.Shape : null,
        };
    }

    /// <summary>Declares it to a builder.</summary>
    /// <param name="builder">The builder.</param>
    /// <param name="height">Height of the tensor, if it is given.</param>
    public void Declare(NetworkBuilder builder, int? height)
    {
        var declaration = Declaration with { Height = height };
        try
        {
            if (IsReciprocal)
            {
                builder.ReciprocalBias(declaration, Output);
            }
            else if (Input is null)
            {
                builder.Bias(declaration, Output);
            }
            else
            {
                builder.Weight(declaration, Input, Output);
            }
        }
        catch (NetworkException e)
        {
            throw Place.Wrong(e.Message);
        }
    }

    private static void RequireFor(
        WeightKind kind, TensorOrder order, JsonPlace? orderText, JsonPlace? groups, JsonPlace? input, JsonPlace place)
    {
        if (kind == WeightKind.Bias ? input is not null : input is null)
        {
            throw kind == WeightKind.Bias ? input!.Unexpected("a bias has no input: none is expected") : place.Wrong("a weight that is no bias needs input.");
        }

        if (kind != WeightKind.Weight && groups is not null)
        {
            throw groups.Unexpected("groups are expected of the kind weight only");
        }

        if (order == TensorOrder.InputOutput && kind != WeightKind.Weight || order != TensorOrder.OutputInput && kind == WeightKind.Diagonal)
        {
            throw orderText!.Unexpected("another order is expected of the kind weight only");
        }
    }

    private static long[] Numbers(JsonPlace list, string expected, long most) =>
        [.. list.Items(expected).Select(n => n.Integer(0, most))];
}
