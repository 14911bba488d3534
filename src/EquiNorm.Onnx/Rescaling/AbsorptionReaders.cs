using EquiNorm.Onnx.Analysis;
using EquiNorm.Onnx.Files;

namespace EquiNorm.Onnx.Rescaling;

/// <summary>
/// Who would have to take a constant that is taken from the channels of a value: follows it through what a constant per channel passes
/// unchanged, up to linear operators whose result it changes by the same W c everywhere.
/// </summary>
internal sealed class AbsorptionReaders(GraphAnalysis analysis)
{
    /// <summary>The operators that read the value, or a reason why one of them cannot take a constant.</summary>
    public string? Find(string value, List<NodeLayout> linear)
    {
        if (analysis.Readers.OthersOf(value) > 0)
        {
            return "it is an output of the graph, or read in a subgraph";
        }

        foreach (var (node, input) in analysis.Readers.Of(value))
        {
            var context = new NodeContext(analysis, node, [.. node.Header.Input.Select(analysis.Value)], []);
            string? refusal = node.Header.Domain is not ("" or "ai.onnx") || input != 0 ? ""
                : node.Header.OpType is "Conv" or "Gemm" or "MatMul" ? Linear(context, linear)
                : Passes(context) ? Find(node.Header.Output[0], linear)
                : "";
            if (refusal is not null)
            {
                return refusal.Length > 0 ? refusal : $"it is read by {node.DisplayName}";
            }
        }

        return null;
    }

    // Averages and maxima over positions, and what only moves elements.
    private static bool Passes(NodeContext node) => node.Operator switch
    {
        "Identity" or "GlobalAveragePool" or "GlobalMaxPool" => true,
        "Dropout" => !node.HasOutput(1) && node.Input(2) is null,
        "MaxPool" => !node.HasOutput(1),
        "AveragePool" => node.Int("count_include_pad", 0) == 0,
        "Flatten" => node.Int("axis", 1) == 1,
        _ => false,
    };

    private string? Linear(NodeContext node, List<NodeLayout> linear)
    {
        bool padded = node.Ints("pads") is { } pads && Array.Exists(pads, p => p != 0);
        if (node.Operator == "Conv" && (padded || node.Text("auto_pad", "NOTSET") is not ("NOTSET" or "VALID")))
        {
            return $"{node.Node.DisplayName} pads with zeros, which the constant is not part of";
        }

        if (Refusal(node) is { } reason)
        {
            return $"{node.Node.DisplayName} {reason}";
        }

        linear.Add(node.Node);
        return null;
    }

    // Its bias is that of a folded normalisation, a vector of its own, or none yet.
    private string? Refusal(NodeContext node)
    {
        if (analysis.Folding.All.Any(f => f.Linear == node.Node))
        {
            return null;
        }

        return node.Operator == "MatMul" ? "has no bias"
            : node.Operator == "Gemm" && node.Float("beta", 1) == 0 ? "leaves out its bias"
            : node.Input(2) is null || analysis.Uses.All.Any(u => u.Node == node.Node && u.Input == 2 && u.Role == UseRole.Declared) ? null
            : "has a bias that is not one stored number per output";
    }
}
