using EquiNorm.Model;
using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>Declares stored constants per channel as biases. Each use has a name of its own: biases that differ are copied on saving.</summary>
internal static class Biases
{
    /// <summary>Declares input <paramref name="input"/> of the node as bias of the channels.</summary>
    public static void Declare(NodeContext node, ConstantValue constant, int input, ChannelAxis axis, WeightLayout layout)
    {
        var tensor = constant.Tensor!;
        string name = node.Analysis.Uses.UniqueName(constant.Name, node.Node);
        node.Analysis.Builder.Bias(new WeightDeclaration(name, tensor.DataType.ElementType()!.Value, layout), axis);
        node.Analysis.Uses.Add(new TensorUse(tensor, node.Node, input, name, UseRole.Declared));
    }
}
