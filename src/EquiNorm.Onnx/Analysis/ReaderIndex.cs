using EquiNorm.Onnx.Files;

namespace EquiNorm.Onnx.Analysis;

/// <summary>Which nodes read a value, and how often it is read in all: by nodes, inside subgraphs, as graph output.</summary>
internal sealed class ReaderIndex
{
    private readonly Dictionary<string, List<(NodeLayout Node, int Input)>> _nodes = new(StringComparer.Ordinal);
    private readonly Dictionary<string, NodeLayout> _producers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int> _others = new(StringComparer.Ordinal);

    /// <summary>Indexes a model.</summary>
    public ReaderIndex(ModelLayout layout)
    {
        foreach (var node in layout.Nodes)
        {
            for (int i = 0; i < node.Header.Input.Count; i++)
            {
                string name = node.Header.Input[i];
                if (!_nodes.TryGetValue(name, out var list))
                {
                    _nodes.Add(name, list = []);
                }

                list.Add((node, i));
            }

            foreach (string name in node.Header.Output)
            {
                _producers.TryAdd(name, node);
            }

            foreach (string name in node.OuterReferences)
            {
                _others[name] = _others.GetValueOrDefault(name) + 1;
            }
        }

        foreach (var output in layout.Outputs)
        {
            _others[output.Name] = _others.GetValueOrDefault(output.Name) + 1;
        }
    }

    /// <summary>The nodes that read a value, each with the index of the input.</summary>
    public IReadOnlyList<(NodeLayout Node, int Input)> Of(string name) => _nodes.GetValueOrDefault(name) ?? [];

    /// <summary>Reads that are not a node's: subgraphs and graph outputs.</summary>
    public int OthersOf(string name) => _others.GetValueOrDefault(name);

    /// <summary>The node that makes a value, or null.</summary>
    public NodeLayout? Producer(string name) => name.Length == 0 ? null : _producers.GetValueOrDefault(name);

    /// <summary>The one node that reads a value, or null if there are more or other readers.</summary>
    public (NodeLayout Node, int Input)? OnlyReader(string name) =>
        OthersOf(name) == 0 && Of(name) is [var single] ? single : null;
}
