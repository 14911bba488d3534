using EquiNorm.Backends.Cpu;
using EquiNorm.Description;
using EquiNorm.Model;

namespace EquiNorm.Safetensors;

/// <summary>Finds the tensor of each weight of a network, and checks that it is what the description says: type, extents, layout.</summary>
internal sealed class TensorBinder(SafetensorsModel model, DescribedNetwork description, IReadOnlyDictionary<string, string>? names)
{
    private const int MostSuggested = 3;

    /// <summary>The tensors, in the order of the network's weights.</summary>
    /// <exception cref="SafetensorsException">A tensor is missing or is not as described.</exception>
    public SafetensorsTensor[] Bind()
    {
        var network = description.Network;
        if (names?.Keys.FirstOrDefault(n => network.Find(n) is null) is { } unknown)
        {
            throw Wrong($"the map of names has '{unknown}', and the network has no weight of that name.");
        }

        var tensors = new List<SafetensorsTensor>();
        var users = new Dictionary<SafetensorsTensor, Weight>();
        foreach (var weight in network.Weights)
        {
            var tensor = Find(weight);
            CheckType(weight, tensor);
            CheckShape(weight, tensor);
            CheckLayout(weight, tensor);
            if (!users.TryAdd(tensor, weight))
            {
                throw Wrong(tensor, $"is the tensor of two weights, '{users[tensor].Name}' and '{weight.Name}'; a tensor that is used twice has one name in the network.");
            }

            tensors.Add(tensor);
        }

        return [.. tensors];
    }

    private string NameOf(Weight weight) => names?.GetValueOrDefault(weight.Name) ?? weight.Name;

    private SafetensorsTensor Find(Weight weight)
    {
        string name = NameOf(weight);
        if (model.Find(name) is { } tensor)
        {
            return tensor;
        }

        string described = name == weight.Name ? "the network has a weight of that name" : $"the map of names says so of the weight '{weight.Name}'";
        throw Wrong($"there is no tensor '{name}'; {described}.{Suggestion(weight)}");
    }

    // The usual causes: a prefix that one of the two has ("model.", "module."), or an exporter's names ("onnx::MatMul_12").
    private string Suggestion(Weight weight)
    {
        var used = description.Network.Weights.Select(NameOf).ToHashSet(StringComparer.Ordinal);
        var free = model.Tensors.Where(t => !used.Contains(t.Name)).ToList();
        var alike = free.Where(t => t.Name.EndsWith("." + weight.Name, StringComparison.Ordinal) || weight.Name.EndsWith("." + t.Name, StringComparison.Ordinal)).ToList();
        if (alike.Count == 0 && description.Shapes.TryGetValue(weight.Name, out var shape))
        {
            alike = [.. free.Where(t => t.Shape.SequenceEqual(shape))];
        }

        string more = alike.Count > MostSuggested ? $" or {alike.Count - MostSuggested} more" : "";
        return alike.Count == 0 ? "" : $" A map of names could say which it is: {string.Join(", ", alike.Take(MostSuggested).Select(t => $"'{t.Name}'"))}{more}?";
    }

    private static void CheckType(Weight weight, SafetensorsTensor tensor)
    {
        if (tensor.ElementType != weight.ElementType)
        {
            throw Wrong(tensor, $"is of type {tensor.Type}; the network says {SafetensorsTypes.Name(weight.ElementType)}."
                + (tensor.ElementType is null ? " Only F64, F32, F16 and BF16 can be rescaled." : ""));
        }
    }

    private void CheckShape(Weight weight, SafetensorsTensor tensor)
    {
        if (!description.Shapes.TryGetValue(weight.Name, out var shape))
        {
            if (tensor.ElementCount != weight.Layout.Elements)
            {
                throw Wrong(tensor, $"has {tensor.ElementCount} elements; the network says {weight.Layout.Elements}.");
            }

            return;
        }

        if (tensor.Shape.Count != shape.Count)
        {
            throw Wrong(tensor, $"has {tensor.Shape.Count} axes, [{string.Join(", ", tensor.Shape)}]; the network says {shape.Count}, [{string.Join(", ", shape)}].");
        }

        for (int axis = 0; axis < shape.Count; axis++)
        {
            if (tensor.Shape[axis] != shape[axis])
            {
                throw Wrong(tensor, $"has {tensor.Shape[axis]} on axis {axis}; the network says {shape[axis]} ([{string.Join(", ", tensor.Shape)}] and [{string.Join(", ", shape)}]).");
            }
        }
    }

    // The tensors of a file are contiguous; a description can say more than that.
    private static void CheckLayout(Weight weight, SafetensorsTensor tensor)
    {
        try
        {
            _ = new ElementScaler(weight.Layout, weight.ElementType, new double[weight.Layout.Outputs], new double[weight.Layout.Inputs]);
        }
        catch (ArgumentException e)
        {
            throw Wrong(tensor, $"is described with an offset or strides that a tensor of a file cannot have: {e.Message}");
        }
    }

    private SafetensorsException Wrong(string problem) => new(model.Path, problem);

    private static SafetensorsException Wrong(SafetensorsTensor tensor, string problem) => new(tensor.Path, $"tensor '{tensor.Name}' {problem}");
}
